"""The response budget: how long a request may wait before its answer has to leave."""

from image_core.api.http import Request
from image_core.clock import Clock, Deadline
from image_core.settings import Settings

STATIC_WEB_APPS_HEADER = "x-ms-original-url"
"""Static Web Apps adds it to every call of a linked backend. A caller that sends it changes its own wait and nothing else."""

STATIC_WEB_APPS_SECONDS = 40.0
"""Static Web Apps ends a call after 45 s."""

DEFAULT_SECONDS = 95.0
"""Cloudflare ends a request after 100 s, Vercel's rewrites after 120 s, Azure's load balancer after 230 s."""

LEAST_SECONDS = 5.0
"""For resources: a request that never waits for its generation (budget 0) still has to be read."""

UNBUDGETED_SECONDS = 20.0
"""How long a generation is waited for where the budget is 0: `POST` then answers at once, and its end must still be found.
It is also the least that a request has for its own work, such as fetching inputs."""

READING_SECONDS = 2.0
"""Beyond the budget, for reading an image that is there."""

LAST_SECONDS = 3.0
"""Beyond the budget, after which a request is given up: what it waits for does not answer."""


class ResponseBudget:
    """The budget of each request, from the setting or from the proxy that the request came through."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._configured = settings.response_budget_seconds
        self._clock = clock

    def seconds(self, request: Request, preferred: float | None = None) -> float:
        """Seconds from the request's start to its answer. `preferred` (`Prefer: wait=N`) can only shorten it."""
        budget = self._configured
        if budget is None:
            budget = STATIC_WEB_APPS_SECONDS if request.headers.get(STATIC_WEB_APPS_HEADER) else DEFAULT_SECONDS
        return budget if preferred is None else min(budget, preferred)

    def for_resources(self, request: Request) -> Deadline:
        """Until when the request may wait for memory, for free slots, and for its images: also where the budget is 0."""
        seconds = max(self.seconds(request) or UNBUDGETED_SECONDS, LEAST_SECONDS)
        return Deadline(self._clock, request.started + seconds)

    def following(self, request: Request) -> float:
        """Seconds that a request for a generation or image that exists already may wait for its end."""
        return max(0.0, (self.seconds(request) or UNBUDGETED_SECONDS) - self._since(request))

    def for_reading(self, request: Request) -> float:
        """Seconds that are left for reading an image that is there, before another answer than the image has to leave."""
        return self.left(request) + READING_SECONDS

    def to_the_last(self, request: Request) -> float:
        """Seconds after which the request is given up, whatever it waits for."""
        return max(0.0, max(self.seconds(request), UNBUDGETED_SECONDS) + LAST_SECONDS - self._since(request))

    def left(self, request: Request, preferred: float | None = None) -> float:
        """Seconds that are left of it, never below 0."""
        return max(0.0, self.seconds(request, preferred) - self._since(request))

    def _since(self, request: Request) -> float:
        return self._clock.monotonic() - request.started
