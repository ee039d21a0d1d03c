"""Waiting for generations, and what is logged where no caller waits."""

import asyncio
from dataclasses import replace

import pytest

from image_core.errors import Internal, NotFound, StorageUnavailable
from image_core.generations.record import Record, Status, StoredTurn
from image_core.generations.result import Gone
from tests.support.domain import ADA, LIMITS, REQUEST, Process, image
from tests.support.fakes.clock import START
from tests.support.fakes.faults import Effect
from tests.support.fakes.model import Call
from tests.support.logs import logged
from tests.support.records import make


@pytest.mark.parametrize("ends", ["with another process", "deleted", "removed", "late"])
async def test_waiting_for_a_generation_of_another_process(ends: str) -> None:
    process = Process()
    record = await process.begin(queued=True)
    waiting = asyncio.ensure_future(process.background.wait(record, 5))
    await process.fake_clock.advance(2)
    match ends:
        case "with another process":
            await process.store.write(replace(record, status=Status.CANCELED))
        case "deleted":
            await process.store.write(record.deleting(START, leased=False))
        case "removed":
            await process.store.remove(record)
    await process.fake_clock.advance(1 if ends != "late" else 2.9)
    if ends in {"deleted", "removed"}:
        with pytest.raises(Gone) as caught:
            await waiting
        assert caught.value.record_id == record.id
        return
    if ends == "late":
        assert not waiting.done()
        await process.fake_clock.advance(0.2)
    status = Status.RUNNING if ends == "late" else Status.CANCELED
    assert (await waiting).record.status is status


async def test_waiting_no_time_at_all_reads_nothing() -> None:
    process = Process()
    record = await process.begin(queued=True)
    calls = len(process.store.generations.faults.calls)
    assert (await process.background.wait(record, 0)).record is record
    assert len(process.store.generations.faults.calls) == calls


async def test_failure_without_a_waiting_caller_is_logged_without_its_message(caplog: pytest.LogCaptureFixture) -> None:
    process = Process()
    record = await process.begin(queued=True)
    process.store.blobs.faults.add(Effect.REFUSED, "read", "inputs/")
    process.background.resume(record)
    await process.ended(record)
    assert logged(caplog) == [("a generation did not end here: StorageUnavailable", record.id)]


async def test_generation_that_was_also_resumed_here_ends_without_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    process = Process()
    answer = asyncio.Event()
    process.model.script = [Call(before_answer=answer)]
    record = await process.begin()
    await process.fake_clock.settle()
    process.background.resume(record)
    await process.fake_clock.settle()
    answer.set()
    await process.fake_clock.settle()
    assert process.store.record(record.id).status is Status.SUCCEEDED  # type: ignore[union-attr] # it is there
    assert caplog.records == []


async def test_deletion_while_it_runs_is_no_warning(caplog: pytest.LogCaptureFixture) -> None:
    process = Process()
    answer = asyncio.Event()
    process.model.script = [Call(before_answer=answer)]
    record = await process.begin()
    await process.fake_clock.settle()
    await process.store.remove(record)
    answer.set()
    await process.ended(record)
    assert caplog.records == []


async def test_cancel_of_a_generation_that_ends_meanwhile_returns_how_it_ended() -> None:
    process = Process()
    record = await process.begin(queued=True)

    async def succeed() -> None:
        process.store.generations.faults.clear()
        await process.store.write(replace(record, status=Status.SUCCEEDED, lease_expires_at=None))

    process.store.generations.faults.add(Effect.APPLIED, "replace").before = succeed
    canceled = await process.cancellation.cancel(ADA, record.id, 1)
    assert (canceled.status, canceled.cancel_requested_at) == (Status.SUCCEEDED, None)


async def test_cancel_of_a_generation_that_was_just_begun_waits_until_it_is_readable() -> None:
    process = Process()
    record = await process.begin(queued=True)
    await process.store.remove(record)
    canceling = asyncio.ensure_future(process.cancellation.cancel(ADA, record.id, 10))
    await process.fake_clock.advance(0.3)
    await process.store.write(record)
    await process.fake_clock.advance(1)
    assert (await canceling).status is Status.CANCELED


async def test_second_cancellation_keeps_the_time_of_the_first() -> None:
    process = Process()
    process.model.script = [Call(before_answer=asyncio.Event())]
    record = await process.begin()
    await process.fake_clock.settle()
    other = Process(process.store)
    for _ in range(2):
        assert (await other.cancellation.cancel(ADA, record.id, 0)).cancel_requested_at == START
        await process.fake_clock.advance(5)


