"""The memory budget of one process: the bytes that its requests hold, divided fairly between users.

Two accounts, because they are used differently:

- *Bodies*: a request's body stays in the Functions worker from the request's first line until its answer leaves, also
  while the request waits. Waiting for a turn would free nothing, so a body that does not fit is refused at once (503
  `busy`).
- *Working memory*: parsed requests, inputs, answers. It is acquired in turn before it is used, and released soon.

A count of requests does not bound memory: one request may carry 30 MB, another only an address.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from types import TracebackType
from typing import Self

from image_core.clock import Deadline
from image_core.errors import Busy, ImagesTooLarge
from image_core.runtime.fair_share import FairShare

WORKER_COPIES = 2.5
"""Bytes that the worker holds for each byte of a body: its protobuf message and the `bytes` copied from it, and a
margin. Measured: 2.0 at 28 MB and 2.2 at 0.7 MB (`make bench ONLY=worker`)."""

ANSWER_COPIES = 3
"""Copies of an answer while it is sent: the response, the worker's protobuf message, and its serialized form."""

BODIES_SHARE = 0.6
"""Share of the limit for bodies; the rest is working memory."""

WAIT_SECONDS = 30.0
"""Maximum waiting time without a response budget, in seconds: for work from the queue, which is put back and
retried."""

GROWTH_SECONDS = 2.0
"""Maximum waiting time of a request that needs more than it has, in seconds. It must be short: several such requests
could otherwise wait for one another, each keeping what the others need."""

_UNVERIFIED = ""
"""The user of requests whose session is not verified yet: together they have the share of one."""


class MemoryBudget:
    """The memory budget. One for the process; `limit` in bytes (`MAX_INFLIGHT_BYTES`)."""

    def __init__(self, limit: int) -> None:
        bodies = int(limit * BODIES_SHARE)
        self.limit = limit
        self._bodies = FairShare(bodies)
        # One request may need more than a small instance has for all: it then runs alone.
        self._working = FairShare(max(1, limit - bodies), oversized=True)

    @property
    def held(self) -> int:
        """Bytes that are acquired now, in both accounts."""
        return self._bodies.taken + self._working.taken

    @property
    def working(self) -> int:
        """Bytes of working memory that are acquired now."""
        return self._working.taken

    @contextmanager
    def body(self, length: int) -> Iterator["Body"]:
        """Acquire memory for a body of `length` bytes, as the worker keeps it, while the block runs. Raises Busy."""
        body = Body(self._bodies, int(length * WORKER_COPIES))
        try:
            yield body
        finally:
            body.release()

    def claim(self, user_id: str, deadline: Deadline | None = None) -> "Claim":
        """Return an empty claim on working memory, which waits until `deadline` at most. It is a context manager."""
        return Claim(self._working, user_id, deadline)

    @asynccontextmanager
    async def entered(self, user_id: str, count: int, deadline: Deadline | None = None) -> AsyncIterator["Claim"]:
        """Hold a claim of `count` bytes while the block runs. Raises Busy where the turn does not come in time."""
        with self.claim(user_id, deadline) as claim:
            await claim.enter(count)
            yield claim


class Body:
    """The memory of one request's body in the worker."""

    def __init__(self, account: FairShare, count: int) -> None:
        self._account = account
        self._count = 0
        self._user = _UNVERIFIED
        self._acquire(_UNVERIFIED, count)

    def assign(self, user_id: str) -> None:
        """Count it for the user whose session is now verified. Raises Busy where the user's share is used up."""
        count = self._count
        self.release()
        self._acquire(user_id, count)

    def release(self) -> None:
        """Release the memory; safe to repeat."""
        count, self._count = self._count, 0
        self._account.release(self._user, count)

    def _acquire(self, user: str, count: int) -> None:
        if count and not self._account.try_acquire(user, count):
            raise Busy("Too many large requests are being processed", retry_after=5)
        self._user, self._count = user, count


class Claim:
    """The working memory of one request or one generation."""

    def __init__(self, account: FairShare, user_id: str, deadline: Deadline | None) -> None:
        self.user_id = user_id
        self._account = account
        self._deadline = deadline
        self._bytes = 0

    def wait_seconds(self) -> float:
        """Return the seconds that this request may still wait for its turn, for memory or for anything else."""
        return WAIT_SECONDS if self._deadline is None else self._deadline.remaining()

    async def enter(self, count: int) -> None:
        """Acquire `count` bytes in turn, before work begins. Raises Busy where the turn does not come in time."""
        await self._acquire(count, self.wait_seconds())

    @property
    def growth(self) -> int:
        """The most bytes that this claim can still acquire, however long it waits."""
        return max(0, self._account.capacity // 2 - self._bytes)

    async def grow(self, count: int) -> None:
        """Acquire `count` bytes more, after a short wait at most.

        Raises Busy; ImagesTooLarge where one request can never have so much.
        """
        if count > self.growth:
            raise ImagesTooLarge(f"The images of one request may take {self._account.capacity // 2:,} bytes here")
        if not self.try_add(count):
            await self._acquire(count, min(GROWTH_SECONDS, self.wait_seconds()))

    def try_add(self, count: int) -> bool:
        """Acquire `count` bytes more if they are within the user's share now."""
        if not self._account.try_acquire(self.user_id, count):
            return False
        self._bytes += count
        return True

    async def receive(self, count: int, seconds: float) -> None:
        """Acquire `count` bytes for what is paid for: before the user's other requests, after `seconds` anyway."""
        if await self._account.acquire(self.user_id, count, seconds, first=True):
            self._bytes += count
        else:
            self.take(count)

    def take(self, count: int) -> None:
        """Acquire `count` bytes even beyond the limit: for what is in memory already."""
        self._account.take(self.user_id, count)
        self._bytes += count

    def release_part(self, count: int) -> None:
        """Release `count` bytes, at most all."""
        count = min(count, self._bytes)
        self._bytes -= count
        self._account.release(self.user_id, count)

    def release(self) -> None:
        """Release everything; safe to repeat."""
        self.release_part(self._bytes)

    async def _acquire(self, count: int, seconds: float) -> None:
        if not await self._account.acquire(self.user_id, count, seconds):
            raise Busy("There is no memory for this request now", retry_after=5)
        self._bytes += count

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
