"""One run of a generation: the model's call, what interrupts it, and how it ends."""

import asyncio
import json
import logging
from dataclasses import replace
from datetime import timedelta

import pytest

from image_core.billing.budgets import Budgets, UserLimits
from image_core.errors import DeadlineExceeded, ModelUnavailable, NoImage, RateLimited, Refused, StorageUnavailable
from image_core.generations.failure import Failure
from image_core.generations.ledger_entries import entries
from image_core.generations.record import (
    MAX_TEXT_BYTES,
    WARNING_MASK_MISALIGNED,
    WARNING_MASK_NOT_APPLIED,
    WARNING_PENDING,
    WARNING_RECOVERED,
    WARNING_TEXT_TRUNCATED,
    Record,
    Status,
)
from image_core.generations.result import Gone, LeasedElsewhere, Result
from image_core.images.image import Image, OutputFormat
from image_core.images.metadata import png_chunk
from image_core.models.generated import Options
from image_core.models.turns import ModelTurn
from tests.support.domain import ADA, LIMITS, PRIVATE, PUBLIC, REQUEST, Process, image, masked_edit
from tests.support.fakes.clock import START
from tests.support.fakes.faults import Effect
from tests.support.fakes.model import MODEL, USAGE, Call
from tests.support.logs import logged
from tests.support.metrics import metric_values

TURN = ModelTurn((b'{"parts": []}',), 0, 0)


async def begun(process: Process, call: Call, queued: bool = False) -> Record:  # noqa: FBT002 - a column of the tests
    """Begin a generation whose call a test holds up, and let it run until it waits."""
    process.model.script = [call]
    record = await process.begin(queued=queued)
    await process.fake_clock.settle()
    stored = process.store.record(record.id)
    assert stored is not None
    return stored


async def test_error_of_the_model_is_in_the_record_with_every_call() -> None:
    process = Process()
    process.model.script = [
        Call(error=ModelUnavailable(), usage=None, retry=True),
        Call(error=RateLimited("later", retry_after=7)),
    ]
    record = await process.make()
    assert record.failure is not None
    assert (record.status, record.failure.code, record.failure.retry_after) == (Status.FAILED, "rate_limited", 7)
    assert [each.outcome for each in record.attempts] == ["model_unavailable", "rate_limited"]
    assert (record.lease_expires_at, record.completed_at) == (None, process.fake_clock.now())
    assert process.store.billed() == [("rate_limited", 0.135)]
    assert record.timings is not None
    assert {"model", "total"} <= set(record.timings)


@pytest.mark.parametrize(
    ("error", "code"), [(ModelUnavailable(), "model_unavailable"), (ValueError("a secret"), "internal")], ids=str
)
async def test_calls_that_were_not_billed_are_in_the_record_of_a_failure(error: Exception, code: str) -> None:
    process = Process()
    process.model.script = [
        Call(error=RateLimited("later"), usage=None, retry=True),
        Call(error=error, usage=None),
    ]
    record = await process.make()
    outcomes = [each.outcome for each in record.attempts]
    assert outcomes == ["rate_limited", *([code] if code != "internal" else [])]
    assert record.failure is not None
    assert record.failure.code == code


async def test_warnings_of_the_calls_are_in_the_record_of_a_failure() -> None:
    process = Process()
    error = NoImage()
    error.warnings = ("model_skipped: x",)
    process.model.script = [Call(error=error)]
    assert (await process.make()).warnings == ("model_skipped: x",)


async def test_unexpected_error_ends_the_generation_and_its_message_is_not_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    process = Process()
    process.model.script = [Call(error=ValueError("a secret"))]
    record = await process.make()
    assert record.failure is not None
    assert (record.failure.code, record.failure.details) == ("internal", "ValueError")
    assert f"generation {record.id}: unexpected ValueError" in caplog.text
    assert "a secret" not in caplog.text


async def test_billed_call_is_in_record_and_ledger_while_the_next_one_runs() -> None:
    process = Process()
    process.model.script = [Call(error=NoImage(), retry=True), Call(before_answer=asyncio.Event())]
    record = await process.begin()
    await process.fake_clock.settle()
    stored = process.store.record(record.id)
    assert stored is not None
    assert [(each.outcome, each.id) for each in stored.attempts] == [("no_image", f"{record.run_id}-0")]
    assert stored.usage == USAGE
    assert process.store.billed() == [("no_image", 0.135)]


