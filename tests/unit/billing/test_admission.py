"""Limits: how many generations run at once, and how much money they may cost."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest

from image_core.auth.user import User
from image_core.billing.admission import Admission, Queued
from image_core.billing.budgets import NO_BUDGETS, Budgets, SpendingLimits, UserLimits
from image_core.billing.entries import Entry
from image_core.billing.spending import Spending, Unended
from image_core.errors import BudgetExceeded, TooManyGenerations
from image_core.models.generated import Options
from image_core.models.prices import expected_cost
from image_core.models.turns import ContextSize
from tests.support.domain import ADA, BOB, Process, Store
from tests.support.fakes.clock import START, FakeClock
from tests.support.fakes.model import MODEL

DAILY, MONTHLY = Budgets(1.0, None), Budgets(None, 1.0)


@dataclass
class FakeUnended:
    """The generations that have not ended, by user."""

    by_user: dict[str, list[Unended]] = field(default_factory=dict)

    async def of_user(self, user: User) -> Sequence[Unended]:
        """Return one user's."""
        return self.by_user.get(user.id, [])

    async def of_all_users(self) -> Sequence[Unended]:
        """Return those of all."""
        return [each for found in self.by_user.values() for each in found]


@dataclass
class Setup:
    """An admission over a ledger in memory. The limits may be changed at any time."""

    process: Process = field(default_factory=Process)
    unended: FakeUnended = field(default_factory=FakeUnended)
    limits: UserLimits = field(default_factory=lambda: UserLimits(10, NO_BUDGETS))
    all_users: Budgets = NO_BUDGETS

    @property
    def spending(self) -> Spending:
        """What has been spent."""
        limits = SpendingLimits(lambda _: self.limits, self.all_users)
        return Spending(self.unended, self.process.ledger, limits, [MODEL], self.process.fake_clock.clock)

    @property
    def admission(self) -> Admission:
        """The admission of one process."""
        return Admission(self.spending, self.process.fake_clock.clock)

    async def spend(self, usd: float, user: User = ADA, time: datetime = START) -> None:
        """Enter one call."""
        number = len(self.process.store.entries.all)
        await self.process.ledger.enter(
            user, [Entry(f"e{number}", user.id, "gen-0", MODEL, "ok", 1, 1, usd, usd, time)]
        )


def unended(number: int = 1, usd: float = 0.4, started: bool = True, entries: tuple[Entry, ...] = ()) -> Unended:  # noqa: FBT002 - a column of the tests
    """Return a generation that was created `number` seconds after the start."""
    return Unended(f"gen-{number}", START + timedelta(seconds=number), usd, started, entries)


async def test_without_limits_everything_is_admitted_and_nothing_is_read_of_the_ledger() -> None:
    setup = Setup()
    setup.unended.by_user[ADA.id] = [unended(number) for number in range(9)]
    assert await setup.admission.check(ADA, 99.0, None) is None
    assert setup.process.store.entries.faults.calls == []


@pytest.mark.parametrize(("running", "admitted"), [(1, True), (2, False)])
async def test_number_of_running_generations_is_limited(running: int, admitted: bool) -> None:
    setup = Setup(limits=UserLimits(2, NO_BUDGETS))
    setup.unended.by_user = {ADA.id: [unended(number) for number in range(running)], BOB.id: [unended(9)] * 5}
    if admitted:
        await setup.admission.check(ADA, 0.1, None)
    else:
        with pytest.raises(TooManyGenerations, match="2 of yours are running"):
            await setup.admission.check(ADA, 0.1, None)


@pytest.mark.parametrize(("usd", "admitted"), [(0.3, True), (0.300001, False)])
@pytest.mark.parametrize("budgets", [DAILY, MONTHLY])
async def test_spent_running_and_expected_money_stay_within_a_budget(
    budgets: Budgets, usd: float, admitted: bool
) -> None:
    setup = Setup(limits=UserLimits(10, budgets))
    await setup.spend(0.3)
    await setup.spend(50.0, BOB)
    setup.unended.by_user[ADA.id] = [unended(usd=0.4)]
    if admitted:
        assert await setup.admission.check(ADA, usd, None) == 0.3
        return
    with pytest.raises(BudgetExceeded) as caught:
        await setup.admission.check(ADA, usd, None)
    period = "day" if budgets == DAILY else "month"
    ends = "2026-11-26" if budgets == DAILY else "2026-12-01"
    assert (
        caught.value.details
        == f"Your budget of 1 US dollars a {period} is used up; it begins again at {ends}T00:00:00.000Z"
    )
    assert caught.value.numbers == {
        "dailyUsd" if budgets == DAILY else "monthlyUsd": 1.0,
        "spentUsd": 0.3,
        "runningUsd": 0.4,
        "resetsAt": f"{ends}T00:00:00.000Z",
    }
    assert caught.value.retry_after == (12 * 3600 if budgets == DAILY else 5.5 * 86400)


