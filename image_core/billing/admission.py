"""Admit a generation if the user's limits and the budgets of a day and a month allow it.

The requests of one process count each other before their records exist, in the order in which they came; those of
different processes do not. So a limit is passed by at most what the other processes admit in the same moment.
"""

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime

from image_core.auth.user import User
from image_core.billing.budgets import NO_BUDGETS, Budgets
from image_core.billing.spending import Spending, Spent
from image_core.clock import Clock, iso
from image_core.errors import BudgetExceeded, TooManyGenerations
from image_core.models.generated import Options
from image_core.models.turns import ContextSize


@dataclass(eq=False, slots=True)
class Reservation:
    """The expected cost of one request between its check and its record."""

    user_id: str
    usd: float
    record_id: str | None = None


@dataclass(frozen=True, slots=True)
class Queued:
    """A queued generation that is to start."""

    id: str
    user: User
    created_at: datetime
    usd: float
    """The expected cost, in US dollars."""


class Admission:
    """Checks the limits. One for the process."""

    def __init__(self, spending: Spending, clock: Clock) -> None:
        self._spending = spending
        self._clock = clock
        self._reservations: list[Reservation] = []

    def expected_usd(
        self, options: Options, inputs: int, prompt_characters: int, context: ContextSize | None = None
    ) -> float:
        """Return what a generation is expected to cost at most (`Spending.expected`)."""
        return self._spending.expected(options, inputs, prompt_characters, context)

    @asynccontextmanager
    async def admitted(self, user: User, usd: float, record_id: str | None) -> AsyncIterator[Reservation]:
        """Reserve `usd` for one generation until its record exists, whose id is to be set before it is written.

        Requests with one `record_id`, that of their key, are one generation, which is not counted against itself.

        Raises TooManyGenerations, BudgetExceeded, StorageUnavailable.
        """
        mine, earlier = Reservation(user.id, usd, record_id), tuple(self._reservations)
        self._reservations.append(mine)
        try:
            await self._check(user, mine, earlier)
            yield mine
        finally:
            self._reservations.remove(mine)

    async def check(self, user: User, usd: float, record_id: str | None) -> float | None:
        """Check as `admitted` does without a reservation, for a request that begins nothing.

        Returns what may still be spent, None where there is no budget. Raises what `admitted` does.
        """
        return await self._check(user, Reservation(user.id, usd, record_id), tuple(self._reservations))

    async def check_start(self, queued: Queued) -> None:
        """Check a queued generation again when it is to start: limits and prices may have changed while it waited.

        Those that have started count, and of the others those that were created earlier: of several queued ones that do
        not all fit, the first ones run.

        Raises TooManyGenerations, BudgetExceeded, StorageUnavailable.
        """
        spent, budgets = await self._spent(queued.user)
        ahead = _before(spent, queued)
        self._compare_count(queued.user, len(ahead))
        self._compare("Your", budgets, spent, sum(ahead.values()), queued.usd)
        budgets = self._spending.budgets_of_all_users
        if budgets != NO_BUDGETS:
            of_all = await self._spending.of_all_users(budgets)
            self._compare("The service's", budgets, of_all, sum(_before(of_all, queued).values()), queued.usd)

    async def _check(self, user: User, mine: Reservation, earlier: tuple[Reservation, ...]) -> float | None:
        """Return the least that is left of a budget; None where there is none."""
        spent, budgets = await self._spent(user)
        ahead = _ahead(spent, [each for each in earlier if each.user_id == user.id], mine)
        self._compare_count(user, len(ahead))
        self._compare("Your", budgets, spent, sum(ahead.values()), mine.usd)
        left = _left(budgets, spent, sum(ahead.values()))
        budgets = self._spending.budgets_of_all_users
        if budgets != NO_BUDGETS:
            of_all = await self._spending.of_all_users(budgets)
            running = sum(_ahead(of_all, earlier, mine).values())
            self._compare("The service's", budgets, of_all, running, mine.usd)
            left += _left(budgets, of_all, running)
        return min(left, default=None)

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


def _left(budgets: Budgets, spent: Spent, running: float) -> list[float]:
    """Return what is left of each budget that is set."""
    sums = ((budgets.daily_usd, spent.day_usd), (budgets.monthly_usd, spent.month_usd))
    return [max(0.0, round(budget - used - running, 6)) for budget, used in sums if budget is not None]


def _ahead(spent: Spent, earlier: Iterable[Reservation], mine: Reservation) -> Mapping[str, float]:
    """Return the expected cost, by record, of what runs or is about to, without `mine`, which may run already."""
    reserved = {each.record_id or f"reserved {number}": each.usd for number, each in enumerate(earlier)}
    running = {name: each.usd for name, each in spent.unended.items()}
    return {name: usd for name, usd in {**reserved, **running}.items() if name != mine.record_id}


def _before(spent: Spent, queued: Queued) -> Mapping[str, float]:
    """Return the expected cost of what has started or was created before `queued`, by record."""
    return {
        name: each.usd
        for name, each in spent.unended.items()
        if name != queued.id and each.comes_before(queued.created_at, queued.id)
    }
