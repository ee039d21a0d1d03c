"""Who may begin another generation: so many at once, and so much money in a day and in a month.

Requests of one process see one another before their records exist, in the order in which they came; those of different
processes do not. So a limit is passed by at most what the other processes let in within the same moment.
"""

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime

from image_core.auth.user import User
from image_core.billing.spending import Budgets, Spending, Spent
from image_core.clock import Clock, iso
from image_core.errors import BudgetExceeded, TooManyGenerations
from image_core.generations.record import Record
from image_core.models.generated import Options
from image_core.models.turns import ContextSize


@dataclass(eq=False, slots=True)
class Reservation:
    """The expected cost of one request between its check and its record."""

    user_id: str
    usd: float
    record_id: str | None = None


class Admission:
    """One for the process."""

    def __init__(self, spending: Spending, clock: Clock) -> None:
        self._spending = spending
        self._clock = clock
        self._waiting: list[Reservation] = []

    def expected_usd(
        self, options: Options, inputs: int, prompt_characters: int, context: ContextSize | None = None
    ) -> float:
        """Return what a generation is expected to cost at most (`Spending.expected`)."""
        return self._spending.expected(options, inputs, prompt_characters, context)

    @asynccontextmanager
    async def admitted(self, user: User, usd: float, record_id: str | None) -> AsyncIterator[Reservation]:
        """Reserve `usd` for one generation until its record exists; then the record's id is to be set in the reservation.

        Requests with one `record_id`, that of their key, are one generation, which is not counted against itself.

        Raises TooManyGenerations, BudgetExceeded, StorageUnavailable.
        """
        mine, before = Reservation(user.id, usd, record_id), tuple(self._waiting)
        self._waiting.append(mine)
        try:
            await self._check(user, mine, before)
            yield mine
        finally:
            self._waiting.remove(mine)

    async def check(self, user: User, usd: float, record_id: str | None) -> float | None:
        """Check as `admitted` does without a reservation: for a request that begins nothing.

        Returns what may still be spent, None where there is no budget. Raises what `admitted` does.
        """
        return await self._check(user, Reservation(user.id, usd, record_id), tuple(self._waiting))

    async def _check(self, user: User, mine: Reservation, before: tuple[Reservation, ...]) -> float | None:
        """Returns what is left of the budgets, the smallest of them; None where there is none."""
        spent, budgets = await self._spent(user)
        ahead = _ahead(spent, [each for each in before if each.user_id == user.id], mine)
        self._compare_count(user, len(ahead))
        self._compare("Your", budgets, spent, sum(ahead.values()), mine.usd)
        left = _left(budgets, spent, sum(ahead.values()))
        budgets = self._spending.budgets_of_all_users
        if budgets != NO_BUDGETS:
            all_spent = await self._spending.of_all_users(budgets)
            running = sum(_ahead(all_spent, before, mine).values())
            self._compare("The service's", budgets, all_spent, running, mine.usd)
            left += _left(budgets, all_spent, running)
        return min(left, default=None)

    async def check_start(self, record: Record) -> None:
        """Check a queued generation again when it is to start: limits and prices may have changed while it waited.

        Those that have started count, and of those that have not the ones that came first: of several queued ones that do
        not all fit, the first ones run.

        Raises TooManyGenerations, BudgetExceeded, StorageUnavailable.
        """
        spent, budgets = await self._spent(record.user)
        ahead = _before(spent, record)
        self._compare_count(record.user, len(ahead))
        usd = record.expected_usd or 0.0
        self._compare("Your", budgets, spent, sum(ahead.values()), usd)
        budgets = self._spending.budgets_of_all_users
        if budgets != NO_BUDGETS:
            all_spent = await self._spending.of_all_users(budgets)
            self._compare("The service's", budgets, all_spent, sum(_before(all_spent, record).values()), usd)

    async def _spent(self, user: User) -> tuple[Spent, Budgets]:
        budgets = self._spending.budgets(user)
        if budgets == NO_BUDGETS:
            return await self._spending.running(user), budgets
        return await self._spending.of_user(user, budgets), budgets

    def _compare_count(self, user: User, running: int) -> None:
        if running >= self._spending.max_concurrent(user):
            raise TooManyGenerations(f"{running} of yours are running; wait until one is finished", retry_after=10)

    def _compare(self, whose: str, budgets: Budgets, spent: Spent, running: float, usd: float) -> None:
        self._compare_one(whose, "day", budgets.daily_usd, spent.day_usd, running, usd, self._spending.midnight())
        self._compare_one(
            whose, "month", budgets.monthly_usd, spent.month_usd, running, usd, self._spending.next_month()
        )

    def _compare_one(
        self, whose: str, period: str, budget: float | None, spent: float, running: float, usd: float, ends: datetime
    ) -> None:
        if budget is None or round(spent + running + usd, 6) <= budget:
            return
        raise BudgetExceeded(
            f"{whose} budget of {budget:g} US dollars a {period} is used up; it begins again at {iso(ends)}",
            retry_after=max(1, round((ends - self._clock.now()).total_seconds())),
            numbers={
                "dailyUsd" if period == "day" else "monthlyUsd": budget,
                "spentUsd": spent,
                "runningUsd": round(running, 6),
                "resetsAt": iso(ends),
            },
        )


NO_BUDGETS = Budgets(None, None)


def _left(budgets: Budgets, spent: Spent, running: float) -> list[float]:
    """What is left of each budget that is set."""
    sums = ((budgets.daily_usd, spent.day_usd), (budgets.monthly_usd, spent.month_usd))
    return [max(0.0, round(budget - used - running, 6)) for budget, used in sums if budget is not None]


def _ahead(spent: Spent, before: Iterable[Reservation], mine: Reservation) -> Mapping[str, float]:
    """What runs or is about to, by record, at its expected price: without `mine`, which another request may have begun."""
    waiting = {each.record_id or f"waiting {number}": each.usd for number, each in enumerate(before)}
    running = {name: each.usd for name, each in spent.running.items()}
    return {name: usd for name, usd in {**waiting, **running}.items() if name != mine.record_id}


def _before(spent: Spent, record: Record) -> Mapping[str, float]:
    """What runs beside `record`, as far as it has started or was begun before it."""
    mine = (iso(record.created_at), record.id)
    return {
        name: each.usd
        for name, each in spent.running.items()
        if name != record.id and (each.started or (each.created_at, each.id) < mine)
    }
