"""What the timer finds, and what a message of the queue does."""

import asyncio
import json
import logging
from dataclasses import replace
from datetime import timedelta

import pytest

from image_core.errors import NoImage, StorageUnavailable
from image_core.generations.failure import Failure
from image_core.generations.queue_message import InvalidMessage, QueueMessage
from image_core.generations.record import Status
from image_core.generations.record_codec import to_document
from tests.support.domain import ADA, Process
from tests.support.fakes.clock import START
from tests.support.fakes.faults import Effect
from tests.support.fakes.model import Call
from tests.support.logs import logged


async def test_only_what_no_process_runs_is_found() -> None:
    process = Process()
    waiting = await process.begin(queued=True)
    process.model.script = [Call(before_answer=asyncio.Event())]
    await process.begin()
    await process.make()
    assert await process.recovery.find() == []
    await process.fake_clock.advance(61)
    (message,) = await process.recovery.find()
    assert json.loads(message) == {"id": waiting.id, "userId": ADA.id, "queuedAt": "2026-11-25T12:01:01.000Z"}


@pytest.mark.parametrize(
    ("to_resume", "in_outbox", "waiting", "messages"),
    [
        (0, 0, 0, []),
        (2, 0, 0, ["recovery: 2 to resume, 0 from the outbox, 0 wait there"]),
        (0, 3, 0, ["recovery: 0 to resume, 3 from the outbox, 0 wait there"]),
        (1, 1, 1, ["recovery: 1 to resume, 1 from the outbox, 1 wait there"]),
    ],
)
async def test_timer_logs_what_it_found(
    to_resume: int, in_outbox: int, waiting: int, messages: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "image_core.generations")
    process = Process()
    for _ in range(to_resume):
        await process.begin(queued=True)
    for number in range(in_outbox + waiting):
        record = await process.begin(queued=True)
        await process.outbox.put(to_document(record.failed(Failure.of(NoImage()), (), (), START)))
        if number < waiting:
            process.store.generations.faults.add(Effect.REFUSED, "read", record.id)
    await process.fake_clock.advance(61)
    assert len(await process.recovery.find()) == to_resume
    assert [each.getMessage() for each in caplog.records] == messages


async def test_outbox_that_cannot_be_read_does_not_stop_the_timer(caplog: pytest.LogCaptureFixture) -> None:
    process = Process()
    await process.begin(queued=True)
    await process.fake_clock.advance(61)
    process.store.blobs.faults.unreachable = True
    assert len(await process.recovery.find()) == 1
    assert "the outbox could not be applied: storage_unavailable" in caplog.text


async def test_message_that_comes_twice_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    process = Process()
    record = await process.begin(queued=True)
    message = process.submission.message(record).encode()
    caplog.set_level(logging.INFO, "image_core.generations")
    for _ in range(2):
        await process.fake_clock.run(process.recovery.resume(message))
    assert len(process.model.calls) == 1
    assert logged(caplog) == [("resumed: succeeded", record.id)] * 2


async def test_message_for_what_another_process_runs_is_done(caplog: pytest.LogCaptureFixture) -> None:
    process = Process()
    process.model.script = [Call(before_answer=asyncio.Event())]
    record = await process.begin()
    with caplog.at_level(logging.INFO, "image_core.generations"):
        await Process(process.store).recovery.resume(QueueMessage(record.id, ADA.id).to_json().encode())
    assert logged(caplog) == [("another process runs it", record.id)]


async def test_message_for_what_is_deleted_while_it_is_claimed_is_done(caplog: pytest.LogCaptureFixture) -> None:
    process = Process()
    record = await process.begin(queued=True)

    async def remove() -> None:
        await process.store.remove(record)

    process.store.generations.faults.add(Effect.APPLIED, "replace").before = remove
    with caplog.at_level(logging.INFO, "image_core.generations"):
        await process.recovery.resume(QueueMessage(record.id, ADA.id).to_json().encode())
    assert logged(caplog) == [("it was deleted meanwhile", record.id)]


@pytest.mark.parametrize(
    ("age", "given_back"), [(None, True), (59, True), (60, False)], ids=["of an operator", "young", "old"]
)
async def test_message_whose_record_is_not_there_is_given_back_while_it_is_young(
    age: int | None, given_back: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "image_core.generations")
    process = Process()
    queued_at = None if age is None else START - timedelta(seconds=age)
    message = QueueMessage("gen-none", ADA.id, queued_at).to_json().encode()
    if given_back:
        with pytest.raises(StorageUnavailable):
            await process.recovery.resume(message)
    else:
        await process.recovery.resume(message)
    assert logged(caplog) == ([] if given_back else [("its record is gone", "gen-none")])


@pytest.mark.parametrize(("seconds", "removed"), [(-1, True), (0, True), (1, False)])
async def test_deletion_goes_on_when_the_lease_has_expired(seconds: int, removed: bool) -> None:
    process = Process()
    record = await process.make()
    await process.store.write(record.deleting(START + timedelta(seconds=seconds), leased=False))
    await process.recovery.resume(QueueMessage(record.id, ADA.id).to_json().encode())
    assert (process.store.record(record.id) is None, process.store.images() == []) == (removed, removed)


async def test_generation_that_ends_while_it_is_claimed_is_left_as_it_is() -> None:
    process = Process()
    record = await process.begin(queued=True)

    async def complete() -> None:
        process.store.generations.faults.clear()
        await process.store.write(replace(record, status=Status.CANCELED, lease_expires_at=None))

    process.store.generations.faults.add(Effect.APPLIED, "replace").before = complete
    await process.recovery.resume(QueueMessage(record.id, ADA.id).to_json().encode())
    stored = process.store.record(record.id)
    assert stored is not None
    assert (stored.status, process.model.calls) == (Status.CANCELED, [])


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'"gen-1"',
        b"{}",
        b'{"id": "gen-1"}',
        b'{"id": "", "userId": "a"}',
        b'{"id": "gen-1", "userId": 7}',
        b'{"id": "gen-1", "userId": ""}',
        b"\xff",
        json.dumps({"id": "gen-1", "userId": "a" * 5000}).encode(),
    ],
)
async def test_message_that_names_no_generation_is_invalid(body: bytes) -> None:
    with pytest.raises(InvalidMessage):
        await Process().recovery.resume(body)


@pytest.mark.parametrize(
    ("queued_at", "read"), [("2026-11-25T12:00:00.000Z", START), ("soon", None), (7, None), (None, None)]
)
def test_message_is_read_with_its_time(queued_at: object, read: object) -> None:
    body = json.dumps({"id": "gen-1", "userId": "a", "queuedAt": queued_at}).encode()
    assert QueueMessage.from_json(body) == QueueMessage("gen-1", "a", read)  # type: ignore[arg-type] # a column of the table
    longest = json.dumps({"id": "gen-1", "userId": "a" * (4096 - 29)}).encode()
    assert len(longest) == 4096
    assert QueueMessage.from_json(longest).record_id == "gen-1"
