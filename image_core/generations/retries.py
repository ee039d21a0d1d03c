"""Repeat an operation while a service that it needs is unavailable."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from image_core.clock import Clock, Deadline
from image_core.errors import StorageUnavailable

T = TypeVar("T")

PAUSE_SECONDS = 1.0
"""The pause between two tries, in seconds."""


class StorageRetries:
    """Repeats operations of the storage, for `keep_seconds` in all."""

    def __init__(self, clock: Clock, keep_seconds: float) -> None:
        self._keep_seconds = keep_seconds
        self._clock = clock

    def deadline(self, seconds: float) -> Deadline:
        """Return the deadline `seconds` from now, or after all tries if that is sooner."""
        return self._clock.deadline(min(seconds, self._keep_seconds))

    async def run(self, operation: Callable[[], Awaitable[T]], seconds: float | None = None) -> T:
        """Return the result of `operation`, repeated while it raises StorageUnavailable, for at most `seconds`.

        Without `seconds` it is repeated for `keep_seconds`. Raises the last StorageUnavailable.
        """
        deadline = self.deadline(self._keep_seconds if seconds is None else seconds)
        return await retried(operation, (StorageUnavailable,), deadline, self._clock)


async def retried(
    operation: Callable[[], Awaitable[T]], errors: tuple[type[Exception], ...], deadline: Deadline, clock: Clock
) -> T:
    """Return the result of `operation`, repeated until `deadline` while it raises one of `errors`.

    Raises the last of them.
    """
    while True:
        try:
            return await operation()
        except errors:
            if deadline.remaining() <= PAUSE_SECONDS:
                raise
            await clock.sleep(PAUSE_SECONDS)
