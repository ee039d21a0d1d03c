"""Reading and deleting a user's generations."""

import asyncio
import json
import logging
from dataclasses import replace
from datetime import timedelta

import pytest

from image_core.clock import iso
from image_core.errors import Canceled, NoImage, NotFound, StorageUnavailable
from image_core.generations.failure import Failure
from image_core.generations.log_line import log_ended, log_generation
from image_core.generations.record import LOST, Record, Status
from image_core.generations.record_codec import to_document
from image_core.models.generated import OK, Attempt, Generated, Options, Usage
from image_core.storage.input_copies import InputCopy
from tests.support.domain import ADA, BOB, PUBLIC, REQUEST, Process, image
from tests.support.fakes.clock import START
from tests.support.fakes.faults import Effect
from tests.support.fakes.model import MODEL, USAGE, Call
from tests.support.records import make


async def test_generation_of_another_user_is_not_there() -> None:
    process = Process()
    record = await process.make()
    assert await process.history.read(ADA, record.id) == record
    with pytest.raises(NotFound):
        await process.history.read(BOB, record.id)


async def test_generation_that_is_being_deleted_is_not_there() -> None:
    process = Process()
    record = await process.make()
    await process.store.write(record.deleting(START, leased=False))
    with pytest.raises(NotFound):
        await process.history.read(ADA, record.id)


@pytest.mark.parametrize(
    ("record_id", "seconds"),
    [
        ("gen-1795608000000-0a", 1.0),
        ("gen-1795607941000-0a", 1.0),
        ("gen-1795607940000-0a", 0.0),
        ("gen-key-" + "a" * 40, 1.0),
        ("gen-other", 0.0),
    ],
)
async def test_record_that_may_be_new_is_read_again_for_a_second(record_id: str, seconds: float) -> None:
    process = Process()
    with pytest.raises(NotFound):
        await process.fake_clock.run(process.history.read(ADA, record_id, may_be_new=True))
    assert process.fake_clock.monotonic() == seconds
    with pytest.raises(NotFound):
        await process.history.read(ADA, record_id)


async def test_record_that_becomes_readable_is_returned() -> None:
    process = Process()
    record = await process.begin(queued=True)
    await process.store.remove(record)
    reading = asyncio.ensure_future(process.history.read(ADA, record.id, may_be_new=True))
    await process.fake_clock.advance(0.3)
    await process.store.write(record)
    await process.fake_clock.advance(0.3)
    assert (await reading).id == record.id


async def test_deletion_removes_the_image_the_record_and_nothing_that_was_billed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    process = Process()
    other = await process.make()
    record = await process.make()
    with caplog.at_level(logging.INFO, "image_core.generations.line"):
        await process.history.delete(ADA, record.id)
    assert process.store.record(record.id) is None
    assert process.store.images() == [f"{other.blob_stem}.png"]
    assert [usd for _, usd in process.store.billed()] == [0.135, 0.135]
    assert lines(caplog)[0]["id"] == record.id
    with pytest.raises(NotFound):
        await process.history.delete(ADA, record.id)


async def test_deletion_of_a_record_that_vanishes_is_not_found() -> None:
    process = Process()
    record = await process.make()

    async def remove() -> None:
        await process.store.remove(record)

    process.store.generations.faults.add(Effect.APPLIED, "replace").before = remove
    with pytest.raises(NotFound):
        await process.history.delete(ADA, record.id)


async def test_deletion_that_was_interrupted_is_done_again() -> None:
    process = Process()
    record = await process.make()
    process.store.entries.faults.unreachable = True
    with pytest.raises(StorageUnavailable):
        await process.fake_clock.run(process.history.delete(ADA, record.id))
    process.store.entries.faults.clear()
    assert process.store.record(record.id).status is Status.DELETING  # type: ignore[union-attr] # it is there
    await process.fake_clock.advance(31)
    (message,) = await process.recovery.find()
    await process.recovery.resume(message.encode())
    assert process.store.record(record.id) is None


