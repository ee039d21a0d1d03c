"""Submitting a request: what is checked, recorded, repeated, and begun."""

import asyncio
import json
import re
from dataclasses import replace
from datetime import timedelta

import pytest

from image_core.billing.budgets import Budgets, UserLimits
from image_core.errors import (
    BudgetExceeded,
    Busy,
    Conflict,
    GeminiKeyMissing,
    IdempotencyMismatch,
    ImageError,
    ImageFetchFailed,
    InvalidRequest,
    NoImage,
    NotFound,
    RateLimited,
    Refused,
    StorageUnavailable,
    TooManyGenerations,
)
from image_core.generations.record import Status
from image_core.generations.starter import Submitted
from image_core.generations.submit import CheckedInput
from image_core.inputs.fit import MAX_INLINE_BYTES, RESERVED_BYTES
from image_core.models.generated import Options
from image_core.models.turns import ContextSize, ModelTurn
from image_core.storage.naming import is_own_stem
from tests.support.domain import ADA, REQUEST, Load, Process, image, masked_edit
from tests.support.fakes.faults import Effect
from tests.support.fakes.model import FOR_MANY_INPUTS, MODEL, Call

TURN = ModelTurn((b'{"parts": []}',), 1, 5)


async def test_generation_is_recorded_run_and_completed() -> None:
    process = Process()
    record = await process.make()
    assert record.status is Status.SUCCEEDED
    assert record.output_image_url == f"https://account.example/catafract/{record.blob_stem}.png"
    assert process.store.images() == [f"{record.blob_stem}.png"]
    assert [(each.outcome, each.id) for each in record.attempts] == [("ok", f"{record.run_id}-0")]
    assert process.store.billed() == [("ok", 0.135)]
    assert process.memory.held == 0
    assert record.id.startswith("gen-1795608000000-")
    assert record.input_images == (f"/api/images/{record.inputs[0].name}",)


async def test_address_of_an_input_is_kept() -> None:
    record = await Process().make(replace(REQUEST, images=("https://example.com/a.png",)))
    assert record.input_images == ("https://example.com/a.png",)


async def test_queued_request_calls_no_model_and_can_be_run_from_its_message() -> None:
    process = Process()
    submitted = await process.submission.begin(ADA, REQUEST, None, queued=True)
    record = submitted.result.record
    assert (submitted.queued, process.model.calls, process.memory.held) == (True, [], 0)
    assert await process.submission.wait(submitted, 40) is submitted
    message = process.submission.message(record)
    assert json.loads(message) == {"id": record.id, "userId": ADA.id, "queuedAt": "2026-11-25T12:00:00.000Z"}
    await process.fake_clock.run(Process(process.store).recovery.resume(message.encode()))
    stored = process.store.record(record.id)
    assert stored is not None
    assert stored.status is Status.SUCCEEDED


async def test_waiting_ends_while_the_generation_runs_on() -> None:
    process = Process()
    answer = asyncio.Event()
    process.model.script = [Call(before_answer=answer)]
    submitted = await process.submission.begin(ADA, REQUEST, None, queued=False)
    waited = await process.fake_clock.run(process.submission.wait(submitted, 30))
    assert waited.result.record.status is Status.RUNNING
    answer.set()
    ended = await process.ended(waited.result.record)
    assert ended is not None
    assert ended.status is Status.SUCCEEDED


async def test_same_key_returns_the_same_generation_without_another_call() -> None:
    process = Process()
    first = await process.make(key="k")
    again = await process.submission.begin(ADA, REQUEST, "k", queued=False)
    assert (again.replayed, again.result.record.id) == (True, first.id)
    assert len(process.model.calls) == 1
    assert await process.submission.wait(again, 1) is again


async def test_repeating_a_request_needs_no_inputs_and_no_budget() -> None:
    process = Process()
    first = await process.make(key="k")
    process.store.limits = UserLimits(0, Budgets(0.0, 0.0))
    process.loader.error = ImageFetchFailed(0, "404")
    again = await process.submission.begin(ADA, REQUEST, "k", queued=False)
    assert (again.result.record, len(process.loader.loaded)) == (first, 1)


async def test_same_key_with_another_request_is_refused() -> None:
    process = Process()
    await process.make(key="k")
    other = replace(REQUEST, prompt="an oil painting")
    with pytest.raises(IdempotencyMismatch):
        await process.submission.begin(ADA, other, "k", queued=False)
    with pytest.raises(IdempotencyMismatch):
        await process.submission.dry_run(ADA, other, "k")