async def test_cancel_of_a_generation_that_is_deleted_meanwhile_is_not_found() -> None:
    process = Process()
    record = await process.begin(queued=True)

    async def remove() -> None:
        await process.store.remove(record)

    process.store.generations.faults.add(Effect.APPLIED, "replace").before = remove
    with pytest.raises(NotFound):
        await process.cancellation.cancel(ADA, record.id, 1)


async def test_cancel_of_what_has_ended_leaves_it() -> None:
    process = Process()
    record = await process.make()
    assert await process.cancellation.cancel(ADA, record.id, 1) == record


async def test_two_cancellations_are_one() -> None:
    process = Process()
    process.model.script = [Call(before_answer=asyncio.Event())]
    record = await process.begin()
    await process.fake_clock.settle()
    first, second = await process.fake_clock.run(_cancel_twice(process, record.id))
    assert (first.status, first.cancel_requested_at) == (second.status, second.cancel_requested_at)
    assert first.status is Status.CANCELED


async def _cancel_twice(process: Process, record_id: str) -> list[Record]:
    return await asyncio.gather(*(process.cancellation.cancel(ADA, record_id, 10) for _ in range(2)))


async def test_held_inputs_are_read_again_for_another_attempt() -> None:
    process = Process()
    record = await process.begin(queued=True)
    held = process.run_inputs.stored(record)
    assert (held.continues, held.turns_of, await held.turns()) == (False, None, ())
    assert (held.may_be_billed, held.arriving) == (False, False)
    await held.load()
    assert process.memory.held == held.size > 0
    first = await held.images()
    held.sent()
    assert process.memory.held == 0
    assert await held.images() == first
    assert process.memory.held == held.size
    held.release()
    held.release()
    assert process.memory.held == 0


async def test_inputs_of_an_edit_include_its_earlier_turns() -> None:
    process = Process()
    copies = await process.copies.put_all(ADA, (image(1), image(2)))
    turn = StoredTurn("generated-0.t", "another", 700, 1, 5, copies[:1])
    edit = make(ADA, inputs=copies[1:], parent_id="gen-0", context=(replace(turn, model="first"), turn))
    held = process.run_inputs.stored(edit)
    assert (held.continues, held.turns_of) == (True, "another")
    assert held.size == copies[1].size + 2 * 700 + copies[0].size
    plain = process.run_inputs.stored(replace(edit, context=()))
    assert (plain.continues, plain.turns_of, plain.size) == (True, None, copies[1].size)


async def test_answer_gets_its_memory_after_a_short_wait_even_beyond_the_limit() -> None:
    process = Process()
    held = process.run_inputs.stored(await process.begin(queued=True))
    with process.memory.claim(ADA.id) as claim:
        claim.take(100_000_000)
        await held.receiving(10, 0.001)
        assert process.memory.held == 100_000_010
        held.release()


async def test_retries_last_for_their_time_and_raise_the_last_outage() -> None:
    process = Process()
    tries: list[float] = []

    async def down() -> None:
        tries.append(process.fake_clock.monotonic())
        raise StorageUnavailable

    with pytest.raises(StorageUnavailable):
        await process.fake_clock.run(process.retries.run(down, 3.5))
    assert tries == [0, 1, 2, 3]
    with pytest.raises(StorageUnavailable):
        await process.fake_clock.run(process.retries.run(down))
    assert process.fake_clock.monotonic() == 3 + LIMITS.keep_seconds - 1


async def test_other_errors_are_not_retried() -> None:
    process = Process()

    async def wrong() -> None:
        raise Internal

    with pytest.raises(Internal):
        await process.retries.run(wrong)


async def test_masked_edit_without_a_parent_is_run_again_from_its_copies() -> None:
    process = Process()
    record = await process.begin(replace(REQUEST, images=("https://example.com/a.png",)), queued=True)
    await process.fake_clock.run(process.recovery.resume(process.submission.message(record).encode()))
    assert process.store.record(record.id).status is Status.SUCCEEDED  # type: ignore[union-attr] # it is there


@pytest.mark.parametrize(
    ("deadline", "compose", "keep"),
    [(300, 145, 145), (100, 150, 300), (200, 150, 240), (500, 45, 45)],
)
def test_invocation_is_long_enough_for_all_that_follows_the_models(
    deadline: float, compose: float, keep: float
) -> None:
    limits = replace(LIMITS, deadline_seconds=deadline)
    assert (limits.compose_seconds, limits.keep_seconds) == (compose, keep)
    assert deadline + max(compose, 30) + keep + 10 <= limits.invocation_seconds