async def test_call_of_a_deleted_generation_is_not_written_into_the_next_one_under_its_key() -> None:
    process = Process()
    answer = asyncio.Event()
    record = await begun(process, Call(before_answer=answer, error=NoImage()))
    other = await process.store.write(replace(record, blob_stem="generated-another"))
    answer.set()
    await process.ended(record)
    assert process.store.record(record.id) == other
    assert process.store.billed() == [("no_image", 0.135)]


async def test_call_that_may_be_billed_counts_at_its_expected_price() -> None:
    process = Process()
    process.model.script = [Call(error=DeadlineExceeded(), usage=None)]
    record = await process.make()
    assert record.expected_usd is not None
    assert process.store.billed() == [("deadline_exceeded", record.expected_usd)]


async def test_memory_is_released_while_the_model_works_and_taken_for_its_answer() -> None:
    process = Process()
    call = Call(before_sent=asyncio.Event(), before_answer=asyncio.Event(), while_arriving=asyncio.Event())
    await begun(process, call)
    inputs = process.memory.held
    assert inputs > 0
    held = []
    for event in (call.before_sent, call.before_answer, call.while_arriving):
        assert event is not None
        event.set()
        await process.fake_clock.settle()
        held.append(process.memory.held)
    assert held == [0, 10, 0]


async def test_lease_is_renewed_for_as_long_as_the_generation_runs() -> None:
    process = Process()
    answer = asyncio.Event()
    record = await begun(process, Call(before_answer=answer))
    await process.fake_clock.advance(100)
    renewed = process.store.record(record.id)
    assert renewed is not None
    assert renewed.leased(process.fake_clock.now())
    assert await Process(process.store).recovery.find() == []
    answer.set()
    assert (await process.ended(record)).status is Status.SUCCEEDED  # type: ignore[union-attr] # it fails with None, too


async def test_renewal_that_fails_does_not_stop_a_run() -> None:
    process = Process()
    answer = asyncio.Event()
    record = await begun(process, Call(before_answer=answer))
    refused = process.store.generations.faults.add(Effect.REFUSED, "replace", times=2)
    await process.fake_clock.advance(59)
    assert refused.hits == 2
    answer.set()
    assert (await process.ended(record)).status is Status.SUCCEEDED  # type: ignore[union-attr] # the same


async def test_run_that_loses_its_lease_stops_and_returns_what_the_other_process_made(
    caplog: pytest.LogCaptureFixture,
) -> None:
    process = Process()
    record = await begun(process, Call(before_answer=asyncio.Event()))
    process.store.generations.faults.add(Effect.REFUSED, "replace", times=3)
    await process.fake_clock.advance(61)
    other = Process(process.store)
    await process.fake_clock.run(other.recovery.resume((await other.recovery.find())[0].encode()))
    waited = await process.fake_clock.run(process.background.wait(record, 100))
    stored = process.store.record(record.id)
    assert stored is not None
    assert (waited.record.status, waited.image) == (Status.SUCCEEDED, None)
    assert [each.outcome for each in stored.attempts] == ["lost", "ok"]
    assert process.store.billed() == [("lost", record.expected_usd), ("ok", 0.135)]
    assert len(process.store.images()) == 1
    assert process.durations.expected(Options()) == 25, "it counts at the process that made the image"
    assert logged(caplog)[-1] == ("the lease was lost while the model was called", record.id)


async def test_run_that_loses_its_lease_waits_for_the_process_that_has_it() -> None:
    process = Process()
    record = await begun(process, Call(before_answer=asyncio.Event()))
    await process.store.write(replace(record, lease_owner="b"))
    await process.fake_clock.advance(21)
    waiting = asyncio.ensure_future(process.background.wait(record, 60))
    await process.fake_clock.advance(5)
    assert not waiting.done()
    current = process.store.record(record.id)
    assert current is not None
    await process.store.write(current.failed(Failure.of(NoImage()), (), (), process.fake_clock.now()))
    await process.fake_clock.advance(2)
    assert (await waiting).record.status is Status.FAILED


