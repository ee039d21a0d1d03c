"""What waits in the outbox is written only where it still belongs, and nothing that was paid for is lost."""

import asyncio
from dataclasses import replace

import pytest

from image_core.errors import ModelUnavailable, StorageUnavailable
from image_core.generations.failure import Failure
from image_core.generations.outbox_delivery import Delivered
from image_core.generations.record import Record, Status
from image_core.generations.record_codec import to_document
from image_core.generations.result import Gone
from image_core.models.generated import OK, Attempt, Generated
from tests.support.domain import ADA, PRIVATE, PUBLIC, Process, image
from tests.support.fakes.clock import START
from tests.support.fakes.faults import Effect
from tests.support.fakes.model import MODEL, USAGE, Call

ATTEMPT = Attempt(MODEL, OK, 1, USAGE, START, "run-0")
GENERATED = Generated(image(), None, MODEL, USAGE, (ATTEMPT,))
EARLIER_ATTEMPT = replace(ATTEMPT, id="earlier-0")
FAILED_ATTEMPT = replace(ATTEMPT, outcome="model_unavailable")


async def started(process: Process) -> Record:
    """Begin a generation whose process called the model and died."""
    record = await process.begin(queued=True)
    return await process.store.write(replace(record, lease_owner="died", run_id="run", attempt_count=1))


async def kept(process: Process, record: Record, entry: Record) -> None:
    """Put an entry into the outbox, with its image where it names one."""
    if entry.status is Status.SUCCEEDED:
        await process.outbox.put_image(record.blob_stem, image(), "died")
    await process.outbox.put(to_document(entry))


def succeeded(process: Process, record: Record) -> Record:
    """Return the record as its process would have completed it."""
    url = process.images.url(f"{record.blob_stem}.png")
    return record.succeeded(url, GENERATED, record.lease_owner, process.fake_clock.now())


def failed(record: Record) -> Record:
    """Return the record as its process would have failed it."""
    return record.failed(Failure.of(ModelUnavailable()), (FAILED_ATTEMPT,), (), START)


async def test_image_and_record_are_delivered_once() -> None:
    process = Process()
    record = await started(process)
    await kept(process, record, succeeded(process, record))
    assert await process.delivery.apply_all() == Delivered(1, frozenset())
    stored = process.store.record(record.id)
    assert stored is not None
    assert (stored.status, stored.attempts) == (Status.SUCCEEDED, (ATTEMPT,))
    assert (process.store.images(), process.store.outbox()) == ([f"{record.blob_stem}.png"], [])
    assert await process.delivery.apply_all() == Delivered(0, frozenset())


async def test_every_entry_that_was_applied_is_counted() -> None:
    process = Process()
    for _ in range(2):
        record = await started(process)
        await kept(process, record, failed(record))
    assert await process.delivery.apply_all() == Delivered(2, frozenset())


async def test_entry_that_the_storage_does_not_take_waits_and_does_not_stop_the_others() -> None:
    process = Process()
    first, second = await started(process), await started(process)
    for record in (first, second):
        await kept(process, record, failed(record))
    process.store.generations.faults.add(Effect.REFUSED, "replace", first.id)
    assert await process.fake_clock.run(process.delivery.apply_all()) == Delivered(1, frozenset({first.id}))
    assert [process.store.record(each.id).status for each in (first, second)] == ["running", "failed"]  # type: ignore[union-attr] # they are there
    assert process.store.outbox() == [f"finished/{first.id}.json"]


@pytest.mark.parametrize(("owner", "run_id"), [("b", "run-of-b"), ("b", "run"), (None, "run-of-b")])
async def test_failure_of_a_run_that_another_process_has_taken_over_leaves_its_calls(
    owner: str | None, run_id: str
) -> None:
    process = Process()
    record = await started(process)
    await kept(process, record, failed(record))
    await process.store.write(replace(record, lease_owner=owner, run_id=run_id))
    await process.delivery.apply_all()
    stored = process.store.record(record.id)
    assert stored is not None
    assert (stored.status, stored.lease_owner, stored.attempts) == (Status.RUNNING, owner, (FAILED_ATTEMPT,))
    assert process.store.billed() == [("model_unavailable", 0.135)]
    await kept(process, record, failed(record))
    await process.delivery.apply_all()
    assert process.store.record(record.id) == stored, "nothing is written twice"


