"""The models whose daily quota is used up, and the times of the resets."""

from datetime import datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

from image_core.clock import Clock

RESET_ZONE = "America/Los_Angeles"
"""Daily quotas of the Gemini API are reset at midnight Pacific time (ai.google.dev/gemini-api/docs/rate-limits)."""


@cache
def _zone() -> ZoneInfo:
    return ZoneInfo(RESET_ZONE)


def next_reset(now: datetime) -> datetime:
    """Return the next midnight in the zone of the quotas, in the zone of `now`. A day may have 23 or 25 hours."""
    tomorrow = now.astimezone(_zone()).date() + timedelta(days=1)
    midnight = datetime(tomorrow.year, tomorrow.month, tomorrow.day, tzinfo=_zone())
    return midnight.astimezone(now.tzinfo)


class DayQuotas:
    """The daily quotas that this process found to be used up. Each process makes a free call to find it out."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._until: dict[str, datetime] = {}

    def used_up(self, model: str) -> datetime:
        """Note that the quota of `model` is used up. Returns the time of the reset."""
        self._until[model] = next_reset(self._clock.now())
        return self._until[model]

    def until(self, model: str) -> datetime | None:
        """Return when `model` has quota again; None where it may be called."""
        reset = self._until.get(model)
        if reset is not None and reset <= self._clock.now():
            del self._until[model]
            return None
        return reset

    def all(self) -> dict[str, datetime]:
        """Return every model without quota, with the time of its reset."""
        return {model: reset for model in tuple(self._until) if (reset := self.until(model)) is not None}