async def test_run_whose_generation_was_deleted_stops_and_is_accounted_for(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "image_core.generations.line")
    process = Process()
    answer = asyncio.Event()
    process.model.script = [
        Call(error=NoImage(), retry=True, before_answer=answer),
        Call(before_answer=asyncio.Event()),
    ]
    record = await process.begin()
    await process.fake_clock.settle()
    await process.store.remove(record)
    answer.set()
    waiting = asyncio.ensure_future(process.background.wait(record, 60))
    await process.fake_clock.advance(21)
    with pytest.raises(Gone) as caught:
        await waiting
    assert caught.value.record_id == record.id
    assert process.store.images() == []
    (message,) = [each.getMessage() for each in caplog.records if each.name == "image_core.generations.line"]
    line = json.loads(message.removeprefix("generation "))
    assert (line["outcome"], [each["outcome"] for each in line["attempts"]]) == ("deleted", ["no_image"])


async def test_image_that_comes_after_the_deletion_is_billed_and_not_kept(caplog: pytest.LogCaptureFixture) -> None:
    process = Process()
    answer = asyncio.Event()
    record = await begun(process, Call(before_answer=answer))
    await Process(process.store).history.delete(ADA, record.id)
    answer.set()
    with caplog.at_level(logging.INFO, "image_core.generations.line"):
        assert await process.ended(record) is None
    assert process.store.images() == []
    assert process.store.billed() == [("ok", 0.135)]
    (message,) = [each.getMessage() for each in caplog.records if each.name == "image_core.generations.line"]
    line = json.loads(message.removeprefix("generation "))
    assert (line["outcome"], [each["usd"] for each in line["bills"]]) == ("deleted", [0.135])
    assert {"model", "total"} <= set(line["durationMs"])


