"""The models that cannot be called now: those that answered 404, and those whose daily quota is used up."""

from datetime import datetime, timedelta

from image_core.clock import Clock
from image_core.models.quota import DayQuotas

GONE_FOR = timedelta(hours=1)
"""How long a model that answered 404 is not called."""


class Availability:
    """What this process knows of its models. Each process finds it out by calls of its own, which are free."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._gone: dict[str, datetime] = {}
        self._quotas = DayQuotas(clock)

    def note_gone(self, model: str) -> None:
        """Note that `model` answered 404."""
        self._gone[model] = self._clock.now()

    def note_quota_used(self, model: str) -> datetime:
        """Note that the daily quota of `model` is used up. Returns the time of the reset."""
        return self._quotas.used_up(model)

    def gone(self) -> dict[str, datetime]:
        """Return the models that answered 404 within the last hour, with the times."""
        now = self._clock.now()
        self._gone = {model: since for model, since in self._gone.items() if now - since < GONE_FOR}
        return dict(self._gone)

    def out_of_quota(self) -> dict[str, datetime]:
        """Return the models whose daily quota is used up, with the times of the resets."""
        return self._quotas.all()

    def quota_reset(self, model: str) -> datetime | None:
        """Return when `model` has quota again; None where it has quota."""
        return self._quotas.until(model)

    def callable(self, model: str) -> bool:
        """Return whether nothing is known that prevents a call of `model`."""
        return model not in self.gone() and self._quotas.until(model) is None
