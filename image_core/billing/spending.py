"""What has been spent today and this month, by a user or by all users, and what is left of a budget.

A call is entered in the ledger when it has ended. Where that did not succeed yet, its entry is known from the record of
a generation that has not ended, and is added from there.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from image_core.auth.user import User
from image_core.billing.budgets import Budgets, SpendingLimits
from image_core.billing.entries import Entry, Sum
from image_core.billing.ledger import Ledger
from image_core.clock import Clock, iso
from image_core.models.generated import Options
from image_core.models.prices import expected_cost
from image_core.models.turns import ContextSize


@dataclass(frozen=True, slots=True)
class Unended:
    """A generation that has not ended: queued, running, or waiting to be run again."""

    id: str
    created_at: datetime
    usd: float
    """The expected cost of what it still has to do, in US dollars."""
    started: bool
    """Whether a model has been called for it."""
    entries: tuple[Entry, ...] = ()
    """The cost that was billed for it so far, in US dollars."""

    def comes_before(self, created_at: datetime, record_id: str) -> bool:
        """Return whether it counts before a queued generation: it has started, or was created earlier."""
        return self.started or (self.created_at, self.id) < (created_at, record_id)


class UnendedGenerations(Protocol):
    """Reads the generations that have not ended. Raises StorageUnavailable."""

    async def of_user(self, user: User) -> Sequence[Unended]:
        """Return one user's."""
        ...

    async def of_all_users(self) -> Sequence[Unended]:
        """Return those of all users."""
        ...


@dataclass(frozen=True, slots=True)
class Spent:
    """US dollars as budgets count them, and the generations that have not ended, by their ids."""

    day_usd: float
    month_usd: float
    unended: Mapping[str, Unended]


@dataclass(frozen=True, slots=True)
class Report:
    """A user's own numbers. `day` and `month` are the first days of the two sums, as `2026-11-25`."""

    day: str
    month: str
    today: Sum
    this_month: Sum
    running_usd: float
    budgets: Budgets
    day_ends: datetime
    month_ends: datetime

    @property
    def daily_left_usd(self) -> float | None:
        """What is left of the day's budget; None without one."""
        return self._left(self.budgets.daily_usd, self.today)

    @property
    def monthly_left_usd(self) -> float | None:
        """What is left of the month's budget; None without one."""
        return self._left(self.budgets.monthly_usd, self.this_month)

    def _left(self, budget: float | None, spent: Sum) -> float | None:
        return None if budget is None else max(0.0, round(budget - spent.budget_usd - self.running_usd, 6))


class Spending:
    """Reads what was spent. Every method raises StorageUnavailable while the database does not answer."""

    def __init__(
        self,
        unended: UnendedGenerations,
        ledger: Ledger,
        limits: SpendingLimits,
        models: Sequence[str],
        clock: Clock,
    ) -> None:
        self._unended = unended
        self._ledger = ledger
        self._limits = limits
        self._models = models
        self._clock = clock

    def expected(
        self, options: Options, inputs: int, prompt_characters: int, context: ContextSize | None = None
    ) -> float:
        """Return the expected cost of a generation in US dollars: that of the most expensive model of the chain.

        `context` are the earlier turns that may be replayed.
        """
        today = self._clock.now().date()
        return expected_cost(self._models, options, inputs, today, prompt_characters, context)

    def budgets(self, user: User) -> Budgets:
        """Return what one user may spend."""
        return self._limits.of_user(user.id).budgets

    def max_concurrent(self, user: User) -> int:
        """Return how many generations one user may run at once."""
        return self._limits.of_user(user.id).max_concurrent

    @property
    def budgets_of_all_users(self) -> Budgets:
        """The budgets of all users together."""
        return self._limits.of_all_users

    def midnight(self) -> datetime:
        """Return when the day's budgets begin again: the next midnight, UTC."""
        return self._clock.now().replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)

    def next_month(self) -> datetime:
        """Return when the month's budgets begin again."""
        first = self._clock.now().replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        return (first + timedelta(days=32)).replace(day=1)

    async def running(self, user: User) -> Spent:
        """Return what runs for a user, without the money that was spent: one query."""
        return Spent(0.0, 0.0, _by_id(await self._unended.of_user(user)))

    async def of_user(self, user: User, budgets: Budgets) -> Spent:
        """Return one user's day and month, as far as there is a budget: a query and two point reads."""
        found = await self._unended.of_user(user)
        late = await self._not_entered(user, found)
        day, month = self._periods()
        day_usd = month_usd = 0.0
        if budgets.daily_usd is not None:
            day_usd = _with(await self._ledger.sum_of(user, day), late, day).budget_usd
        if budgets.monthly_usd is not None:
            month_usd = _with(await self._ledger.sum_of(user, month), late, month).budget_usd
        return Spent(day_usd, month_usd, _by_id(found))

    async def of_all_users(self, budgets: Budgets) -> Spent:
        """Return the same of all users together. Calls that ended in the last seconds may be missing."""
        found = await self._unended.of_all_users()
        day, month = self._periods()
        day_usd = 0.0 if budgets.daily_usd is None else await self._ledger.of_all_users(day)
        month_usd = 0.0 if budgets.monthly_usd is None else await self._ledger.of_all_users(month)
        return Spent(day_usd, month_usd, _by_id(found))

    async def report(self, user: User) -> Report:
        """Return the numbers of `GET /api/usage`: two sums, with what is not in them yet."""
        found = await self._unended.of_user(user)
        late = await self._not_entered(user, found)
        day, month = self._periods()
        today = _with(await self._ledger.sum_of(user, day), late, day)
        this_month = _with(await self._ledger.sum_of(user, month), late, month)
        running = round(sum(each.usd for each in found), 6)
        return Report(
            day,
            f"{month}-01",
            today,
            this_month,
            running,
            self.budgets(user),
            self.midnight(),
            self.next_month(),
        )

    def _periods(self) -> tuple[str, str]:
        day = iso(self._clock.now())[: len("2026-11-25")]
        return day, day[: len("2026-11")]

    async def _not_entered(self, user: User, found: Iterable[Unended]) -> list[Entry]:
        """Return what was billed for generations that have not ended, and is not in the ledger yet."""
        billed = [entry for each in found for entry in each.entries]
        there = await self._ledger.there(user, billed)
        return [entry for entry in billed if entry.id not in there]


def _by_id(found: Iterable[Unended]) -> dict[str, Unended]:
    return {each.id: each for each in found}


def _with(known: Sum, late: Iterable[Entry], period: str) -> Sum:
    for entry in late:
        if entry.counts_in(period):
            known.add_by_model(entry)
    return known