async def test_text_of_the_model_is_cut_at_its_limit() -> None:
    process = Process()
    process.model.script = [Call(text="ä" * MAX_TEXT_BYTES)]
    record = await process.make()
    assert record.text == "ä" * (MAX_TEXT_BYTES // 2)
    assert record.warnings == (WARNING_TEXT_TRUNCATED,)


async def test_image_is_converted_to_the_format_that_was_asked_for() -> None:
    process = Process()
    record = await process.make(replace(REQUEST, options=Options(output_format="webp")))
    assert (record.mime_type, record.warnings) == ("image/webp", ())
    assert process.store.images() == [f"{record.blob_stem}.webp"]


async def test_image_in_the_format_that_was_asked_for_stays_as_it_is() -> None:
    process = Process()
    record = await process.make(replace(REQUEST, options=Options(output_format="png")))
    assert process.store.blobs.containers[PUBLIC][f"{record.blob_stem}.png"].data == process.model.image.data


async def test_image_that_cannot_be_converted_is_kept_as_the_model_made_it() -> None:
    process = Process()
    process.converter.fails = True
    record = await process.make(replace(REQUEST, options=Options(output_format="webp")))
    assert (record.status, record.mime_type) == (Status.SUCCEEDED, "image/png")
    assert record.warnings[0].startswith("format_kept: ")


async def test_conversion_that_drops_content_credentials_warns() -> None:
    process = Process()
    plain = image().data
    signed = plain[:33] + png_chunk(b"caBX", b"\0\0\0\0jumb") + plain[33:]
    process.model.script = [Call(image=Image(signed, "image/png", 4, 4))]
    record = await process.make(replace(REQUEST, options=Options(output_format="webp")))
    assert record.warnings[0].startswith("metadata_lost: ")


@pytest.mark.parametrize(
    ("fails", "aligned", "kept", "warning"),
    [
        (True, True, None, WARNING_MASK_NOT_APPLIED),
        (False, False, None, WARNING_MASK_MISALIGNED),
        (False, True, "image/jpeg", "format_changed: the image is too large for png; it is image/jpeg"),
        (
            False,
            True,
            None,
            "size_reduced: the edited part was enlarged from 4 x 4 pixels to 6 x 6; a larger imageSize has more detail",
        ),
    ],
)
async def test_masked_edit_warns_of_what_is_not_as_asked(
    fails: bool, aligned: bool, kept: str | None, warning: str
) -> None:
    process = Process()
    process.loader.edit = masked_edit()
    process.converter.fails, process.converter.aligned, process.converter.kept_type = fails, aligned, kept
    record = await process.make(replace(REQUEST, mask="data:,"))
    assert warning in record.warnings
    assert record.status is Status.SUCCEEDED


async def test_image_waits_for_its_container_and_is_stored_once() -> None:
    process = Process()
    refused = process.store.blobs.faults.add(Effect.REFUSED, "put", "generated-", times=3)
    record = await process.make()
    assert (record.status, refused.hits, record.warnings) == (Status.SUCCEEDED, 3, ())


async def test_image_whose_acknowledgement_was_lost_is_our_own() -> None:
    process = Process()
    process.store.blobs.faults.add(Effect.LOST, "put", "generated-")
    record = await process.make()
    assert record.output_image_url == f"https://account.example/catafract/{record.blob_stem}.png"
    assert len(process.store.images()) == 1


async def test_image_that_its_container_does_not_take_waits_in_the_outbox_and_is_delivered() -> None:
    process = Process()
    del process.store.blobs.containers[PUBLIC]
    record = await process.begin()
    waited = await process.fake_clock.run(process.background.wait(record, 30))
    assert (waited.record.status, waited.image) == (Status.RUNNING, None)
    assert process.store.outbox() == [f"finished/{record.id}.json", f"images/{record.blob_stem}.png"]
    waiting = process.store.record(record.id)
    assert waiting is not None
    assert (waiting.status, waiting.lease_owner) == (Status.RUNNING, None)
    assert await process.recovery.find() == [], "what waits in the outbox needs no model"
    process.store.blobs.containers[PUBLIC] = {}
    await process.recovery.find()
    stored = process.store.record(record.id)
    assert stored is not None
    assert (stored.status, stored.model) == (Status.SUCCEEDED, "gemini-3-pro-image")
    assert stored.output_image_url == f"https://account.example/catafract/{record.blob_stem}.png"
    assert (stored.completed_at, stored.lease_owner) == (START + timedelta(seconds=5), record.lease_owner)
    assert (process.store.images(), process.store.outbox()) == ([f"{record.blob_stem}.png"], [])
    assert len(process.model.calls) == 1


async def test_record_that_the_database_does_not_take_waits_in_the_outbox_and_is_delivered() -> None:
    process = Process()
    answer = asyncio.Event()
    record = await begun(process, Call(before_answer=answer))
    process.store.generations.faults.unreachable = process.store.entries.faults.unreachable = True
    answer.set()
    waited = await process.fake_clock.run(process.background.wait(record, 100))
    assert (waited.record.status, waited.record.warnings) == (Status.SUCCEEDED, (WARNING_PENDING,))
    assert waited.image is not None
    assert process.fake_clock.monotonic() < 15
    process.store.generations.faults.clear()
    process.store.entries.faults.clear()
    await process.recovery.find()
    stored = process.store.record(record.id)
    assert stored is not None
    assert (stored.status, stored.warnings, process.store.outbox()) == (Status.SUCCEEDED, (), [])


async def test_image_that_nothing_takes_is_an_outage_and_stays_to_be_run_again() -> None:
    process = Process()
    answer = asyncio.Event()
    record = await begun(process, Call(before_answer=answer))
    process.store.blobs.faults.unreachable = True
    answer.set()
    with pytest.raises(StorageUnavailable):
        await process.fake_clock.run(process.background.wait(record, 10_000))
    stored = process.store.record(record.id)
    assert stored is not None
    assert stored.status is Status.RUNNING
    assert process.store.billed() == [("ok", 0.135)]


async def test_completion_does_not_wait_for_a_ledger_entry_that_cannot_be_written() -> None:
    process = Process()
    held = asyncio.Event()
    process.store.entries.faults.add(Effect.APPLIED, "write_batch").before = held.wait
    record = await process.make()
    assert record.status is Status.SUCCEEDED
    assert process.fake_clock.monotonic() == 1
    held.set()
    await process.fake_clock.settle()
    assert process.store.billed() == [], "the change feed enters it"


async def test_model_turn_is_stored_beside_the_image() -> None:
    process = Process()
    process.model.script = [Call(turn=TURN)]
    record = await process.make()
    assert record.turn is not None
    assert [name.rsplit("/", 1)[-1] for name in process.store.blobs.names(PRIVATE) if name.startswith("turns/")] == [
        record.turn.name
    ]
    edited = await process.make(replace(REQUEST, images=(), from_id=record.id))
    assert edited.context == (), "the model was not shown it"


async def test_cancel_aborts_the_call_and_counts_it_at_its_expected_price() -> None:
    process = Process()
    record = await begun(process, Call(before_answer=asyncio.Event()))
    canceled = await process.fake_clock.run(process.cancellation.cancel(ADA, record.id, 10))
    assert canceled.failure is not None
    assert (canceled.status, canceled.failure.code) == (Status.CANCELED, "canceled")
    assert [(each.outcome, each.estimated_usd) for each in canceled.attempts] == [("canceled", record.expected_usd)]
    assert (canceled.completed_at, canceled.lease_expires_at) == (process.fake_clock.now(), None)
    assert canceled.timings is not None
    assert "model" in canceled.timings
    assert process.store.billed() == [("canceled", record.expected_usd)]


async def test_cancel_before_the_request_is_sent_costs_nothing() -> None:
    process = Process()
    record = await begun(process, Call(before_sent=asyncio.Event()))
    canceled = await process.fake_clock.run(process.cancellation.cancel(ADA, record.id, 10))
    assert (canceled.status, process.store.billed()) == (Status.CANCELED, [])


async def test_cancel_before_a_second_request_is_sent_costs_no_more() -> None:
    process = Process()
    process.model.script = [Call(error=ModelUnavailable(), usage=None, retry=True), Call(before_sent=asyncio.Event())]
    record = await process.begin()
    await process.fake_clock.settle()
    canceled = await process.fake_clock.run(process.cancellation.cancel(ADA, record.id, 10))
    assert [each.outcome for each in canceled.attempts] == ["model_unavailable", "canceled"]
    assert process.store.billed() == []


async def test_model_gets_prompt_and_options_and_the_time_for_calls() -> None:
    process = Process()
    request = replace(REQUEST, options=Options(aspect_ratio="16:9"))
    await process.make(request)
    assert process.model.calls == [((image(2),), request.prompt, request.options)]
    assert process.model.seconds == [LIMITS.deadline_seconds]


@pytest.mark.parametrize("output_format", [None, "webp"])
async def test_response_has_the_stored_image_without_reading_it(output_format: OutputFormat | None) -> None:
    process = Process()
    request = replace(REQUEST, options=Options(output_format=output_format))
    submitted = await process.submission.begin(ADA, request, None, queued=False)
    waited = (await process.fake_clock.run(process.submission.wait(submitted, 100))).result
    assert waited.image is not None
    stored = process.store.blobs.containers[PUBLIC][process.store.images()[0]]
    assert (waited.image.data, waited.image.mime_type) == (stored.data, stored.blob.content_type)


async def test_response_has_no_image_where_that_of_another_process_counts() -> None:
    process = Process()
    answer = asyncio.Event()
    record = await begun(process, Call(before_answer=answer, turn=TURN))
    await process.stored_images.put(ADA, record.blob_stem, image(1), "b")
    waiting = asyncio.ensure_future(process.background.wait(record, 100))
    answer.set()
    await process.fake_clock.settle()
    waited = await waiting
    assert (waited.record.status, waited.image, waited.record.turn) == (Status.SUCCEEDED, None, None)


async def test_memory_holds_the_turn_of_the_model_while_it_is_stored() -> None:
    process = Process()
    process.model.script = [Call(turn=TURN)]
    held: list[int] = []

    async def note() -> None:
        held.append(process.memory.held)

    process.store.blobs.faults.add(Effect.APPLIED, "put", "generated-").before = note
    await process.make()
    assert (held, process.memory.held) == ([TURN.size], 0)


@pytest.mark.parametrize(
    ("error", "model", "outcome"),
    [(None, MODEL, "ok"), (NoImage(), "none", "no_image"), (Refused(), "none", "refused")],
)
async def test_end_of_a_run_is_measured_with_its_outcome(error: NoImage | None, model: str, outcome: str) -> None:
    process = Process()
    process.model.script = [Call(error=error)]
    ended = ("image_api.generations", (("model", model), ("outcome", outcome)))
    before = metric_values().get(ended, 0)
    await process.make()
    assert metric_values()[ended] == before + 1


async def test_run_that_cannot_store_its_image_is_measured_as_an_outage() -> None:
    process = Process()
    ended = ("image_api.generations", (("model", "none"), ("outcome", "storage_unavailable")))
    before = metric_values().get(ended, 0)
    answer = asyncio.Event()
    record = await begun(process, Call(before_answer=answer))
    process.store.blobs.faults.unreachable = True
    answer.set()
    await process.ended(record)
    assert metric_values()[ended] == before + 1


async def test_failure_does_not_count_in_the_expected_seconds() -> None:
    process = Process()
    answer = asyncio.Event()
    record = await begun(process, Call(error=NoImage(), before_answer=answer))
    await process.fake_clock.advance(50)
    answer.set()
    await process.ended(record)
    assert process.durations.expected(Options()) == 25


async def test_cancel_while_the_answer_arrives_keeps_the_image() -> None:
    process = Process()
    answer = asyncio.Event()
    record = await begun(process, Call(while_arriving=answer))
    canceling = asyncio.ensure_future(process.cancellation.cancel(ADA, record.id, 10))
    await process.fake_clock.settle()
    answer.set()
    assert (await process.fake_clock.run(_awaited(canceling))).status is Status.SUCCEEDED


async def _awaited(canceling: "asyncio.Future[Record]") -> Record:
    return await canceling


async def test_cancel_between_two_calls_makes_no_further_call() -> None:
    process = Process()
    answer = asyncio.Event()
    process.model.script = [Call(error=NoImage(), retry=True, while_arriving=answer), Call()]
    record = await process.begin()
    await process.fake_clock.settle()
    canceling = asyncio.ensure_future(process.cancellation.cancel(ADA, record.id, 10))
    await process.fake_clock.settle()
    answer.set()
    canceled = await process.fake_clock.run(_awaited(canceling))
    assert (canceled.status, len(process.model.calls)) == (Status.CANCELED, 1)
    assert [each.outcome for each in canceled.attempts] == ["no_image"]
    assert canceled.failure is not None
    assert canceled.failure.fields["usage"]["costUsd"] == 0.135


async def test_cancel_at_another_process_takes_effect_with_the_next_renewal() -> None:
    process = Process()
    record = await begun(process, Call(before_answer=asyncio.Event()))
    answered = await Process(process.store).cancellation.cancel(ADA, record.id, 10)
    assert answered.status is Status.RUNNING
    await process.fake_clock.advance(21)
    stored = process.store.record(record.id)
    assert stored is not None
    assert stored.status is Status.CANCELED


async def test_cancel_of_a_queued_generation_costs_nothing() -> None:
    process = Process()
    record = await process.begin(queued=True)
    canceled = await process.fake_clock.run(process.cancellation.cancel(ADA, record.id, 10))
    assert (canceled.status, process.store.billed(), process.model.calls) == (Status.CANCELED, [], [])


async def test_cancel_of_a_generation_whose_process_died_counts_its_call() -> None:
    process = Process()
    record = await begun(process, Call(before_answer=asyncio.Event()))
    other = Process(process.store)
    await process.store.write(replace(record, lease_owner="died", lease_expires_at=process.fake_clock.now()))
    await process.fake_clock.advance(5)
    canceled = await process.fake_clock.run(other.cancellation.cancel(ADA, record.id, 10))
    assert (canceled.status, process.store.billed()) == (Status.CANCELED, [("lost", record.expected_usd)])
    assert [(each.outcome, each.started_at) for each in canceled.attempts] == [("lost", process.fake_clock.now())]


async def test_generation_whose_image_was_stored_before_the_process_died_is_recovered() -> None:
    process = Process()
    record = await process.begin(queued=True)
    stored = await process.stored_images.put(ADA, record.blob_stem, image(7), "died")
    await process.store.write(replace(record, lease_owner="died", run_id="run", attempt_count=1))
    await process.fake_clock.advance(61)
    (message,) = await process.recovery.find()
    await process.recovery.resume(message.encode())
    recovered = process.store.record(record.id)
    assert recovered is not None
    assert (recovered.status, recovered.output_image_url) == (Status.SUCCEEDED, stored.url)
    assert (recovered.warnings, recovered.model) == ((WARNING_RECOVERED,), None)
    assert (recovered.mime_type, recovered.width, recovered.height) == ("image/png", 4, 4)
    assert recovered.completed_at == process.fake_clock.now()
    assert process.model.calls == []


async def test_generation_whose_processes_die_again_and_again_is_interrupted() -> None:
    process = Process()
    record = await process.begin(queued=True)
    await process.store.write(replace(record, attempt_count=3, run_id="run", lease_owner="died"))
    await process.fake_clock.advance(61)
    await process.recovery.resume((await process.recovery.find())[0].encode())
    failed = process.store.record(record.id)
    assert failed is not None
    assert failed.failure is not None
    assert (failed.status, failed.failure.code) == (Status.FAILED, "interrupted")
    assert [(each.outcome, each.started_at) for each in failed.attempts] == [("lost", process.fake_clock.now())]


@pytest.mark.parametrize(("claims", "status"), [(5, Status.SUCCEEDED), (6, Status.FAILED)])
async def test_claims_that_called_no_model_count_separately(claims: int, status: Status) -> None:
    process = Process()
    record = await process.begin(queued=True)
    await process.store.write(replace(record, lost_claims=claims))
    await process.fake_clock.advance(61)
    await process.fake_clock.run(process.recovery.resume((await process.recovery.find())[0].encode()))
    stored = process.store.record(record.id)
    assert stored is not None
    assert stored.status is status


async def test_input_copy_that_has_expired_fails_the_generation() -> None:
    process = Process()
    record = await process.begin(queued=True)
    process.store.blobs.containers[PRIVATE].clear()
    await process.fake_clock.run(process.runner.resume(record))
    failed = process.store.record(record.id)
    assert failed is not None
    assert failed.failure is not None
    assert (failed.status, failed.failure.code) == (Status.FAILED, "internal")


async def test_storage_that_fails_before_the_call_gives_the_lease_back() -> None:
    process = Process()
    record = await process.begin(queued=True)
    process.store.blobs.faults.add(Effect.REFUSED, "read", "inputs/")
    with pytest.raises(StorageUnavailable):
        await process.fake_clock.run(process.runner.resume(record))
    stored = process.store.record(record.id)
    assert stored is not None
    assert (stored.status, stored.lease_owner, stored.lost_claims) == (Status.RUNNING, None, 0)
    assert process.memory.held == 0


@pytest.mark.parametrize(("attempts", "code"), [(0, "budget_exceeded"), (1, None)])
async def test_queued_generation_is_checked_against_the_limits_before_its_first_run_only(
    attempts: int, code: str | None
) -> None:
    process = Process()
    record = await process.begin(queued=True)
    record = await process.store.write(replace(record, attempt_count=attempts))
    process.store.limits = UserLimits(10, Budgets(0.01, None))
    result = await process.fake_clock.run(process.runner.resume(record))
    assert (result.record.failure and result.record.failure.code) == code
    assert (len(process.model.calls), process.memory.held) == (0 if code else 1, 0)


async def test_resumed_generation_waits_for_memory_of_its_user() -> None:
    process = Process()
    record = await process.begin(queued=True)
    with process.memory.claim(ADA.id) as claim:
        claim.take(20_000_000)
        resuming = asyncio.ensure_future(process.runner.resume(record))
        await process.fake_clock.settle()
        assert process.model.calls == []
    result = await process.fake_clock.run(_awaited_result(resuming))
    assert result.record.timings is not None
    assert set(result.record.timings) == {"inputs", "model", "picture", "total"}


async def _awaited_result(resuming: "asyncio.Future[Result]") -> Result:
    return await resuming


async def test_generation_that_is_being_deleted_is_not_resumed() -> None:
    process = Process()
    record = (await process.begin(queued=True)).deleting(process.fake_clock.now(), leased=False)
    with pytest.raises(Gone) as caught:
        await process.runner.resume(record)
    assert caught.value.record_id == record.id


async def test_call_of_a_process_that_died_is_entered_later_while_the_ledger_is_down() -> None:
    process = Process()
    record = await process.begin(queued=True)
    record = await process.store.write(replace(record, run_id="run", lease_owner="died", lease_expires_at=START))
    process.store.entries.faults.add(Effect.REFUSED, "write_batch", times=1)
    result = await process.fake_clock.run(process.runner.resume(record))
    assert result.record.status is Status.SUCCEEDED
    assert [(each.outcome, each.started_at) for each in result.record.attempts] == [("lost", START), ("ok", START)]
    assert process.store.billed() == [("ok", 0.135)]
    await process.ledger.enter_delivered(entries(result.record))
    assert sorted(process.store.billed()) == [("lost", record.expected_usd), ("ok", 0.135)]


async def test_generation_that_runs_elsewhere_is_not_resumed() -> None:
    process = Process()
    record = await begun(process, Call(before_answer=asyncio.Event()))
    with pytest.raises(LeasedElsewhere):
        await process.fake_clock.run(Process(process.store).runner.resume(record))


async def test_lease_that_is_lost_while_the_inputs_are_read_stops_the_run() -> None:
    process = Process()
    record = await process.begin(queued=True)
    gate = asyncio.Event()
    process.store.blobs.faults.add(Effect.APPLIED, "read", "inputs/").before = gate.wait
    resuming = asyncio.ensure_future(process.runner.resume(record))
    await process.fake_clock.settle()
    claimed = process.store.record(record.id)
    assert claimed is not None
    await process.store.write(replace(claimed, lease_owner="b"))
    await process.fake_clock.advance(21)
    with pytest.raises(LeasedElsewhere):
        await resuming
    assert (process.memory.held, process.model.calls) == (0, [])


@pytest.mark.parametrize("ended", [True, False], ids=["ended by another process", "removed"])
async def test_generation_that_ends_while_the_inputs_are_read_is_not_run(ended: bool) -> None:
    process = Process()
    record = await process.begin(queued=True)
    process.store.blobs.faults.add(Effect.APPLIED, "read", "inputs/").before = asyncio.Event().wait
    resuming = asyncio.ensure_future(process.runner.resume(record))
    await process.fake_clock.settle()
    claimed = process.store.record(record.id)
    assert claimed is not None
    if ended:
        await process.store.write(replace(claimed, status=Status.FAILED, lease_expires_at=None))
    else:
        await process.store.remove(record)
    await process.fake_clock.advance(21)
    if ended:
        assert (await resuming).record == process.store.record(record.id)
    else:
        with pytest.raises(Gone) as caught:
            await resuming
        assert caught.value.record_id == record.id
    assert (process.memory.held, process.model.calls) == (0, [])


async def test_shutdown_gives_every_lease_back() -> None:
    process = Process()
    record = await begun(process, Call(before_answer=asyncio.Event()))
    assert await process.leases.release_all() == 1
    stored = process.store.record(record.id)
    assert stored is not None
    assert (stored.status, stored.lease_owner) == (Status.RUNNING, None)


async def test_shutdown_while_the_database_is_down_leaves_the_lease_to_expire(caplog: pytest.LogCaptureFixture) -> None:
    process = Process()
    await begun(process, Call(before_answer=asyncio.Event()))
    process.store.generations.faults.unreachable = True
    assert await process.leases.release_all() == 1
    assert "a lease was not released" in caplog.text


async def test_expected_seconds_are_the_median_of_recent_generations() -> None:
    process = Process()
    options = Options(image_size="4K")
    assert process.durations.expected(options) == 60
    for seconds in (10.0, 30.0, 11.0):
        process.model.script = [Call(before_answer=(answer := asyncio.Event()))]
        record = await process.begin(replace(REQUEST, options=options))
        await process.fake_clock.advance(seconds)
        answer.set()
        await process.ended(record)
    assert (process.durations.expected(options), process.durations.expected(Options())) == (11, 25)
    assert process.durations.expected_of("another", "4K") == 60
