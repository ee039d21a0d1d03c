"""The ledger: each entry is in it, and in its sums, exactly once."""

import asyncio
from collections.abc import Coroutine
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from image_core.auth.user import User
from image_core.billing.entries import Entry, Sum
from image_core.billing.ledger import ENTRIES_AT_ONCE, _span
from image_core.billing.ledger_codec import entry_document, sum_document, to_entry, to_sum
from image_core.errors import StorageUnavailable
from tests.support.domain import ADA, BOB, Process
from tests.support.fakes.clock import START
from tests.support.fakes.faults import Effect

DAY, MONTH = "2026-11-25", "2026-11"


def entry(number: int = 1, usd: float | None = 0.1, user: User = ADA, time: datetime = START) -> Entry:
    """One call that was billed."""
    return Entry(f"run-{number}", user.id, "gen-1", "m", "ok", 1, 2, usd, 0.24 if usd is None else usd, time)


async def test_entry_is_in_the_sums_of_its_day_and_month() -> None:
    ledger = Process().ledger
    await ledger.enter(ADA, [entry(1), entry(2, None)])
    for period in (DAY, MONTH):
        found = await ledger.sum_of(ADA, period)
        assert (found.calls, found.images, found.usd, found.unpriced, found.estimated_usd) == (2, 2, 0.1, 1, 0.24)
        assert (found.budget_usd, found.models["m"].calls) == (0.34, 2)
    assert await ledger.sum_of(BOB, DAY) == Sum()


@pytest.mark.parametrize("effect", [Effect.APPLIED, Effect.LOST, Effect.REPEATED, Effect.REFUSED])
async def test_entry_that_is_delivered_again_counts_once(effect: Effect) -> None:
    process = Process()
    process.store.entries.faults.add(effect, "write_batch")
    for _ in range(3):
        try:
            await process.fake_clock.run(process.ledger.enter(ADA, [entry()]))
        except StorageUnavailable:
            continue
        await process.ledger.enter_delivered([entry(), entry()])
    assert (await process.ledger.sum_of(ADA, DAY)).usd == 0.1
    assert process.store.billed() == [("ok", 0.1)]


async def test_late_entry_counts_in_the_day_of_its_call() -> None:
    process = Process()
    await process.fake_clock.advance(3 * 86400)
    await process.ledger.enter(ADA, [entry(1), entry(2, time=START + timedelta(days=1))])
    assert [(await process.ledger.sum_of(ADA, day)).usd for day in (DAY, "2026-11-26", "2026-11-28")] == [0.1, 0.1, 0.0]
    assert (await process.ledger.sum_of(ADA, MONTH)).usd == 0.2


async def test_processes_that_race_write_the_same_sums() -> None:
    first = Process()
    second = Process(first.store)
    made = [entry(number) for number in range(6)]
    entering = [process.ledger.enter(ADA, made[number : number + 3]) for number, process in ((0, first), (3, second))]
    await first.fake_clock.run(_all(*entering))
    assert (await first.ledger.sum_of(ADA, DAY)).usd == 0.6


async def _all(*work: Coroutine[Any, Any, None]) -> None:
    await asyncio.gather(*work)


async def test_more_entries_than_a_batch_takes_are_entered() -> None:
    process = Process()
    await process.ledger.enter(ADA, [entry(number) for number in range(ENTRIES_AT_ONCE + 1)])
    assert (await process.ledger.sum_of(ADA, DAY)).calls == ENTRIES_AT_ONCE + 1
    assert [name for name, _ in process.store.entries.faults.calls].count("write_batch") == 2


async def test_sum_of_a_period_of_an_earlier_version_is_made_of_its_entries() -> None:
    process = Process()
    await process.store.entries.create(entry_document(entry()))
    await process.store.entries.create(entry_document(entry(2, time=START + timedelta(days=1))))
    assert (await process.ledger.sum_of(ADA, DAY)).usd == 0.1
    await process.ledger.enter(ADA, [entry(3)])
    assert [(await process.ledger.sum_of(ADA, period)).usd for period in (DAY, MONTH)] == [0.2, 0.3]


async def test_failure_of_one_user_does_not_stop_the_entries_of_others() -> None:
    process = Process()
    process.store.entries.faults.add(Effect.REFUSED, "write_batch", ADA.id)
    with pytest.raises(StorageUnavailable):
        await process.fake_clock.run(process.ledger.enter_delivered([entry(), entry(2, user=BOB)]))
    assert (await process.ledger.sum_of(BOB, DAY)).usd == 0.1