@pytest.mark.parametrize("owner", ["died", None])
async def test_failure_of_a_run_that_no_other_process_has_taken_over_ends_the_generation(owner: str | None) -> None:
    process = Process()
    record = await started(process)
    await kept(process, record, failed(record))
    await process.store.write(replace(record, lease_owner=owner))
    applied = await process.delivery.completed(record)
    assert applied is not None
    assert (applied.status, applied.attempts) == (Status.FAILED, (FAILED_ATTEMPT,))
    assert process.store.record(record.id) == applied


async def test_calls_of_a_run_that_was_taken_over_are_returned_with_its_record_even_where_it_is_removed() -> None:
    process = Process()
    record = await started(process)
    await process.outbox.put(to_document(failed(record)))
    taken = await process.store.write(replace(record, lease_owner="b"))
    applied = await process.delivery.completed(taken)
    assert applied is not None
    assert applied.attempts == (FAILED_ATTEMPT,)
    await process.outbox.put(to_document(failed(record)))
    await process.store.write(taken)

    async def remove() -> None:
        await process.store.remove(record)

    process.store.generations.faults.add(Effect.APPLIED, "replace").before = remove
    assert (await process.delivery.completed(taken)) is not None
    assert process.store.outbox() == []


async def test_image_of_a_run_that_another_process_has_taken_over_counts() -> None:
    process = Process()
    record = await started(process)
    await kept(process, record, succeeded(process, record))
    await process.store.write(replace(record, lease_owner="b", run_id="run-of-b", attempt_count=2))
    await process.delivery.apply_all()
    stored = process.store.record(record.id)
    assert stored is not None
    assert (stored.status, stored.attempt_count) == (Status.SUCCEEDED, 2)


@pytest.mark.parametrize("another", [True, False])
async def test_record_that_has_its_image_keeps_it(another: bool) -> None:
    process = Process()
    record = await started(process)
    entry = succeeded(process, record)
    await kept(process, record, entry)
    url = process.images.url(f"{record.blob_stem}.webp") if another else entry.output_image_url
    await process.stored_images.put(ADA, record.blob_stem, image(), "b")
    await process.store.write(replace(entry, output_image_url=url))
    await process.delivery.apply_all()
    stored = process.store.record(record.id)
    assert stored is not None
    assert stored.output_image_url == url
    assert process.store.images() == ([] if another else [f"{record.blob_stem}.png"])
    assert process.store.outbox() == []


@pytest.mark.parametrize("private", [True, False])
async def test_entry_from_before_image_access_was_changed_keeps_the_image_of_a_recovered_record(private: bool) -> None:
    earlier = Process(private=not private)
    record = await started(earlier)
    await kept(earlier, record, succeeded(earlier, record))
    process = Process(earlier.store, private=private)
    found = await process.images.find(record)
    assert found is not None
    recovered = await process.completion.recover(record, *found)
    await process.delivery.apply_all()
    assert (process.store.record(record.id), process.store.outbox()) == (recovered, [])
    assert await process.images.find(record) == found


@pytest.mark.parametrize("deletion", ["deleting", "removed", "key reused"])
async def test_entry_of_a_deleted_generation_is_billed_and_removed(deletion: str) -> None:
    process = Process()
    record = await started(process)
    await kept(process, record, succeeded(process, record))
    match deletion:
        case "deleting":
            await process.store.write(record.deleting(START, leased=True))
        case "removed":
            await process.store.remove(record)
        case "key reused":
            await process.store.write(replace(record, blob_stem=record.blob_stem[:-1] + "f"))
    await process.delivery.apply_all()
    left = process.store.record(record.id)
    assert (left is None) == (deletion != "key reused")
    assert (process.store.images(), process.store.outbox()) == ([], [])
    assert process.store.billed() == [("ok", 0.135)]


async def test_resuming_applies_the_entry_instead_of_calling_a_model() -> None:
    process = Process()
    record = await started(process)
    await kept(process, record, failed(record))
    result = await process.runner.resume(record)
    assert (result.record.status, process.model.calls) == (Status.FAILED, [])


async def test_entry_of_an_earlier_generation_does_not_stop_the_next_one_under_its_key() -> None:
    process = Process()
    record = await process.begin(queued=True)
    await process.outbox.put(to_document(failed(replace(record, blob_stem=record.blob_stem[:-1] + "f"))))
    await process.fake_clock.run(process.runner.resume(record))
    stored = process.store.record(record.id)
    assert stored is not None
    assert (stored.status, process.store.outbox()) == (Status.SUCCEEDED, [])


