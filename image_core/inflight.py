"""How many bytes of images this process holds, and the limit that keeps it alive.

A count of requests is no bound on memory: one request may carry 30 MB, another only an address.
"""

from types import TracebackType
from typing import Self

from image_core.errors import Busy


class InflightBytes:
    """The bytes that all requests of this process hold together, at most `limit`."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.held = 0

    def claim(self) -> "Claim":
        """An empty claim, for one request: use it as a context manager, or `release` it."""
        return Claim(self)


class Claim:
    """What one request holds."""

    def __init__(self, inflight: InflightBytes) -> None:
        self._inflight = inflight
        self._bytes = 0

    def add(self, count: int) -> None:
        """Hold `count` bytes more. Raises Busy, and holds nothing more, where that passes the process's limit."""
        if self._inflight.held + count > self._inflight.limit:
            raise Busy(retry_after=2)
        self._inflight.held += count
        self._bytes += count

    def give_back(self, count: int) -> None:
        """Hold `count` bytes fewer, at most all that are held."""
        count = min(count, self._bytes)
        self._inflight.held -= count
        self._bytes -= count

    def release(self) -> None:
        """Hold nothing any more; safe to repeat."""
        self.give_back(self._bytes)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