async def test_all_users_together() -> None:
    process = Process()
    await process.ledger.enter_delivered([entry(), entry(2, None, BOB)])
    assert await process.ledger.of_all_users(DAY) == 0.34
    assert [each async for each in process.ledger.of_user(ADA, DAY, "2026-11-26")] == [entry()]
    found = [each async for each in process.ledger.entries_of_all_users(DAY, "2026-11-26")]
    assert sorted(each.user_id for each in found) == [ADA.id, BOB.id]
    assert [each async for each in process.ledger.entries_of_all_users("2026-11-26", "2026-11-27")] == []


async def test_nothing_to_enter_reads_nothing() -> None:
    process = Process()
    await process.ledger.enter(ADA, [])
    assert process.store.entries.faults.calls == []


@pytest.mark.parametrize(
    ("period", "span"),
    [
        ("2026-11-25", ("2026-11-25", "2026-11-26")),
        ("2026-12-31", ("2026-12-31", "2027-01-01")),
        ("2026-11", ("2026-11-01", "2026-12-01")),
        ("2026-12", ("2026-12-01", "2027-01-01")),
    ],
)
def test_span_of_a_period(period: str, span: tuple[str, str]) -> None:
    assert _span(period) == span


def test_documents_of_entries_and_sums_are_read_as_they_were_written() -> None:
    added = Sum()
    added.add_by_model(entry(1))
    added.add_by_model(replace(entry(2, None), outcome="no_image"))
    assert to_sum(sum_document(ADA.id, DAY, added, "2026-11-25T12:00:00.000Z")) == added
    assert to_entry(entry_document(entry())) == entry()
    assert entry_document(entry())["time"] == "2026-11-25T12:00:00.000Z"
    assert (added.images, added.calls) == (1, 2)


async def test_new_entry_is_written_without_a_read() -> None:
    process = Process()
    await process.ledger.enter(ADA, [entry()])
    assert ("read", "run-1") not in process.store.entries.faults.calls


async def test_delivered_entry_that_is_known_is_not_written_again() -> None:
    process = Process()
    await process.ledger.enter_delivered([entry()])
    process.store.entries.faults.calls.clear()
    await process.ledger.enter_delivered([entry()])
    assert process.store.entries.faults.calls == [("read", "run-1")]


async def test_processes_that_enter_the_same_call_count_it_once() -> None:
    first = Process()
    second = Process(first.store)
    await first.fake_clock.run(_all(*(process.ledger.enter(ADA, [entry()]) for process in (first, second))))
    assert (await first.ledger.sum_of(ADA, DAY)).calls == 1


async def test_all_users_are_entered_before_a_failure_is_raised_and_none_waits_for_another() -> None:
    process = Process()
    gate = asyncio.Event()
    process.store.entries.faults.add(Effect.APPLIED, "write_batch", BOB.id).before = gate.wait
    process.store.entries.faults.add(Effect.REFUSED, "write_batch", ADA.id)
    entering = asyncio.ensure_future(process.ledger.enter_delivered([entry(2, user=BOB), entry()]))
    await process.fake_clock.settle()
    assert ("write_batch", ADA.id) in process.store.entries.faults.calls
    assert not entering.done()
    gate.set()
    await process.fake_clock.settle()
    with pytest.raises(StorageUnavailable):
        await entering


async def test_sum_says_when_it_was_written() -> None:
    process = Process()
    await process.ledger.enter(ADA, [entry()])
    (document,) = [each for each in process.store.entries.all if each["id"] == f"sum-{DAY}"]
    assert (document["updatedAt"], document["period"], document["budgetUsd"]) == ("2026-11-25T12:00:00.000Z", DAY, 0.1)


async def test_sum_of_all_users_is_that_of_its_period() -> None:
    ledger = Process().ledger
    await ledger.enter(ADA, [entry(1, 0.1), entry(2, 0.2, time=START + timedelta(days=1))])
    assert [await ledger.of_all_users(period) for period in (DAY, "2026-11-26", MONTH)] == [0.1, 0.2, 0.3]


def test_sums_are_rounded_to_a_millionth() -> None:
    added = Sum()
    for number in range(2):
        added.add(entry(number, 0.1000003))
        added.add(replace(entry(number, None), budget_usd=0.1000003))
    assert (added.usd, added.unpriced, added.estimated_usd, added.budget_usd) == (0.2, 2, 0.2, 0.4)
