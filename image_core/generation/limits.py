"""Who may begin another generation: so many at once, and so much money in a day.

Requests of one process see one another before their records exist, in the order in which they came; those of different
processes do not. So a limit is passed by at most what the other processes let in within the same moment.
"""

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime

from image_core.clock import Clock, iso
from image_core.errors import BudgetExceeded, TooManyGenerations
from image_core.generated import Options
from image_core.generation.spend import Spending, Spent
from image_core.settings import Settings
from image_core.user import User


@dataclass(eq=False, slots=True)
class Place:
    """Of one request between its check and its record."""

    user_id: str
    usd: float
    record_id: str | None = None


class Limits:
    """One for the process."""

    def __init__(self, spending: Spending, settings: Settings, clock: Clock) -> None:
        self._spending = spending
        self._settings = settings
        self._clock = clock
        self._waiting: list[Place] = []

    @asynccontextmanager
    async def admitted(self, user: User, options: Options, record_id: str | None) -> AsyncIterator[Place]:
        """A place for one generation, held until its record exists: whoever makes it writes the record's id there.

        Requests with one `record_id`, that of their key, are one generation: it does not stand in its own way.

        Raises TooManyGenerations, BudgetExceeded, StorageUnavailable.
        """
        mine, before = Place(user.id, self._spending.expected(options), record_id), tuple(self._waiting)
        self._waiting.append(mine)
        try:
            await self._check(user, mine, before)
            yield mine
        finally:
            self._waiting.remove(mine)

    async def _check(self, user: User, mine: Place, before: tuple[Place, ...]) -> None:
        daily = self._settings.daily_budget_usd_per_user
        spent = await (self._spending.running(user) if daily is None else self._spending.of_user(user))
        ahead = _ahead(spent, [place for place in before if place.user_id == user.id], mine)
        if len(ahead) >= self._settings.max_concurrent_per_user:
            raise TooManyGenerations(f"{len(ahead)} of yours are running; wait until one is finished", retry_after=10)
        if daily is not None:
            self._compare("Your", daily, spent, ahead, mine)
        everybodys = self._settings.daily_budget_usd
        if everybodys is not None:
            all_spent = await self._spending.of_everybody()
            self._compare("The service's", everybodys, all_spent, _ahead(all_spent, before, mine), mine)

    def _compare(self, whose: str, daily: float, spent: Spent, ahead: Mapping[str, float], mine: Place) -> None:
        running = round(sum(ahead.values()), 6)
        if round(spent.usd + running + mine.usd, 6) <= daily:
            return
        midnight = self._spending.midnight()
        raise BudgetExceeded(
            f"{whose} budget of {daily:g} US dollars a day is used up; it begins anew at midnight UTC",
            retry_after=self._seconds_until(midnight),
            numbers={
                "dailyUsd": daily,
                "spentUsd": spent.usd,
                "runningUsd": running,
                "resetsAt": iso(midnight),
            },
        )

    def _seconds_until(self, moment: datetime) -> int:
        return max(1, round((moment - self._clock.now()).total_seconds()))


def _ahead(spent: Spent, before: Iterable[Place], mine: Place) -> dict[str, float]:
    """What runs or is about to, by record, at its expected price: without `mine`, which another request may have begun."""
    waiting = {place.record_id or f"waiting {number}": place.usd for number, place in enumerate(before)}
    return {name: usd for name, usd in {**waiting, **spent.running}.items() if name != mine.record_id}
