"""The response budget: how long a request may wait before its answer has to leave."""

from image_core.api.http import Request
from image_core.clock import Clock, Deadline

STATIC_WEB_APPS_HEADER = "x-ms-original-url"
"""Static Web Apps adds it to every call of a linked backend. A caller that sends it changes its own waiting time
only."""

STATIC_WEB_APPS_SECONDS = 40.0
"""Static Web Apps ends a call after 45 s."""

DEFAULT_SECONDS = 95.0
"""Cloudflare ends a request after 100 s, Vercel's rewrites after 120 s, Azure's load balancer after 230 s."""

LEAST_SECONDS = 5.0
"""The least time to acquire resources: a request that never waits for its generation (budget 0) still has to be
read."""

UNBUDGETED_SECONDS = 20.0
"""With a budget of 0, the time that `GET` waits for a generation: `POST` answers at once, and the result is read later.
It is also the least time for a request's own work, such as fetching inputs."""

READING_SECONDS = 2.0
"""Added to the budget for reading an image that is stored already."""

LAST_SECONDS = 3.0
"""Added to the budget before a request is given up because a service does not answer."""


class ResponseBudget:
    """Finds the budget of each request: `configured`, or what the proxy allows that the request came through."""

    def __init__(self, configured: float | None, clock: Clock) -> None:
        self._configured = configured
        self._clock = clock

    def seconds(self, request: Request, preferred: float | None = None) -> float:
        """Return the seconds from the request's start to its answer; `preferred` (`Prefer: wait=N`) can shorten it."""
        budget = self._configured
        if budget is None:
            budget = STATIC_WEB_APPS_SECONDS if request.headers.get(STATIC_WEB_APPS_HEADER) else DEFAULT_SECONDS
        return budget if preferred is None else min(budget, preferred)

    def for_resources(self, request: Request) -> Deadline:
        """Return the deadline for acquiring memory, free slots and input images, also with a budget of 0."""
        seconds = max(self.seconds(request) or UNBUDGETED_SECONDS, LEAST_SECONDS)
        return Deadline(self._clock, request.started + seconds)

    def following(self, request: Request) -> float:
        """Return the seconds that a request for an existing generation may wait until it has ended."""
        return max(0.0, (self.seconds(request) or UNBUDGETED_SECONDS) - self._since(request))

    def for_reading(self, request: Request) -> float:
        """Return the seconds left for reading a stored image, before an answer without it has to leave."""
        return self.left(request) + READING_SECONDS

    def to_the_last(self, request: Request) -> float:
        """Return the seconds after which the request is given up, whatever it waits for."""
        return max(0.0, max(self.seconds(request), UNBUDGETED_SECONDS) + LAST_SECONDS - self._since(request))

    def left(self, request: Request, preferred: float | None = None) -> float:
        """Return the seconds left of the budget, never below 0."""
        return max(0.0, self.seconds(request, preferred) - self._since(request))

    def _since(self, request: Request) -> float:
        return self._clock.monotonic() - request.started
