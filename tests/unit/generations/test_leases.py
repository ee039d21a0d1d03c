"""Leases: how long they last, when they are renewed, and who may take or give back one."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from image_core.errors import StorageUnavailable
from image_core.generations.lease import CancelRequested, LeaseLost
from image_core.generations.record import Record, Status
from image_core.generations.result import LeasedElsewhere
from tests.support.domain import ADA, LIMITS, Process
from tests.support.fakes.clock import START
from tests.support.fakes.faults import Effect
from tests.support.fakes.model import Call
from tests.support.logs import logged
from tests.support.records import make


async def leased(process: Process) -> Record:
    """Create a record, leased to this process."""
    return await process.leases.create(make(ADA, lease_owner=None, lease_expires_at=None), queued=False)


@pytest.mark.parametrize(("queued", "seconds"), [(True, 60), (False, 90)])
async def test_new_generation_is_leased_for_one_lease_or_waits_a_minute_for_the_queue(
    queued: bool, seconds: float
) -> None:
    process = Process(limits=replace(LIMITS, lease_seconds=90))
    record = await process.leases.create(make(ADA, lease_owner=None, lease_expires_at=None), queued=queued)
    assert record.lease_expires_at == START + timedelta(seconds=seconds)
    assert (record.lease_owner is None, record.run_id is None, record.attempt_count) == (queued, queued, 1 - queued)
    assert process.store.record(record.id) == record


async def test_tokens_of_leases_and_runs_have_16_random_bytes() -> None:
    process = Process()
    record = await leased(process)
    claimed = await process.leases.claim(replace(record, lease_expires_at=START))
    async with process.leases.hold(claimed) as lease:
        started = await lease.start()
    again = await process.leases.reopen(started, 0.2, queued=False)
    tokens = {record.lease_owner, record.run_id, claimed.lease_owner, started.run_id, again.lease_owner}
    assert [len(token or "") for token in tokens] == [2 * 16] * 5


async def test_lease_is_renewed_three_times_in_its_time() -> None:
    process = Process()
    record = await leased(process)
    async with process.leases.hold(record):
        for seconds in (19, 1, 20, 20):
            await process.fake_clock.advance(seconds)
        stored = process.store.record(record.id)
        assert stored is not None
        assert stored.lease_expires_at == START + timedelta(seconds=120)
    replaced = [name for name, _ in process.store.generations.faults.calls].count("replace")
    assert replaced == 3
    await process.fake_clock.advance(60)
    assert process.store.record(record.id) == stored, "it is renewed no longer"


async def test_lease_that_was_given_back_is_free_at_once() -> None:
    process = Process()
    record = await leased(process)
    await process.fake_clock.advance(5)
    async with process.leases.hold(record) as lease:
        await lease.release()
    other = Process(process.store)
    assert len(await other.recovery.find()) == 1
    stored = process.store.record(record.id)
    assert stored is not None
    claimed = await other.leases.claim(stored)
    assert (claimed.lease_owner is not None, claimed.lost_claims) == (True, 0)


async def test_claim_takes_an_expired_lease_for_one_lease_and_counts_the_process_that_died() -> None:
    process = Process()
    record = await leased(process)
    await process.fake_clock.advance(59.999)
    with pytest.raises(LeasedElsewhere) as caught:
        await Process(process.store).leases.claim(record)
    assert caught.value.record == record
    await process.fake_clock.advance(0.001)
    claimed = await Process(process.store).leases.claim(record)
    assert claimed.lease_expires_at == START + timedelta(seconds=120)
    assert (claimed.lost_claims, claimed.attempt_count) == (1, 1)


async def test_cancel_at_a_process_that_has_lost_its_lease_leaves_it_to_the_other_process() -> None:
    process = Process()
    process.model.script = [Call(before_answer=asyncio.Event())]
    record = await process.begin()
    await process.fake_clock.settle()
    stored = process.store.record(record.id)
    assert stored is not None
    await process.store.write(replace(stored, lease_owner="b"))
    answered = await process.fake_clock.run(process.cancellation.cancel(ADA, record.id, 10))
    assert (answered.status, answered.lease_owner, process.fake_clock.monotonic()) == (Status.RUNNING, "b", 0)


async def test_cancel_stops_the_generation_and_no_other() -> None:
    process = Process()
    answer = asyncio.Event()
    process.model.script = [Call(before_answer=answer), Call(before_answer=answer)]
    first, second = await process.begin(), await process.begin()
    await process.fake_clock.settle()
    canceled = await process.fake_clock.run(process.cancellation.cancel(ADA, first.id, 10))
    answer.set()
    ended = await process.ended(second)
    assert ended is not None
    assert (canceled.status, ended.status) == (Status.CANCELED, Status.SUCCEEDED)


async def returned(value: str) -> str:
    return value


async def failing() -> str:
    raise ValueError("it broke")


async def test_work_under_a_lease_returns_its_result_or_raises_its_error() -> None:
    process = Process()
    record = await leased(process)
    async with process.leases.hold(record) as lease:
        assert await lease.run_under(returned("done")) == "done"
        with pytest.raises(ValueError, match="it broke"):
            await lease.run_under(failing())


@pytest.mark.parametrize("deleted", [True, False])
async def test_work_is_cancelled_when_the_lease_is_lost_and_the_error_says_what_is_stored(deleted: bool) -> None:
    process = Process()
    record = await leased(process)
    cancelled = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async with process.leases.hold(record) as lease:
        working = asyncio.ensure_future(lease.run_under(work()))
        await process.fake_clock.settle()
        if deleted:
            await process.store.remove(record)
            taken = None
        else:
            taken = await process.store.write(replace(record, lease_owner="b"))
        await process.fake_clock.advance(20)
        with pytest.raises(LeaseLost) as caught:
            await working
    assert caught.value.stored == taken
    assert cancelled.is_set()


async def ended_late(ends: str) -> str:
    """Work that ends by itself at the moment at which it is cancelled."""
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        if ends == "result":
            return "done"
        raise ValueError("it broke") from None
    return ""


@pytest.mark.parametrize("ends", ["result", "error"])
async def test_result_that_comes_at_the_moment_of_a_cancellation_counts_and_an_error_does_not(ends: str) -> None:
    process = Process()
    record = await leased(process)
    async with process.leases.hold(record) as lease:
        working = asyncio.ensure_future(lease.run_under(ended_late(ends)))
        await process.fake_clock.settle()
        lease.update(replace(record, cancel_requested_at=START))
        if ends == "result":
            assert await working == "done"
        else:
            with pytest.raises(CancelRequested):
                await working


@pytest.mark.parametrize("arriving", [True, False])
async def test_canceled_work_ends_at_once_unless_a_paid_answer_is_arriving(arriving: bool) -> None:
    process = Process()
    record = await leased(process)
    answer = asyncio.Event()
    async with process.leases.hold(record) as lease:
        working = asyncio.ensure_future(lease.run_under(answer.wait(), lambda: arriving))
        await process.fake_clock.settle()
        lease.update(replace(record, cancel_requested_at=START))
        await process.fake_clock.settle()
        assert working.done() != arriving
        answer.set()
        if arriving:
            assert await working
        else:
            with pytest.raises(CancelRequested):
                await working


async def test_lost_lease_stops_work_even_while_a_canceled_generations_answer_is_arriving() -> None:
    process = Process()
    record = await leased(process)
    async with process.leases.hold(record) as lease:
        working = asyncio.ensure_future(lease.run_under(asyncio.Event().wait(), lambda: True))
        await process.fake_clock.settle()
        lease.update(replace(record, cancel_requested_at=START))
        await process.fake_clock.settle()
        await process.store.remove(record)
        await process.fake_clock.advance(20)
        with pytest.raises(LeaseLost):
            await working


async def test_start_is_written_once_where_its_acknowledgement_was_lost() -> None:
    process = Process()
    record = await process.leases.create(make(ADA, lease_owner=None), queued=True)
    claimed = await process.leases.claim(record)
    async with process.leases.hold(claimed) as lease:
        process.store.generations.faults.add(Effect.REPEATED, "replace")
        started = await lease.start()
    assert (started.attempt_count, started.attempts) == (1, ())
    assert started.run_id is not None
    assert lease.record == started


async def test_renewals_that_fail_and_leases_that_are_not_given_back_are_logged_with_their_generation(
    caplog: pytest.LogCaptureFixture,
) -> None:
    process = Process()
    record = await leased(process)
    process.store.generations.faults.unreachable = True
    async with process.leases.hold(record) as lease:
        await process.fake_clock.advance(20)
        await lease.try_release()
        with pytest.raises(StorageUnavailable):
            await lease.release()
    assert logged(caplog) == [
        ("a lease was not renewed", record.id),
        ("a lease was not released", record.id),
    ]


@pytest.mark.parametrize(
    ("attempts", "claims", "exhausted"), [(2, 0, False), (3, 0, True), (0, 5, False), (0, 6, True), (2, 5, False)]
)
def test_generation_with_which_too_many_processes_have_died_is_exhausted(
    attempts: int, claims: int, exhausted: bool
) -> None:
    record = make(ADA, attempt_count=attempts, lost_claims=claims)
    assert Process().leases.exhausted(record) is exhausted


async def test_shutdown_gives_back_every_lease_that_it_can_and_counts_all(caplog: pytest.LogCaptureFixture) -> None:
    process = Process()
    process.model.script = [Call(before_answer=asyncio.Event()) for _ in range(3)]
    records = [await process.begin() for _ in range(3)]
    await process.fake_clock.settle()
    process.store.generations.faults.add(Effect.REFUSED, "replace", records[0].id)
    assert await process.leases.release_all() == 3
    owners = [process.store.record(each.id).lease_owner for each in records]  # type: ignore[union-attr] # they are there
    assert owners == [records[0].lease_owner, None, None]
    assert [each.getMessage() for each in caplog.records] == ["a lease was not released: StorageUnavailable"]