async def test_same_key_while_it_runs_waits_for_the_same_generation() -> None:
    process = Process()
    answer = asyncio.Event()
    process.model.script = [Call(before_answer=answer)]
    first = await process.begin(key="k")
    again = await process.submission.begin(ADA, REQUEST, "k", queued=False)
    assert (again.replayed, again.result.record.id, again.result.record.status) == (False, first.id, "running")
    answer.set()
    await process.ended(first)
    assert len(process.model.calls) == 1


async def test_two_requests_with_one_key_at_the_same_moment_are_one_generation() -> None:
    process = Process()
    begun = await process.fake_clock.run(_both(process))
    assert len({each.result.record.id for each in begun}) == 1
    await process.ended(begun[0].result.record)
    assert len(process.model.calls) == 1
    assert process.memory.held == 0


async def _both(process: Process) -> list[Submitted]:
    return await asyncio.gather(*(process.submission.begin(ADA, REQUEST, "k", queued=False) for _ in range(2)))


async def test_failed_generation_runs_again_under_its_key_and_keeps_what_was_billed() -> None:
    process = Process()
    process.model.script = [Call(error=NoImage())]
    failed = await process.make(key="k")
    assert (failed.status, failed.failure and failed.failure.code) == (Status.FAILED, "no_image")
    again = await process.make(key="k")
    assert (again.id, again.status) == (failed.id, Status.SUCCEEDED)
    assert [each.outcome for each in again.attempts] == ["no_image", "ok"]
    assert process.store.billed() == [("no_image", 0.135), ("ok", 0.135)]


async def test_failed_generation_is_queued_again_where_the_caller_does_not_wait() -> None:
    process = Process()
    process.model.script = [Call(error=NoImage())]
    await process.make(key="k")
    again = await process.submission.begin(ADA, REQUEST, "k", queued=True)
    assert (again.queued, again.result.record.lease_owner) == (True, None)
    assert len(process.model.calls) == 1


async def test_generation_that_runs_again_is_leased_and_counts_at_its_new_price() -> None:
    process = Process()
    process.model.script = [Call(error=NoImage()), Call(before_answer=asyncio.Event())]
    failed = await process.make(key="k")
    await process.store.write(replace(failed, expected_usd=9.0))
    again = (await process.submission.begin(ADA, REQUEST, "k", queued=False)).result.record
    assert again.expected_usd == process.admission.expected_usd(Options(), 1, len(REQUEST.prompt))
    assert again.lease_expires_at == process.fake_clock.now() + timedelta(seconds=60)
    assert again.lease_owner not in {None, failed.lease_owner}


async def test_edit_that_runs_again_counts_the_turns_that_it_replays() -> None:
    process = Process()
    process.model.script = [Call(turn=TURN), Call(error=NoImage())]
    first = await process.make()
    edit = replace(REQUEST, images=(), from_id=first.id)
    failed = await process.make(edit, "k")
    again = await process.submission.begin(ADA, edit, "k", queued=True)
    assert again.result.record.expected_usd == failed.expected_usd
    assert failed.expected_usd != first.expected_usd


async def test_generation_that_runs_again_needs_its_budget_again() -> None:
    process = Process()
    process.model.script = [Call(error=NoImage())]
    await process.make(key="k")
    process.store.limits = UserLimits(10, Budgets(0.14, None))
    with pytest.raises(BudgetExceeded):
        await process.submission.begin(ADA, REQUEST, "k", queued=False)


async def test_refused_generation_is_not_run_again() -> None:
    process = Process()
    process.model.script = [Call(error=Refused())]
    refused = await process.make(key="k")
    again = await process.submission.begin(ADA, REQUEST, "k", queued=False)
    assert (again.replayed, again.result.record.status) == (False, Status.FAILED)
    assert (again.result.record.id, len(process.model.calls)) == (refused.id, 1)


async def test_generation_that_failed_is_run_again_by_one_of_two_requests() -> None:
    process = Process()
    process.store.limits = UserLimits(1, Budgets(None, None))
    process.model.script = [Call(error=NoImage())]
    failed = await process.make(key="k")
    begun = await process.fake_clock.run(_both(process))
    assert {each.result.record.id for each in begun} == {failed.id}
    await process.ended(failed)
    assert len(process.model.calls) == 2