async def test_running_generation_stays_hidden_until_its_lease_is_over() -> None:
    process = Process()
    process.model.script = [Call(before_answer=asyncio.Event())]
    record = await process.begin()
    await process.fake_clock.settle()
    await process.history.delete(ADA, record.id)
    stored = process.store.record(record.id)
    assert stored is not None
    assert (stored.status, stored.lease_owner) == (Status.DELETING, record.lease_owner)
    assert stored.lease_expires_at == START + timedelta(seconds=60)


@pytest.mark.parametrize("queued", [True, False])
async def test_deletion_waits_half_a_minute_before_the_recovery_goes_on_with_it(queued: bool) -> None:
    process = Process()
    record = await process.begin(queued=True) if queued else await process.make()
    process.store.blobs.faults.unreachable = True
    with pytest.raises(StorageUnavailable):
        await process.history.delete(ADA, record.id)
    assert process.store.record(record.id).lease_expires_at == START + timedelta(seconds=30)  # type: ignore[union-attr] # it is there


async def test_call_of_a_process_that_died_is_billed_before_the_record_goes() -> None:
    process = Process()
    record = await process.begin(queued=True)
    died = replace(record, lease_owner="died", run_id="run", lease_expires_at=START)
    await process.store.write(died)
    await process.fake_clock.advance(7)
    await process.history.delete(ADA, record.id)
    assert process.store.billed() == [(LOST, record.expected_usd)]
    assert process.store.entries.all[0]["time"] == "2026-11-25T12:00:07.000Z"


async def test_calls_in_the_outbox_are_billed_before_the_record_goes() -> None:
    process = Process()
    record = await process.begin(queued=True)
    attempt = Attempt(MODEL, OK, 1, USAGE, START, "run-0")
    url = process.images.url(f"{record.blob_stem}.png")
    entry = record.succeeded(url, Generated(image(), None, MODEL, USAGE, (attempt,)), None, START)
    await process.outbox.put(to_document(entry))
    await process.outbox.put_image(record.blob_stem, image(), "")
    await process.store.write(replace(record, lease_expires_at=START))
    await process.history.delete(ADA, record.id)
    assert (process.store.billed(), process.store.outbox()) == ([("ok", 0.135)], [])


async def test_image_of_the_original_product_goes_with_its_record() -> None:
    process = Process()
    await process.store.blobs.put(PUBLIC, "generated-1600000000000.png", b"x", "image/png", overwrite=True)
    url = f"https://account.example/{PUBLIC}/generated-1600000000000.png"
    await process.store.generations.create(
        {"id": "old", "userId": ADA.id, "prompt": "", "outputImageUrl": url, "createdAt": "2025-01-01T00:00:00.000Z"}
    )
    await process.history.delete(ADA, "old")
    assert (process.store.images(), process.store.generations.all) == ([], [])


def lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, object]]:
    """Return the log lines of generations."""
    said = (record.getMessage() for record in caplog.records if record.name == "image_core.generations.line")
    return [json.loads(each.removeprefix("generation ")) for each in said if each.startswith("generation ")]


async def ended(process: Process) -> list[Record]:
    """One generation that succeeded, one that failed, and one that runs."""
    made = await process.make(replace(REQUEST, prompt="a secret prompt"))
    process.model.script = [Call(error=ValueError())]
    failed = await process.make()
    running = await process.begin(queued=True)
    return [made, failed, running]


