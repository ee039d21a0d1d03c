"""How many bytes of images this process holds, the limit that keeps it alive, and the measure at which it is at ease.

A count of requests is no bound on memory: one request may carry 30 MB, another only an address. Of many that come at once
those behind wait a moment for those before them, so that what all of them need together is not needed at the same time.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Self

from image_core.errors import Busy

AT_EASE_BYTES = 48_000_000
"""Enough to keep two cores busy: forty requests of a megabyte on their way to the model, or answers on their way to storage."""

PATIENCE_SECONDS = 10.0
"""Nobody waits longer for room: what holds it may be waiting itself, for a slow server or a storage that is down."""


class InflightBytes:
    """The bytes that all requests of this process hold together: at most `limit`, and at most `at_ease` before others wait."""

    def __init__(self, limit: int, at_ease: int = AT_EASE_BYTES, patience: float = PATIENCE_SECONDS) -> None:
        self.limit = limit
        self.held = 0
        self._at_ease = at_ease
        self._patience = patience
        self._waiting: deque[tuple[Claim, int, asyncio.Future[None]]] = deque()

    def claim(self) -> "Claim":
        """An empty claim, for one request: use it as a context manager, or `release` it."""
        return Claim(self)

    @asynccontextmanager
    async def entered(self, count: int) -> AsyncIterator["Claim"]:
        """A claim of `count` bytes, in its turn. Raises Busy where that passes the process's limit."""
        with self.claim() as claim:
            await claim.enter(count)
            yield claim

    def _has_room(self, count: int) -> bool:
        return self.held == 0 or self.held + count <= self._at_ease

    async def _turn(self, claim: "Claim", count: int, seconds: float) -> bool:
        """Wait for room, in the order of arrival. True: `claim` holds the bytes; False: there was none in time."""
        if not self._waiting and self._has_room(count):
            claim.take(count)
            return True
        turn = asyncio.get_running_loop().create_future()
        mine = (claim, count, turn)
        self._waiting.append(mine)
        try:
            await asyncio.wait((turn,), timeout=min(seconds, self._patience))
        finally:
            if turn.cancel():  # it has not come
                self._waiting.remove(mine)
                self._next()
        return not turn.cancelled()

    def _next(self) -> None:
        """Let those in that have room now."""
        while self._waiting and self._has_room(self._waiting[0][1]):
            claim, count, turn = self._waiting.popleft()
            claim.take(count)
            turn.set_result(None)


class Claim:
    """What one request holds."""

    def __init__(self, inflight: InflightBytes) -> None:
        self._inflight = inflight
        self._bytes = 0

    async def enter(self, count: int, seconds: float = PATIENCE_SECONDS) -> None:
        """Hold `count` bytes more once there is room; after `seconds` without room, too. Raises Busy as `add` does."""
        if not await self._inflight._turn(self, count, seconds):  # noqa: SLF001 - two halves of one thing
            self.add(count)

    async def receive(self, count: int, seconds: float) -> None:
        """As `enter`, for what is paid for: it waits at most `seconds`, and is never refused."""
        if not await self._inflight._turn(self, count, seconds):  # noqa: SLF001 - two halves of one thing
            self.take(count)

    def add(self, count: int) -> None:
        """Hold `count` bytes more. Raises Busy, and holds nothing more, where that passes the process's limit."""
        if self._inflight.held + count > self._inflight.limit:
            raise Busy(retry_after=2)
        self.take(count)

    def take(self, count: int) -> None:
        """Hold `count` bytes more, whatever the limit."""
        self._inflight.held += count
        self._bytes += count

    def give_back(self, count: int) -> None:
        """Hold `count` bytes fewer, at most all that are held."""
        count = min(count, self._bytes)
        self._inflight.held -= count
        self._bytes -= count
        self._inflight._next()  # noqa: SLF001 - two halves of one thing

    def release(self) -> None:
        """Hold nothing any more; safe to repeat."""
        self.give_back(self._bytes)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