async def test_key_is_free_again_when_its_generation_was_deleted() -> None:
    process = Process()
    first = await process.make(key="k")
    await process.store.write(first.deleting(process.fake_clock.now(), leased=False))
    again = await process.make(key="k")
    assert again.blob_stem != first.blob_stem
    assert process.store.images() == [f"{again.blob_stem}.png"]


async def test_key_is_not_free_while_the_deleted_generation_may_still_store_an_image() -> None:
    process = Process()
    process.model.script = [Call(before_answer=asyncio.Event())]
    record = await process.begin(key="k")
    await process.fake_clock.settle()
    await process.history.delete(ADA, record.id)
    with pytest.raises(Busy) as caught:
        await process.submission.begin(ADA, REQUEST, "k", queued=False)
    assert caught.value.retry_after == 10


async def test_key_whose_failed_generation_vanishes_while_it_is_reopened_is_free() -> None:
    process = Process()
    process.model.script = [Call(error=NoImage())]
    failed = await process.make(key="k")

    async def remove() -> None:
        await process.store.remove(failed)

    process.store.generations.faults.add(Effect.APPLIED, "replace").before = remove
    again = await process.make(key="k")
    assert (again.status, again.blob_stem != failed.blob_stem) == (Status.SUCCEEDED, True)


@pytest.mark.parametrize("error", [RateLimited("later"), InvalidRequest("no")], ids=lambda error: error.code)
async def test_refusal_of_the_chain_records_nothing(error: ImageError) -> None:
    process = Process()
    process.model.refusal = error
    with pytest.raises(type(error)):
        process.submission.check(REQUEST)
    with pytest.raises(type(error)):
        await process.begin()
    assert (process.store.generations.all, process.memory.held, process.loader.loaded) == ([], 0, [])


async def test_missing_api_key_is_an_error_of_the_check() -> None:
    process = Process()
    process.submission.check(REQUEST)
    process.model.has_key = False
    with pytest.raises(GeminiKeyMissing):
        process.submission.check(REQUEST)


async def test_input_that_cannot_be_loaded_releases_its_memory_and_records_nothing() -> None:
    process = Process()
    process.loader.error = ImageFetchFailed(0, "404")
    with pytest.raises(ImageFetchFailed):
        await process.begin()
    assert (process.store.generations.all, process.memory.held) == ([], 0)


async def test_storage_that_is_down_records_nothing_and_calls_no_model() -> None:
    process = Process()
    process.store.generations.faults.unreachable = True
    with pytest.raises(StorageUnavailable):
        await process.fake_clock.run(process.begin())
    assert (process.model.calls, process.memory.held) == ([], 0)


async def test_limit_of_one_user_counts_requests_before_their_records_exist() -> None:
    process = Process()
    process.store.limits = UserLimits(1, Budgets(None, None))
    results = await process.fake_clock.run(_two_new(process))
    assert sorted(type(each).__name__ for each in results) == ["Submitted", "TooManyGenerations"]
    await process.fake_clock.run(process.background.drain())
    assert (await process.make()).status is Status.SUCCEEDED


@pytest.mark.parametrize("key", [None, "k"])
async def test_generation_counts_once_between_its_record_and_its_response(key: str | None) -> None:
    process = Process()
    process.store.limits = UserLimits(2, Budgets(None, None))
    admitted: list[str] = []

    async def begin_another() -> None:
        process.store.generations.faults.clear()
        admitted.append((await process.begin(replace(REQUEST, prompt="another"), queued=True)).id)

    faults = process.store.generations.faults
    if key is not None:
        faults.add(Effect.APPLIED, "read")  # of the key
    faults.add(Effect.REPEATED, "create")  # so that the record is read while it is reserved
    faults.add(Effect.APPLIED, "read").before = begin_another
    record = await process.begin(key=key, queued=True)
    assert (len(admitted), admitted != [record.id]) == (1, True)


async def test_trace_of_the_request_is_in_the_record() -> None:
    process = Process()
    submitted = await process.submission.begin(ADA, REQUEST, None, queued=True, trace_parent="00-a-b-01")
    assert submitted.result.record.trace_parent == "00-a-b-01"


async def test_ids_and_names_of_images_are_random_and_of_our_grammar() -> None:
    record = await Process().begin()
    assert re.fullmatch(r"gen-1795608000000-[0-9a-f]{16}", record.id)
    assert is_own_stem(record.blob_stem)


