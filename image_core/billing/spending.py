"""What has been spent: by a user or by all users, today and this month, and what is left of a budget.

A call enters the ledger when it has ended. Where that did not succeed yet, the bill is in the record of a generation that still
runs, and is added from there.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from image_core.auth.user import User
from image_core.billing.entries import Entry, Sum
from image_core.billing.ledger import Ledger
from image_core.clock import Clock, iso
from image_core.generations.ledger_entries import entries
from image_core.generations.record import Record
from image_core.generations.records import Records
from image_core.models.generated import OK, Options
from image_core.models.prices import expected_cost, expected_usd
from image_core.models.turns import ContextSize


@dataclass(frozen=True, slots=True)
class Running:
    """A generation that has not ended: queued, running, or waiting to be run again. `usd` is what it is expected to cost."""

    id: str
    created_at: str
    usd: float
    started: bool
    """Whether a model has been called for it."""


@dataclass(frozen=True, slots=True)
class Spent:
    """US dollars as budgets count them, and what runs, by the record's id."""

    day_usd: float
    month_usd: float
    running: Mapping[str, Running]

    @property
    def running_usd(self) -> float:
        return round(sum(each.usd for each in self.running.values()), 6)


@dataclass(frozen=True, slots=True)
class Budgets:
    """US dollars of a day and of a month; None where there is no limit."""

    daily_usd: float | None
    monthly_usd: float | None


@dataclass(frozen=True, slots=True)
class UserLimits:
    """What one user may do: so many generations at once, and so much money."""

    max_concurrent: int
    budgets: Budgets


@dataclass(frozen=True, slots=True)
class SpendingLimits:
    """The limits of each user, by the user's id, and the budgets of all users together."""

    of_user: Callable[[str], UserLimits]
    of_all_users: Budgets


@dataclass(frozen=True, slots=True)
class Report:
    """A user's own numbers. `day` and `month` are the first days of the two sums."""

    day: str
    month: str
    today: Sum
    this_month: Sum
    running_usd: float
    budgets: Budgets
    day_ends: str
    month_ends: str
    """ISO 8601."""

    @property
    def daily_left_usd(self) -> float | None:
        return self._left(self.budgets.daily_usd, self.today)

    @property
    def monthly_left_usd(self) -> float | None:
        return self._left(self.budgets.monthly_usd, self.this_month)

    def _left(self, budget: float | None, spent: Sum) -> float | None:
        return None if budget is None else max(0.0, round(budget - spent.budget_usd - self.running_usd, 6))


class Spending:
    """Raises StorageUnavailable from every method while Cosmos DB does not answer."""

    def __init__(
        self, records: Records, ledger: Ledger, limits: SpendingLimits, models: Sequence[str], clock: Clock
    ) -> None:
        self._records = records
        self._ledger = ledger
        self._limits = limits
        self._models = models
        self._clock = clock

    def expected(
        self, options: Options, inputs: int, prompt_characters: int, context: ContextSize | None = None
    ) -> float:
        """US dollars that a generation is expected to cost at most, with the dearest model that may be asked.

        `context` are the earlier turns that may be replayed.
        """
        today = self._clock.now().date()
        return expected_cost(self._models, options, inputs, today, prompt_characters, context)

    def budgets(self, user: User) -> Budgets:
        """What one user may spend."""
        return self._limits.of_user(user.id).budgets

    def max_concurrent(self, user: User) -> int:
        """Return how many generations one user may run at once."""
        return self._limits.of_user(user.id).max_concurrent

    @property
    def budgets_of_all_users(self) -> Budgets:
        """What all users together may spend."""
        return self._limits.of_all_users

    def midnight(self) -> datetime:
        """When the day's budgets begin again: the next midnight, UTC."""
        return self._clock.now().replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)

    def next_month(self) -> datetime:
        """When the month's budgets begin again."""
        first = self._clock.now().replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        return (first + timedelta(days=32)).replace(day=1)

    async def running(self, user: User) -> Spent:
        """What runs for a user, without the money that was spent: one query."""
        return Spent(0.0, 0.0, self._running(await self._records.under_way(user)))

    async def of_user(self, user: User, budgets: Budgets) -> Spent:
        """One user's day and month, as far as there is a budget: a query and two point reads."""
        found = await self._records.under_way(user)
        late = await self._not_entered(user, found)
        day, month = self._periods()
        day_usd = month_usd = 0.0
        if budgets.daily_usd is not None:
            day_usd = _with(await self._ledger.sum_of(user, day), late, day).budget_usd
        if budgets.monthly_usd is not None:
            month_usd = _with(await self._ledger.sum_of(user, month), late, month).budget_usd
        return Spent(day_usd, month_usd, self._running(found))

    async def of_all_users(self, budgets: Budgets) -> Spent:
        """The same of all users together. What ended in the last seconds may not be in it."""
        found = await self._records.under_way_of_all_users()
        day, month = self._periods()
        day_usd = 0.0 if budgets.daily_usd is None else await self._ledger.of_all_users(day)
        month_usd = 0.0 if budgets.monthly_usd is None else await self._ledger.of_all_users(month)
        return Spent(day_usd, month_usd, self._running(found))

    async def report(self, user: User) -> Report:
        """What `GET /api/usage` says: two sums, and what is not in them yet."""
        found = await self._records.under_way(user)
        late = await self._not_entered(user, found)
        day, month = self._periods()
        today = _with(await self._ledger.sum_of(user, day), late, day)
        this_month = _with(await self._ledger.sum_of(user, month), late, month)
        running = Spent(0.0, 0.0, self._running(found)).running_usd
        return Report(
            day,
            f"{month}-01",
            today,
            this_month,
            running,
            self.budgets(user),
            iso(self.midnight()),
            iso(self.next_month()),
        )

    def _periods(self) -> tuple[str, str]:
        day = iso(self._clock.now())[: len("2026-11-25")]
        return day, day[: len("2026-11")]

    async def _not_entered(self, user: User, found: Iterable[Record]) -> list[Entry]:
        """What records of generations that run say was billed, and the ledger does not have yet."""
        billed = [entry for record in found for entry in entries(record)]
        there = await self._ledger.there(user, billed)
        return [entry for entry in billed if entry.id not in there]

    def _running(self, found: Iterable[Record]) -> dict[str, Running]:
        return {
            record.id: Running(record.id, iso(record.created_at), self._left_to_pay(record), record.attempt_count > 0)
            for record in found
        }

    def _left_to_pay(self, record: Record) -> float:
        """What a generation that runs is still expected to cost: nothing once its image was billed."""
        if any(attempt.outcome == OK for attempt in record.attempts_of_run()):
            return 0.0
        if record.expected_usd is not None:
            return record.expected_usd
        # Of an earlier version, which did not write it.
        return expected_usd(record.options.model or self._models[0], record.options.image_size)


def _with(known: Sum, late: Iterable[Entry], period: str) -> Sum:
    for entry in late:
        if entry.counts_in(period):
            known.add_by_model(entry)
    return known