async def test_image_in_the_outbox_without_an_entry_completes_the_generation() -> None:
    process = Process()
    record = await started(process)
    await process.outbox.put_image(record.blob_stem, image(), "died")
    await process.fake_clock.advance(61)
    await process.fake_clock.run(process.recovery.resume((await process.recovery.find())[0].encode()))
    stored = process.store.record(record.id)
    assert stored is not None
    assert (stored.status, process.store.images()) == (Status.SUCCEEDED, [f"{record.blob_stem}.png"])
    assert (process.store.outbox(), process.model.calls) == ([], [])


async def test_recovered_image_is_returned_with_the_record() -> None:
    process = Process()
    record = await started(process)
    await process.outbox.put_image(record.blob_stem, image(), "died")
    await process.fake_clock.advance(61)
    found = process.store.record(record.id)
    assert found is not None
    result = await process.runner.resume(found)
    assert (result.record.status, result.image) == (Status.SUCCEEDED, image())


@pytest.mark.parametrize(
    ("known", "expected"),
    [((FAILED_ATTEMPT,), (FAILED_ATTEMPT,)), ((EARLIER_ATTEMPT,), (EARLIER_ATTEMPT, ATTEMPT))],
    ids=["the same call", "another call"],
)
async def test_calls_that_are_in_the_record_stay_in_it(
    known: tuple[Attempt, ...], expected: tuple[Attempt, ...]
) -> None:
    process = Process()
    record = await started(process)
    await kept(process, record, succeeded(process, record))
    await process.store.write(replace(record, attempts=known))
    await process.delivery.apply_all()
    stored = process.store.record(record.id)
    assert stored is not None
    assert (stored.status, stored.attempts) == (Status.SUCCEEDED, expected)


async def test_delivered_image_belongs_to_the_process_that_made_it() -> None:
    process = Process()
    record = await started(process)
    await kept(process, record, succeeded(process, record))
    await process.delivery.apply_all()
    owners = {"died": True, "b": False}
    for owner, mine in owners.items():
        assert (await process.stored_images.put(ADA, record.blob_stem, image(), owner)).mine == mine


async def test_image_that_vanishes_while_it_is_recovered_is_made_again() -> None:
    process = Process()
    record = await started(process)
    stored = await process.stored_images.put(ADA, record.blob_stem, image(), "died")

    async def vanish() -> None:
        process.store.blobs.containers[PUBLIC].clear()

    process.store.blobs.faults.add(Effect.APPLIED, "read", stored.name).before = vanish
    await process.fake_clock.advance(61)
    found = process.store.record(record.id)
    assert found is not None
    result = await process.fake_clock.run(process.runner.resume(found))
    assert (result.record.status, len(process.model.calls)) == (Status.SUCCEEDED, 1)


async def test_stored_image_that_cannot_be_read_is_an_outage() -> None:
    process = Process()
    record = await started(process)
    await process.store.blobs.put(PUBLIC, f"{record.blob_stem}.png", b"no image", "image/png", overwrite=True)
    await process.fake_clock.advance(61)
    found = process.store.record(record.id)
    assert found is not None
    with pytest.raises(StorageUnavailable):
        await process.fake_clock.run(process.runner.resume(found))


async def test_second_image_of_a_postponed_generation_is_not_an_entry() -> None:
    process = Process()
    answer = asyncio.Event()
    process.model.script = [Call(before_answer=answer)]
    record = await process.begin()
    await process.fake_clock.settle()
    await process.outbox.put_image(record.blob_stem, image(8), "b")
    del process.store.blobs.containers[PUBLIC]
    answer.set()
    await process.ended(record)
    assert process.store.outbox() == [f"images/{record.blob_stem}.png"]
    assert process.store.blobs.containers[PRIVATE][f"images/{record.blob_stem}.png"].data == image(8).data


@pytest.mark.parametrize("with_image", [True, False])
async def test_record_that_is_removed_while_an_entry_is_applied_is_gone_with_its_image(with_image: bool) -> None:
    process = Process()
    record = await started(process)
    entry = succeeded(process, record) if with_image else failed(record)
    await kept(process, record, entry)

    async def remove() -> None:
        await process.store.remove(record)

    process.store.generations.faults.add(Effect.APPLIED, "replace").before = remove
    with pytest.raises(Gone) as caught:
        await process.fake_clock.run(process.delivery.apply(entry))
    assert (process.store.images(), process.store.outbox(), caught.value.record_id) == ([], [], record.id)


async def test_entry_of_a_record_that_is_gone_is_gone() -> None:
    process = Process()
    record = await started(process)
    await process.store.remove(record)
    with pytest.raises(Gone) as caught:
        await process.delivery.apply(failed(record))
    assert caught.value.record_id == record.id