async def test_yesterday_counts_in_the_month_and_not_in_the_day() -> None:
    setup = Setup(limits=UserLimits(10, Budgets(1.0, 2.0)))
    await setup.spend(1.5, time=START - timedelta(days=1))
    assert await setup.admission.check(ADA, 0.4, None) == 0.5
    with pytest.raises(BudgetExceeded, match="month"):
        await setup.admission.check(ADA, 0.6, None)


async def test_budget_of_all_users_counts_every_user() -> None:
    setup = Setup(all_users=Budgets(1.0, 5.0))
    await setup.spend(0.5, BOB)
    await setup.spend(2.0, BOB, START - timedelta(days=1))
    setup.unended.by_user[BOB.id] = [unended(usd=0.3)]
    assert await setup.admission.check(ADA, 0.2, None) == 0.2
    with pytest.raises(BudgetExceeded, match="The service's budget of 1 US dollars a day"):
        await setup.admission.check(ADA, 0.21, None)


async def test_reservations_of_one_process_count_each_other_in_their_order() -> None:
    admission = Setup(limits=UserLimits(10, DAILY)).admission
    async with admission.admitted(ADA, 0.6, None):
        with pytest.raises(BudgetExceeded):
            await admission.check(ADA, 0.5, None)
        async with admission.admitted(ADA, 0.4, None):
            pass
        await admission.check(BOB, 0.9, None)
    await admission.check(ADA, 1.0, None)


async def test_reservation_ends_where_its_request_fails() -> None:
    admission = Setup(limits=UserLimits(1, NO_BUDGETS)).admission
    with pytest.raises(RuntimeError):
        async with admission.admitted(ADA, 0.6, None):
            raise RuntimeError
    await admission.check(ADA, 0.5, None)


async def test_requests_with_one_key_are_one_generation() -> None:
    setup = Setup(limits=UserLimits(1, DAILY))
    admission = setup.admission
    async with admission.admitted(ADA, 0.6, "gen-key-1"):
        await admission.check(ADA, 0.6, "gen-key-1")
        with pytest.raises(TooManyGenerations):
            await admission.check(ADA, 0.1, "gen-key-2")
    setup.unended.by_user[ADA.id] = [replace(unended(), id="gen-key-1")]
    await setup.admission.check(ADA, 0.6, "gen-key-1")


async def test_reservation_and_its_record_count_once() -> None:
    setup = Setup(limits=UserLimits(2, NO_BUDGETS))
    admission = setup.admission
    async with admission.admitted(ADA, 0.6, None) as reservation:
        reservation.record_id = "gen-1"
        setup.unended.by_user[ADA.id] = [unended(1)]
        await admission.check(ADA, 0.1, None)


@pytest.mark.parametrize(
    ("other", "starts"),
    [
        (unended(1, started=True), False),
        (unended(1, started=False), False),
        (unended(9, started=True), False),
        (unended(9, started=False), True),
        (unended(5, started=False), True),
    ],
    ids=["started before", "queued before", "started later", "queued later", "itself"],
)
@pytest.mark.parametrize("limit", ["count", "user", "all"])
async def test_queued_generation_starts_in_its_turn(limit: str, other: Unended, starts: bool) -> None:
    setup = Setup()
    match limit:
        case "count":
            setup.limits = UserLimits(1, NO_BUDGETS)
        case "user":
            setup.limits = UserLimits(9, Budgets(0.5, None))
        case "all":
            setup.all_users = Budgets(0.5, None)
    setup.unended.by_user[ADA.id] = [other]
    queued = Queued("gen-5", ADA, START + timedelta(seconds=5), 0.4)
    if starts:
        await setup.admission.check_start(queued)
    else:
        with pytest.raises((TooManyGenerations, BudgetExceeded)):
            await setup.admission.check_start(queued)