@pytest.mark.parametrize("prompts", [True, False])
async def test_change_feed_writes_a_line_for_each_generation_that_has_ended(
    prompts: bool, caplog: pytest.LogCaptureFixture
) -> None:
    process = Process()
    made, failed, running = await ended(process)
    traced = replace(made, trace_parent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
    await process.fake_clock.advance(100)
    documents = [{"id": "broken"}, *map(to_document, (traced, failed, running))]
    with caplog.at_level(logging.INFO, "image_core.generations.line"):
        await log_ended(documents, process.pseudonyms, prompts=prompts)
    found = lines(caplog)
    assert [each["id"] for each in found] == [made.id, failed.id]
    assert [each["outcome"] for each in found] == ["ok", "internal"]
    assert (found[0]["costUsd"], found[0]["images"], found[0]["traceId"]) == (
        0.135,
        1,
        "0af7651916cd43dd8448eb211c80319c",
    )
    assert [each["endedAt"] for each in found] == [iso(each.completed_at or START) for each in (made, failed)]
    assert ("a secret prompt" in caplog.text) == prompts
    assert ADA.id not in caplog.text
    assert "broken has no line: KeyError" in caplog.text


async def test_line_of_a_generation_has_what_queries_and_alerts_read(caplog: pytest.LogCaptureFixture) -> None:
    process = Process()
    usage = Usage(10, 20, 0.5, {"TEXT": 10}, {"IMAGE": 20})
    record = make(
        ADA,
        options=Options(aspect_ratio="16:9", image_size="4K"),
        inputs=(InputCopy("a", "image/png", 1, 1, 500), InputCopy("b", "image/png", 1, 1, 70)),
        attempts=(
            Attempt(MODEL, "no_image", 1500, Usage(1, 2, 0.1), START, "run-0"),
            Attempt(MODEL, OK, 20, usage, START + timedelta(seconds=1), "run-1"),
        ),
        status=Status.SUCCEEDED,
        output_image_url="/x.png",
        model=MODEL,
        completed_at=START + timedelta(seconds=3),
        attempt_count=2,
        timings={"model": 1520, "total": 1600},
        prompt="p" * 5000,
    )
    with caplog.at_level(logging.INFO, "image_core.generations.line"):
        await log_ended([to_document(record)], process.pseudonyms, prompts=True)
    assert lines(caplog) == [
        {
            "id": record.id,
            "user": process.pseudonyms.in_log(ADA),
            "outcome": "ok",
            "createdAt": "2026-01-01T00:00:01.000Z",
            "endedAt": "2026-11-25T12:00:03.000Z",
            "model": MODEL,
            "attempts": [
                {"model": MODEL, "outcome": "no_image", "durationMs": 1500},
                {"model": MODEL, "outcome": "ok", "durationMs": 20},
            ],
            "bills": [
                {"id": "run-0", "model": MODEL, "usd": 0.1, "budgetUsd": 0.1, "startedAt": "2026-11-25T12:00:00.000Z"},
                {"id": "run-1", "model": MODEL, "usd": 0.5, "budgetUsd": 0.5, "startedAt": "2026-11-25T12:00:01.000Z"},
            ],
            "costUsd": 0.6,
            "durationMs": {"model": 1520, "total": 1600},
            "images": 2,
            "bytesIn": 570,
            "aspectRatio": "16:9",
            "imageSize": "4K",
            "attempt": 2,
            "traceId": None,
            "prompt": "p" * 4000,
        }
    ]


@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        ({"output_image_url": "/x.png", "status": Status.SUCCEEDED}, "ok"),
        ({"failure": Failure.of(NoImage()), "status": Status.FAILED}, "no_image"),
        ({"failure": Failure.of(Canceled()), "status": Status.CANCELED}, "canceled"),
        ({"output_image_url": "/x.png", "status": Status.DELETING}, "ok"),
        ({"status": Status.DELETING}, "deleted"),
        ({"status": Status.RUNNING}, "running"),
    ],
)
async def test_outcome_of_a_generation_in_its_line(
    changes: dict[str, object], outcome: str, caplog: pytest.LogCaptureFixture
) -> None:
    process = Process()
    await process.pseudonyms.prepare_log()
    with caplog.at_level(logging.INFO, "image_core.generations.line"):
        log_generation(make(ADA, 1, **changes), START, process.pseudonyms)
    (line,) = lines(caplog)
    assert "prompt" not in line
    assert (line["outcome"], line["endedAt"], line["costUsd"], line["durationMs"], line["bills"]) == (
        outcome,
        iso(START),
        None,
        {},
        [],
    )
