"""Time as an argument: the wall clock, the monotonic clock, sleeping, and deadlines."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Clock:
    """The clocks of a process. Tests pass their own functions."""

    now: Callable[[], datetime] = _utc_now
    """The wall clock, in UTC with a time zone: for times that are stored or compared across machines."""
    monotonic: Callable[[], float] = time.monotonic
    """Seconds that never run backwards: for waiting and for durations."""
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    async def wait(self, future: "asyncio.Future[Any]", seconds: float) -> bool:
        """Wait until `future` is done, for at most `seconds`; return whether it is. It is not cancelled."""
        sleep = asyncio.ensure_future(self.sleep(max(0.0, seconds)))
        try:
            await asyncio.wait({future, sleep}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleep.cancel()
        return future.done()

    def deadline(self, seconds: float) -> "Deadline":
        """Return the deadline `seconds` from now."""
        return Deadline(self, self.monotonic() + seconds)


@dataclass(frozen=True, slots=True)
class Deadline:
    """A time on the monotonic clock after which nothing more is started."""

    clock: Clock
    at: float

    def remaining(self) -> float:
        """Return the seconds left, never below 0."""
        return max(0.0, self.at - self.clock.monotonic())


def iso(moment: datetime) -> str:
    """Return ISO 8601, UTC, milliseconds, `Z`: the sortable format of times on the wire and in the database."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def milliseconds(moment: datetime) -> int:
    """Return the milliseconds since the epoch, as in ids and blob names."""
    return round(moment.timestamp() * 1000)


def from_iso(text: str) -> datetime:
    """Read a time in ISO 8601; one without an offset is UTC. Raises ValueError."""
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
