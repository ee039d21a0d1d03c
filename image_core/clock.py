"""Time, handed in: the wall clock, the monotonic clock, sleeping, and deadlines."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Clock:
    """The clocks of a process. Tests hand in their own functions."""

    now: Callable[[], datetime] = _utc_now
    """The wall clock, aware, UTC: for what is written down or compared across machines."""
    monotonic: Callable[[], float] = time.monotonic
    """Seconds that never run backwards: for waiting and for durations."""
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    def deadline(self, seconds: float) -> "Deadline":
        return Deadline(self, self.monotonic() + seconds)


@dataclass(frozen=True, slots=True)
class Deadline:
    """A moment on the monotonic clock after which nothing more is begun."""

    clock: Clock
    at: float

    def remaining(self) -> float:
        """Seconds left, never below 0."""
        return max(0.0, self.at - self.clock.monotonic())


def iso(moment: datetime) -> str:
    """ISO 8601, UTC, milliseconds, `Z`: the form of every time on the wire and in the database. Sorts as text."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def milliseconds(moment: datetime) -> int:
    """Milliseconds since the epoch, as in ids and blob names."""
    return round(moment.timestamp() * 1000)