def test_expected_cost_is_that_of_the_most_expensive_model() -> None:
    assert Setup().admission.expected_usd(Options(image_size="4K"), 2, 100) == expected_cost(
        [MODEL], Options(image_size="4K"), 2, START.date(), 100
    )


@pytest.mark.parametrize(("day", "usd"), [(1, 0.0416), (2, 0.038491)])
def test_expected_cost_of_a_model_is_that_of_its_successor_from_its_retirement_on(day: int, usd: float) -> None:
    clock = FakeClock(datetime(2026, 10, day, 23, 59, tzinfo=UTC)).clock
    limits = SpendingLimits(lambda _: UserLimits(1, NO_BUDGETS), NO_BUDGETS)
    spending = Spending(FakeUnended(), Process().ledger, limits, ["gemini-2.5-flash-image"], clock)
    assert spending.expected(Options(), 1, 12) == usd


async def test_report_has_what_the_ledger_does_not_have_yet() -> None:
    setup = Setup(limits=UserLimits(10, Budgets(1.0, 3.0)))
    await setup.spend(0.2)
    late = Entry("late", ADA.id, "gen-1", MODEL, "ok", 1, 1, 0.1, 0.1, START)
    earlier = replace(late, id="earlier", time=START - timedelta(days=2))
    (known,) = [each async for each in setup.process.ledger.of_user(ADA, "2026-11-25", "2026-11-26")]
    setup.unended.by_user[ADA.id] = [unended(usd=0.4, entries=(late, earlier, known))]
    report = await setup.spending.report(ADA)
    assert (report.day, report.month) == ("2026-11-25", "2026-11-01")
    assert (report.today.usd, report.today.calls, report.this_month.usd) == (0.3, 2, 0.4)
    assert (report.running_usd, report.daily_left_usd, report.monthly_left_usd) == (0.4, 0.3, 2.2)
    assert (report.day_ends.isoformat(), report.month_ends.isoformat()) == (
        "2026-11-26T00:00:00+00:00",
        "2026-12-01T00:00:00+00:00",
    )


async def test_what_is_left_is_never_negative_and_none_without_a_budget() -> None:
    setup = Setup(limits=UserLimits(10, Budgets(0.1, None)))
    await setup.spend(0.2)
    report = await setup.spending.report(ADA)
    assert (report.daily_left_usd, report.monthly_left_usd) == (0.0, None)


async def test_month_of_december_ends_with_the_year() -> None:
    setup = Setup()
    await setup.process.fake_clock.advance(20 * 86400)
    assert setup.spending.next_month().isoformat() == "2027-01-01T00:00:00+00:00"


def test_expected_cost_includes_the_earlier_turns() -> None:
    context = ContextSize(MODEL, 2, 3, 1000)
    admission = Setup().admission
    assert admission.expected_usd(Options(), 1, 12, context) > admission.expected_usd(Options(), 1, 12)
    assert admission.expected_usd(Options(), 1, 12, context) == expected_cost(
        [MODEL], Options(), 1, START.date(), 12, context
    )


async def test_limits_are_those_of_the_user() -> None:
    setup = Setup()
    limits = {ADA.id: UserLimits(1, DAILY), BOB.id: UserLimits(2, MONTHLY)}
    spending = Spending(
        setup.unended,
        setup.process.ledger,
        SpendingLimits(limits.__getitem__, NO_BUDGETS),
        [MODEL],
        setup.process.fake_clock.clock,
    )
    assert (spending.budgets(ADA), spending.budgets(BOB)) == (DAILY, MONTHLY)
    assert (spending.max_concurrent(ADA), spending.max_concurrent(BOB)) == (1, 2)


async def test_too_many_generations_may_be_tried_again_soon() -> None:
    setup = Setup(limits=UserLimits(0, NO_BUDGETS))
    with pytest.raises(TooManyGenerations) as caught:
        await setup.admission.check(ADA, 0.1, None)
    assert caught.value.retry_after == 10


@pytest.mark.parametrize(("seconds", "retry_after"), [(43199.9, 1), (43198.4, 2)])
async def test_budget_that_begins_again_in_a_moment(seconds: float, retry_after: int) -> None:
    setup = Setup(limits=UserLimits(10, DAILY))
    await setup.process.fake_clock.advance(seconds)
    with pytest.raises(BudgetExceeded) as caught:
        await setup.admission.check(ADA, 1.1, None)
    assert caught.value.retry_after == retry_after