async def test_failed_generation_that_appears_while_its_key_is_used_is_queued_again() -> None:
    process = Process()
    process.model.script = [Call(error=NoImage())]
    failed = await process.make(key="k")
    await process.store.remove(failed)

    async def appear() -> None:
        process.store.generations.faults.clear()
        await process.store.write(failed)

    process.store.generations.faults.add(Effect.APPLIED, "create").before = appear
    again = await process.submission.begin(ADA, REQUEST, "k", queued=True)
    assert (again.queued, again.result.record.id, len(process.model.calls)) == (True, failed.id, 1)
    assert process.memory.held == 0


async def test_first_run_takes_its_inputs_from_memory() -> None:
    process = Process()
    record = await process.make()
    read = [name for operation, name in process.store.blobs.faults.calls if operation == "read"]
    assert not any(name.startswith("inputs/") for name in read)
    assert process.model.calls[0][0] == (image(2),)
    assert record.timings is not None
    assert set(record.timings) == {"inputs", "copies", "record", "model", "picture", "total"}


async def test_edit_is_shown_earlier_turns_only_by_a_model_that_made_the_last_of_them() -> None:
    process = Process()
    process.model.script = [Call(turn=TURN)]
    first = await process.make()
    process.model.script = [Call(turn=TURN, in_context=True)]
    second = await process.make(replace(REQUEST, images=(), from_id=first.id))
    edit = replace(REQUEST, images=(), from_id=second.id)
    assert len((await process.submission.dry_run(ADA, edit, None)).warnings) == 1
    assert second.turn is not None
    await process.store.write(replace(second, turn=replace(second.turn, model="another")))
    warnings = (await process.submission.dry_run(ADA, edit, None)).warnings
    assert warnings[1:] == ("context_not_kept: x",)


async def _two_new(process: Process) -> list[object]:
    return await asyncio.gather(
        *(process.submission.begin(ADA, REQUEST, None, queued=False) for _ in range(2)), return_exceptions=True
    )


async def test_error_that_a_waiting_caller_gets_names_the_generation() -> None:
    process = Process()
    answer = asyncio.Event()
    process.model.script = [Call(before_answer=answer)]
    submitted = await process.submission.begin(ADA, REQUEST, None, queued=False)
    await process.fake_clock.settle()
    record = submitted.result.record
    await process.store.remove(record)
    answer.set()
    with pytest.raises(NotFound) as caught:
        await process.fake_clock.run(process.submission.wait(submitted, 10_000))
    assert caught.value.record_id == record.id


async def test_dry_run_loads_the_inputs_and_leaves_nothing_behind() -> None:
    process = Process()
    process.store.limits = UserLimits(10, Budgets(1.0, None))
    run = await process.submission.dry_run(ADA, REQUEST, "k")
    assert (run.model, run.warnings, run.left_usd, run.crop) == (MODEL, (f"a_warning: 1 to {MODEL}",), 1.0, None)
    assert run.estimated_usd == pytest.approx(process.admission.expected_usd(Options(), 1, 12))
    assert run.inputs == (CheckedInput("image/png", 4, 4, converted=False),)
    assert (process.store.generations.all, process.memory.held, process.model.calls) == ([], 0, [])
    assert process.store.blobs.names("catafract-private") == []
    await process.make(key="k")
    assert (await process.submission.dry_run(ADA, REQUEST, "k")).model == MODEL


async def test_dry_run_names_the_model_that_would_be_asked() -> None:
    request = replace(REQUEST, images=("a", "b"), options=Options(model="another"))
    run = await Process().submission.dry_run(ADA, request, None)
    assert (run.model, run.warnings, len(run.inputs)) == ("another", ("a_warning: 2 to another",), 2)
    many = replace(REQUEST, images=("a", "b", "c", "d"))
    assert (await Process().submission.dry_run(ADA, many, None)).model == FOR_MANY_INPUTS


@pytest.mark.parametrize("dry", [True, False])
async def test_inputs_are_loaded_for_their_user_until_the_deadline(dry: bool) -> None:
    process = Process()
    deadline = process.fake_clock.clock.deadline(7)
    if dry:
        await process.submission.dry_run(ADA, REQUEST, None, deadline)
    else:
        await process.submission.begin(ADA, REQUEST, None, queued=True, deadline=deadline)
    assert process.loader.loaded == [Load(REQUEST.images, ADA, ADA.id, 7, None, edit_first=False)]


