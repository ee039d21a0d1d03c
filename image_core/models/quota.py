"""Daily quotas: which models have used theirs up, and until when they are left out."""

from datetime import datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

from image_core.clock import Clock

RESET_ZONE = "America/Los_Angeles"
"""Daily quotas of the Gemini API begin again at midnight Pacific time (ai.google.dev/gemini-api/docs/rate-limits)."""


@cache
def _zone() -> ZoneInfo:
    return ZoneInfo(RESET_ZONE)


def next_reset(now: datetime) -> datetime:
    """The next midnight in the zone of the quotas, in the zone of `now`. The day of a change of clocks has 23 or 25 hours."""
    tomorrow = now.astimezone(_zone()).date() + timedelta(days=1)
    midnight = datetime(tomorrow.year, tomorrow.month, tomorrow.day, tzinfo=_zone())
    return midnight.astimezone(now.tzinfo)


class DayQuotas:
    """What this process has learned of daily quotas. Each process learns it by a call of its own, which is not billed."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._until: dict[str, datetime] = {}

    def used_up(self, model: str) -> datetime:
        """Leave `model` out until the reset, which is returned."""
        self._until[model] = next_reset(self._clock.now())
        return self._until[model]

    def until(self, model: str) -> datetime | None:
        """When `model` has quota again; None where it may be asked."""
        reset = self._until.get(model)
        if reset is not None and reset <= self._clock.now():
            del self._until[model]
            return None
        return reset

    def all(self) -> dict[str, datetime]:
        """Every model that is left out, and until when."""
        return {model: reset for model in tuple(self._until) if (reset := self.until(model)) is not None}