@pytest.mark.parametrize("budget", ["user", "all"])
async def test_error_of_a_queued_generation_names_the_budget_that_is_used_up(budget: str) -> None:
    setup = Setup(
        all_users=DAILY if budget == "all" else NO_BUDGETS,
        limits=UserLimits(9, DAILY if budget == "user" else NO_BUDGETS),
    )
    with pytest.raises(BudgetExceeded) as caught:
        await setup.admission.check_start(Queued("gen-5", ADA, START, 1.1))
    whose = "Your" if budget == "user" else "The service's"
    assert str(caught.value.details).startswith(f"{whose} budget of 1 US dollars a day is used up")


async def test_queued_generations_of_one_moment_start_in_the_order_of_their_ids() -> None:
    setup = Setup(limits=UserLimits(1, NO_BUDGETS))
    setup.unended.by_user[ADA.id] = [Unended(f"gen-{number}", START, 0.1, started=False) for number in (4, 5, 6)]
    await setup.admission.check_start(Queued("gen-4", ADA, START, 0.1))
    with pytest.raises(TooManyGenerations):
        await setup.admission.check_start(Queued("gen-5", ADA, START, 0.1))


async def test_least_of_all_budgets_is_left() -> None:
    setup = Setup(limits=UserLimits(10, Budgets(2.0, 0.9)), all_users=Budgets(3.0, 4.0))
    assert await setup.admission.check(ADA, 0.1, None) == 0.9
    setup.limits = UserLimits(10, Budgets(3.0, None))
    setup.all_users = Budgets(None, 0.7)
    assert await setup.admission.check(ADA, 0.1, None) == 0.7


async def test_month_of_all_users_counts_their_month() -> None:
    setup = Setup(all_users=MONTHLY)
    await setup.spend(0.8, BOB, START - timedelta(days=3))
    await setup.spend(5.0, BOB, START - timedelta(days=30))
    with pytest.raises(BudgetExceeded) as caught:
        await setup.admission.check(ADA, 0.3, None)
    assert caught.value.numbers["spentUsd"] == 0.8
    assert await setup.admission.check(ADA, 0.2, None) == 0.2


@pytest.mark.parametrize(
    ("budgets", "spent"), [(DAILY, (0.3, 0.0)), (MONTHLY, (0.0, 0.4)), (Budgets(9.0, 9.0), (0.3, 0.4))]
)
async def test_spent_includes_what_the_ledger_does_not_have_yet(budgets: Budgets, spent: tuple[float, float]) -> None:
    setup = Setup(limits=UserLimits(10, budgets))
    await setup.spend(0.1)
    late = Entry("late", ADA.id, "gen-1", MODEL, "ok", 1, 1, 0.2, 0.2, START)
    earlier = replace(late, id="earlier", time=START - timedelta(days=2), usd=0.1, budget_usd=0.1)
    setup.unended.by_user[ADA.id] = [unended(entries=(late, earlier))]
    found = await setup.spending.of_user(ADA, budgets)
    assert (found.day_usd, found.month_usd) == spent


@pytest.mark.parametrize(
    ("now", "midnight", "month"),
    [
        (
            datetime(2026, 11, 25, 12, 34, 56, 789, UTC),
            datetime(2026, 11, 26, tzinfo=UTC),
            datetime(2026, 12, 1, tzinfo=UTC),
        ),
        (datetime(2027, 1, 31, 23, 59, 59, 1, UTC), datetime(2027, 2, 1, tzinfo=UTC), datetime(2027, 2, 1, tzinfo=UTC)),
        (datetime(2026, 12, 31, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)),
    ],
)
def test_budgets_begin_again_at_midnight(now: datetime, midnight: datetime, month: datetime) -> None:
    setup = Setup(process=Process(Store(clock=FakeClock(now))))
    assert (setup.spending.midnight(), setup.spending.next_month()) == (midnight, month)


async def test_numbers_are_rounded_to_a_millionth() -> None:
    setup = Setup(limits=UserLimits(10, DAILY))
    setup.unended.by_user[ADA.id] = [unended(1, 0.1000003), unended(2, 0.1000003)]
    assert await setup.admission.check(ADA, 0.7999995, None) == 0.799999
    report = await setup.spending.report(ADA)
    assert (report.running_usd, report.daily_left_usd) == (0.200001, 0.799999)
    with pytest.raises(BudgetExceeded) as caught:
        await setup.admission.check(ADA, 0.9, None)
    assert caught.value.numbers["runningUsd"] == 0.200001
