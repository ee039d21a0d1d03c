"""Every difference between images and records is found, and what has one right answer is repaired."""

from dataclasses import replace
from datetime import timedelta

import pytest

from image_core.generations.reading import stored_name
from image_core.generations.reconciliation import Kind
from image_core.generations.record import Record, Status
from image_core.generations.record_codec import to_document
from image_core.images.image import Target
from tests.support.domain import ADA, PRIVATE, PUBLIC, Process

TARGET = Target(320, "webp", 80)
STEM = "generated-1600000000000-" + "a" * 32


async def findings(process: Process) -> list[tuple[Kind, str]]:
    """Return the kind and name of every finding."""
    return [(each.kind, each.name) for each in await process.reconciliation.findings()]


async def fixed(process: Process) -> list[tuple[Kind, str]]:
    """Repair what can be repaired and return the remaining findings."""
    for each in await process.reconciliation.findings():
        if each.fix is not None:
            await process.fake_clock.run(_fix(each.fix))
    return await findings(process)


async def _fix(fix: object) -> None:
    await fix()  # type: ignore[operator] # an async function


async def put(process: Process, name: str, **options: str) -> None:
    """Store a blob in the container of images."""
    await process.store.blobs.put(PUBLIC, name, b"x", "image/png", overwrite=True, **options)  # type: ignore[arg-type] # cache_control


async def made(process: Process) -> Record:
    """Make a complete generation that is old enough to be compared."""
    record = await process.make()
    await process.fake_clock.advance(61)
    return record


async def test_nothing_is_found_where_everything_is_in_order() -> None:
    process = Process()
    record = await made(process)
    await process.begin(queued=True)
    name = stored_name(record)
    opened = await process.reading.open_result(record)
    await process.rendition_maker.open(ADA, name, opened, TARGET, process.fake_clock.clock.deadline(9))
    await process.fake_clock.settle()
    assert await findings(process) == []


async def test_image_without_a_record_is_left_to_a_person() -> None:
    process = Process()
    await put(process, f"{STEM}.png")
    await put(process, "1600000000000-abc-photo.png")
    await put(process, "generated-1600000000000.png")
    await process.fake_clock.advance(60)
    assert await findings(process) == [], "it may be new"
    await process.fake_clock.advance(1)
    found = [(Kind.IMAGE_WITHOUT_RECORD, f"{STEM}.png")]
    assert await findings(process) == found
    assert await fixed(process) == found


async def test_record_without_its_image_is_left_to_a_person() -> None:
    process = Process()
    record = await made(process)
    process.store.blobs.containers[PUBLIC].clear()
    assert await fixed(process) == [(Kind.RECORD_WITHOUT_IMAGE, record.id)]


async def test_generation_whose_lease_has_expired_is_resumed() -> None:
    process = Process()
    record = await process.begin(queued=True)
    await process.fake_clock.advance(60)
    assert await findings(process) == [(Kind.LEASE_EXPIRED, record.id)]
    assert await fixed(process) == []
    assert process.store.record(record.id).status is Status.SUCCEEDED  # type: ignore[union-attr] # it is there


async def test_entry_of_the_outbox_is_applied() -> None:
    process = Process()
    record = await made(process)
    await process.outbox.put(to_document(record))
    later = process.fake_clock.now() + timedelta(seconds=60)
    await process.store.write(replace(record, status=Status.RUNNING, output_image_url=None, lease_expires_at=later))
    assert await findings(process) == [(Kind.OUTBOX_ENTRY, record.id)]
    assert await fixed(process) == []
    stored = process.store.record(record.id)
    assert stored is not None
    assert replace(stored, etag=record.etag) == record


@pytest.mark.parametrize("public", [True, False])
async def test_long_cache_of_a_public_image_is_set_to_revalidate(public: bool) -> None:
    process = Process(private=not public)
    await put(process, "1600000000000-abc-photo.png", cache_control="public, max-age=31536000, immutable")
    expected = [(Kind.LONG_CACHE, "1600000000000-abc-photo.png")] if public else []
    assert await findings(process) == expected
    assert await fixed(process) == []
    if public:
        blob = process.store.blobs.containers[PUBLIC]["1600000000000-abc-photo.png"].blob
        assert (blob.cache_control, blob.content_type) == ("no-cache", "image/png")


async def test_rendition_whose_image_is_gone_is_deleted() -> None:
    process = Process()
    record = await made(process)
    name = stored_name(record)
    opened = await process.reading.open_result(record)
    await process.rendition_maker.open(ADA, name, opened, TARGET, process.fake_clock.clock.deadline(9))
    copy = record.inputs[0].name
    source = await process.reading.open(ADA, copy)
    await process.rendition_maker.open(ADA, copy, source, TARGET, process.fake_clock.clock.deadline(9))
    (rendition,) = [each for each in process.store.blobs.names(PRIVATE) if name in each]
    process.store.blobs.containers[PUBLIC].clear()
    await process.fake_clock.advance(60)
    missing = (Kind.RECORD_WITHOUT_IMAGE, record.id)
    assert await findings(process) == [missing], "the rendition may be new"
    await process.fake_clock.advance(1)
    assert await findings(process) == [missing, (Kind.RENDITION_WITHOUT_IMAGE, rendition)]
    await fixed(process)
    assert [each for each in process.store.blobs.names(PRIVATE) if name in each] == []


async def test_turn_whose_generation_was_deleted_is_deleted() -> None:
    process = Process()
    record = await made(process)
    kept, lost = (f"turns/{ADA.folder}/{stem}.{'a' * 32}" for stem in (record.blob_stem, STEM))
    for name in (kept, lost):
        await process.store.blobs.put(PRIVATE, name, b"{}\n{}", "application/json-lines", overwrite=True)
    await process.fake_clock.advance(60)
    assert await findings(process) == [], "it may be new"
    await process.fake_clock.advance(1)
    assert await findings(process) == [(Kind.TURN_WITHOUT_RECORD, lost)]
    assert await fixed(process) == []
    assert lost not in process.store.blobs.names(PRIVATE)
    assert kept in process.store.blobs.names(PRIVATE)