async def test_dry_run_of_the_key_of_a_running_generation_does_not_count_it_against_itself() -> None:
    process = Process()
    process.store.limits = UserLimits(1, Budgets(None, None))
    await process.begin(key="k", queued=True)
    await process.submission.dry_run(ADA, REQUEST, "k")
    with pytest.raises(TooManyGenerations):
        await process.submission.dry_run(ADA, REQUEST, "another")


@pytest.mark.parametrize("dry", [True, False])
async def test_chain_is_asked_about_the_options_and_all_inputs_of_a_request(dry: bool) -> None:
    process = Process()
    first = await process.make()
    request = replace(REQUEST, from_id=first.id, options=Options(image_size="4K"))
    process.model.refusal, process.model.refused = RateLimited("later"), (request.options, 2)
    with pytest.raises(RateLimited):
        process.submission.check(request)
    work = process.submission.dry_run(ADA, request, None) if dry else process.begin(request)
    with pytest.raises(RateLimited):
        await work
    assert len(process.loader.loaded) == 1


async def test_dry_run_is_refused_where_the_request_would_be() -> None:
    process = Process()
    process.store.limits = UserLimits(0, Budgets(None, None))
    with pytest.raises(TooManyGenerations):
        await process.submission.dry_run(ADA, REQUEST, None)


async def test_edit_of_an_earlier_generation_begins_with_its_image_and_names_it() -> None:
    process = Process()
    first = await process.make()
    second = await process.make(replace(REQUEST, images=(), from_id=first.id))
    third = await process.make(replace(REQUEST, images=(), from_id=second.id))
    assert (second.parent_id, second.root_id) == (first.id, first.id)
    assert (third.parent_id, third.root_id) == (second.id, first.id)
    assert second.input_images == (f"/api/images/{first.id}",)


@pytest.mark.parametrize("from_id", ["gen-none", "no id"])
async def test_edit_of_what_is_not_there_is_refused(from_id: str) -> None:
    process = Process()
    with pytest.raises(NotFound, match="No generation of yours has the id in `from`") as caught:
        await process.fake_clock.run(process.begin(replace(REQUEST, from_id=from_id)))
    assert caught.value.field == "from"


async def test_edit_of_a_generation_that_has_no_image_is_refused() -> None:
    process = Process()
    process.model.script = [Call(error=Refused()), Call(before_answer=asyncio.Event())]
    failed = await process.make()
    running = await process.begin()
    for record, said in ((failed, "failed"), (running, "running")):
        with pytest.raises(Conflict, match=said):
            await process.begin(replace(REQUEST, from_id=record.id))


async def test_dry_run_of_an_edit_warns_where_the_earlier_turns_are_not_shown() -> None:
    process = Process()
    first = await process.make()
    run = await process.submission.dry_run(ADA, replace(REQUEST, from_id=first.id), None)
    assert run.warnings == (f"a_warning: 2 to {MODEL}", "context_not_kept: x")
    assert [each.earlier for each in process.loader.loaded] == [None, first.id]


@pytest.mark.parametrize("dry", [True, False])
async def test_edit_is_expected_to_cost_its_earlier_turns_and_is_shown_them(dry: bool) -> None:
    process = Process()
    process.model.script = [Call(turn=TURN)]
    first = await process.make()
    assert first.turn is not None
    edit = replace(REQUEST, images=(), from_id=first.id)
    expected = process.admission.expected_usd(Options(), 1, 12, ContextSize(MODEL, 1, 2, first.turn.characters))
    assert expected > process.admission.expected_usd(Options(), 1, 12)
    if dry:
        run = await process.submission.dry_run(ADA, edit, None)
        assert (run.estimated_usd, run.warnings) == (expected, (f"a_warning: 1 to {MODEL}",))
        return
    process.model.script = [Call(in_context=True)]
    second = await process.make(edit)
    assert (second.expected_usd, second.context) == (expected, (first.turn,))
    assert [turn.prompt for turn in process.model.turns[1]] == [first.prompt]


