"""Renditions and conversions: made once, kept, and no reason to lose an image."""

import asyncio
from dataclasses import replace

import pytest

from image_core.errors import Busy, ImageTooLarge, InvalidImage, NotFound, StorageUnavailable
from image_core.generations.reading import Opened, stored_name
from image_core.generations.record import Record
from image_core.generations.rendering import COMPOSE_SECONDS, version
from image_core.images.fault import Fault
from image_core.images.image import Image, Target
from image_core.images.masked_edit import ComposedEdit
from tests.support.domain import ADA, PRIVATE, PUBLIC, REQUEST, Process, image, masked_edit
from tests.support.fakes.faults import Effect

TARGET = Target(320, "webp", 80)
RENDITION = b"rendition"


async def opened(process: Process) -> tuple[str, Opened]:
    """A stored image, opened."""
    record = await process.make()
    return stored_name(record), await process.reading.open_result(record)


async def render(process: Process, name: str, found: Opened) -> bytes:
    """Open a rendition and read it."""
    deadline = process.fake_clock.clock.deadline(10)
    rendition = await process.fake_clock.run(process.rendering.open(ADA, name, found, TARGET, deadline))
    assert rendition.container == PRIVATE
    return await process.reading.read(rendition, 0, 100)


async def test_rendition_is_made_once_and_kept() -> None:
    process = Process()
    name, found = await opened(process)
    assert await render(process, name, found) == RENDITION
    assert await render(process, name, found) == RENDITION
    assert (process.sandboxes.runs, process.memory.held) == (1, 0)


async def test_many_requests_at_once_make_it_once() -> None:
    process = Process()
    name, found = await opened(process)
    deadline = process.fake_clock.clock.deadline(10)
    opening = (process.rendering.open(ADA, name, found, TARGET, deadline) for _ in range(5))
    assert len({each.blob.name for each in await asyncio.gather(*opening)}) == 1
    assert process.sandboxes.runs == 1


async def test_rendition_that_is_not_ready_in_time_is_there_the_next_time() -> None:
    process = Process()
    name, found = await opened(process)
    process.sandboxes.gate.clear()
    with pytest.raises(Busy):
        await render(process, name, found)
    assert process.fake_clock.monotonic() == 10
    process.sandboxes.gate.set()
    assert await render(process, name, found) == RENDITION
    assert process.sandboxes.runs == 1


async def test_rendition_of_an_image_that_was_replaced_is_made_again() -> None:
    process = Process()
    name, found = await opened(process)
    await render(process, name, found)
    await process.store.blobs.put(PUBLIC, name, image(4).data, "image/png", overwrite=True)
    again = Opened(PUBLIC, await process.store.blobs.describe(PUBLIC, name))
    await render(process, name, again)
    assert process.sandboxes.runs == 2


async def test_rendition_of_an_image_that_was_deleted_is_not_found() -> None:
    process = Process()
    name, found = await opened(process)
    process.store.blobs.containers[PUBLIC].clear()
    with pytest.raises(NotFound):
        await render(process, name, found)
    assert process.sandboxes.runs == 0


async def test_rendition_of_an_image_that_is_deleted_while_it_is_made_is_not_kept() -> None:
    process = Process()
    name, found = await opened(process)

    def job(_: bytes) -> Image:
        process.store.blobs.containers[PUBLIC].clear()
        return Image(RENDITION, "image/webp", 2, 2)

    process.sandboxes.job = job
    with pytest.raises(NotFound):
        await render(process, name, found)
    assert [each for each in process.store.blobs.names(PRIVATE) if each.startswith("renditions/")] == []


async def test_image_that_cannot_be_decoded_has_no_rendition() -> None:
    process = Process()
    name, found = await opened(process)
    process.sandboxes.job = lambda _: _raise(Fault(InvalidImage, "it is broken"))
    with pytest.raises(InvalidImage):
        await render(process, name, found)


def _raise(error: Exception) -> object:
    raise error


async def test_image_that_is_too_large_has_no_rendition() -> None:
    process = Process()
    name, found = await opened(process)
    large = Opened(PUBLIC, replace(found.blob, size=100_000_001))
    with pytest.raises(ImageTooLarge):
        await render(process, name, large)
    assert process.sandboxes.runs == 0


async def test_version_changes_with_an_image_and_not_with_a_copy_that_is_written_again() -> None:
    process = Process()
    name, found = await opened(process)
    await process.store.blobs.put(PUBLIC, name, image(4).data, "image/png", overwrite=True)
    again = Opened(PUBLIC, await process.store.blobs.describe(PUBLIC, name))
    assert version(name, found) != version(name, again)
    copy = "input-" + "0" * 64 + ".png"
    assert version(copy, found) == version(copy, again) == copy


async def test_conversion_returns_the_new_image() -> None:
    assert (await Process().rendering.convert(ADA, image(), TARGET) or image()).data == RENDITION


@pytest.mark.parametrize("error", [Fault(InvalidImage, "broken"), Busy("later"), ValueError("a bug")], ids=repr)
async def test_conversion_that_fails_returns_none_and_is_logged(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    process = Process()
    process.sandboxes.job = lambda _: _raise(error)
    assert await process.rendering.convert(ADA, image(), TARGET) is None
    assert len(caplog.records) == 1
    assert "a bug" not in caplog.text


async def edited(process: Process, *, original: bool) -> Record:
    """A masked edit whose copies are stored."""
    process.loader.edit = masked_edit()
    process.loader.original = b"the file" if original else None
    return await process.begin(replace(REQUEST, mask="data:,"), queued=True)


@pytest.mark.parametrize("original", [True, False])
async def test_masked_edit_is_composed_of_the_first_input_and_the_mask(original: bool) -> None:
    process = Process()
    record = await edited(process, original=original)
    assert record.edit is not None
    files: list[bytes] = []
    composed = ComposedEdit(image(), aligned=True)

    def job(data: bytes) -> ComposedEdit:
        files.append(data)
        return composed

    process.sandboxes.job = job
    made = await process.fake_clock.run(process.rendering.compose(record, record.edit, image(), TARGET, 60))
    assert made == composed
    assert files == [b"the file" if original else image(2).data]


async def test_masked_edit_waits_for_the_storage() -> None:
    process = Process()
    record = await edited(process, original=True)
    assert record.edit is not None
    composed = ComposedEdit(image(), aligned=True)
    process.sandboxes.job = lambda _: composed
    refused = process.store.blobs.faults.add(Effect.REFUSED, "read", times=3)
    assert await process.fake_clock.run(process.rendering.compose(record, record.edit, image(), TARGET, 60)) == composed
    assert (refused.hits, process.fake_clock.monotonic()) == (3, 3)


@pytest.mark.parametrize(
    "error", [Fault(InvalidImage, "broken"), Busy("later"), StorageUnavailable(), ValueError("a bug")], ids=repr
)
async def test_masked_edit_that_cannot_be_composed_is_none(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    process = Process()
    record = await edited(process, original=True)
    assert record.edit is not None
    process.sandboxes.job = lambda _: _raise(error)
    work = process.rendering.compose(record, record.edit, image(), TARGET, COMPOSE_SECONDS)
    assert await process.fake_clock.run(work) is None
    assert process.fake_clock.monotonic() <= COMPOSE_SECONDS
    assert "composed" in caplog.text or "composing" in caplog.text
    assert "a bug" not in caplog.text


async def test_closing_ends_what_is_being_made() -> None:
    process = Process()
    name, found = await opened(process)
    process.sandboxes.gate.clear()
    with pytest.raises(Busy):
        await render(process, name, found)
    await process.rendering.close()
    assert process.memory.held == 0