async def test_masked_edit_sends_the_crop_and_keeps_what_it_is_composed_of() -> None:
    process = Process()
    process.loader.edit = masked_edit()
    record = await process.make(replace(REQUEST, mask="data:,"))
    assert record.edit is not None
    ((sent, *_), _, options) = process.model.calls[0]
    assert (sent, options.aspect_ratio) == (image(3), "1:1")
    assert (record.edit.size, record.edit.edited_bytes) == ((8, 8), len(b"the file"))
    assert record.edit.original is not None
    assert await process.copies.read_original(ADA, record.edit.original, 100) == b"the file"
    assert await process.copies.read_all(ADA, (record.edit.sent, record.edit.mask)) == (image(3), image(5))
    assert record.edit.crop == masked_edit().crop
    assert (record.width, record.mime_type) == (8, "image/png")


async def test_masked_edit_of_several_inputs_in_a_shape_that_the_models_make() -> None:
    process = Process()
    process.loader.edit, process.loader.original = masked_edit(), None
    options = Options(aspect_ratio="16:9")
    record = await process.make(replace(REQUEST, mask="data:,", images=("a", "b"), options=options))
    (prepared,) = process.loader.prepared
    assert (prepared.inputs, prepared.shapes) == (2, {"16:9": (1024, 2048)})
    assert process.model.calls[0][0] == (image(3), image(2))
    assert record.edit is not None
    assert (record.edit.original, record.edit.edited_bytes) == (None, len(image(2).data))


@pytest.mark.parametrize(("size", "shown"), [(19_000_000, 1), (20_000_000, 0)])
async def test_edit_is_shown_no_more_turns_than_one_request_may_have_memory_for(size: int, shown: int) -> None:
    process = Process()
    process.model.script = [Call(turn=TURN)]
    first = await process.make()
    assert first.turn is not None
    turn = replace(first.turn, size=size, inputs=())
    await process.store.write(replace(first, turn=turn))
    record = await process.begin(replace(REQUEST, images=(), from_id=first.id), queued=True)
    assert record.context == (turn,)[:shown]


@pytest.mark.parametrize(("images", "shown"), [((), 1), (("a",), 0)])
async def test_edit_is_shown_no_more_turns_than_a_request_to_a_model_has_bytes_for(
    images: tuple[str, ...], shown: int
) -> None:
    process = Process(memory_bytes=1_000_000_000)
    process.model.script = [Call(turn=TURN)]
    first = await process.make()
    assert first.turn is not None
    turn = replace(first.turn, size=MAX_INLINE_BYTES - RESERVED_BYTES, inputs=())
    await process.store.write(replace(first, turn=turn))
    record = await process.begin(replace(REQUEST, images=images, from_id=first.id), queued=True)
    assert record.context == (turn,)[:shown]


@pytest.mark.parametrize("queued", [True, False])
async def test_edit_takes_its_inputs_from_memory_and_when_it_was_queued_from_their_copies(queued: bool) -> None:
    process = Process()
    first = await process.make()
    edit = await process.begin(replace(REQUEST, from_id=first.id), queued=queued)
    if queued:
        process.background.resume(edit)
    ended = await process.ended(edit)
    assert ended is not None
    assert ended.status is Status.SUCCEEDED
    assert process.model.calls[1][0] == (image(1), image(2))
    read = [name for operation, name in process.store.blobs.faults.calls if operation == "read"]
    assert any(name.startswith("inputs/") for name in read) == queued


async def test_edit_of_a_generation_that_was_just_made_waits_until_it_is_readable() -> None:
    process = Process()
    first = await process.make()
    await process.store.remove(first)
    beginning = asyncio.ensure_future(process.begin(replace(REQUEST, from_id=first.id), queued=True))
    await process.fake_clock.advance(0.3)
    await process.store.write(first)
    await process.fake_clock.advance(0.3)
    assert (await beginning).parent_id == first.id


async def test_masked_edit_is_shown_no_earlier_turns() -> None:
    process = Process()
    process.model.script = [Call(turn=TURN)]
    first = await process.make()
    process.loader.edit = masked_edit()
    record = await process.begin(replace(REQUEST, images=(), from_id=first.id, mask="data:,"), queued=True)
    assert (record.parent_id, record.context) == (first.id, ())


async def test_mask_of_the_whole_image_is_an_edit_without_a_mask() -> None:
    record = await Process().make(replace(REQUEST, mask="data:,"))
    assert record.edit is None


async def test_dry_run_of_a_masked_edit_says_what_is_sent() -> None:
    process = Process()
    process.loader.edit = masked_edit()
    run = await process.submission.dry_run(ADA, replace(REQUEST, mask="data:,"), None)
    assert run.crop == masked_edit().inner_crop
