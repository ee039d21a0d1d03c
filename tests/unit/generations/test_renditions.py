"""Renditions are made once and kept, as long as their image is there."""

import asyncio
import gc
from dataclasses import replace

import pytest

from image_core.clock import Clock
from image_core.errors import Busy, ImageTooLarge, InvalidImage, NotFound
from image_core.generations.reading import Opened, stored_name
from image_core.generations.renditions import RenditionMaker, version
from image_core.images.fault import Fault
from image_core.images.image import Image, Target
from image_core.images.probe import read_header
from image_core.images.sandbox_scheduler import Sandboxes
from image_core.storage.renditions import Renditions
from tests.support.domain import ADA, PRIVATE, PUBLIC, Process, image

TARGET = Target(320, "webp", 80)
RENDITION = b"rendition"


async def opened(process: Process) -> tuple[str, Opened]:
    """Store an image and open it."""
    record = await process.make()
    return stored_name(record), await process.reading.open_result(record)


async def render(process: Process, name: str, found: Opened) -> bytes:
    """Open a rendition and read it."""
    deadline = process.fake_clock.clock.deadline(10)
    rendition = await process.fake_clock.run(process.rendition_maker.open(ADA, name, found, TARGET, deadline))
    assert rendition.container == PRIVATE
    return await process.reading.read(rendition, 0, 100)


async def test_rendition_is_made_once_and_kept() -> None:
    process = Process()
    name, found = await opened(process)
    assert await render(process, name, found) == RENDITION
    assert await render(process, name, found) == RENDITION
    assert (process.sandboxes.runs, process.memory.held) == (1, 0)


async def test_rendition_is_the_image_in_the_size_and_format_that_was_asked_for() -> None:
    process = Process()
    name, found = await opened(process)
    maker = RenditionMaker(
        process.store.blobs,
        Renditions(process.store.blobs, PRIVATE),
        Sandboxes(10**6, 10**6),
        process.memory,
        Clock(),
    )
    rendition = await maker.open(ADA, name, found, Target(2, "webp", 80), Clock().deadline(60))
    header = read_header(await process.reading.read(rendition, 0, 10_000))
    assert header is not None
    assert (header.mime_type, header.width, header.height) == ("image/webp", 2, 2)


async def test_rendition_is_made_for_its_user_with_memory_for_two_copies() -> None:
    process = Process()
    name, found = await opened(process)
    seen: list[tuple[bytes, int]] = []

    def job(data: bytes) -> Image:
        seen.append((data, process.memory.held))
        return Image(RENDITION, "image/webp", 2, 2)

    process.sandboxes.job = job
    await render(process, name, found)
    assert seen == [(process.model.image.data, 2 * found.blob.size)]
    assert process.sandboxes.asked == [(ADA.id, 60)]


async def test_rendition_waits_while_its_user_has_too_much_memory() -> None:
    process = Process()
    name, found = await opened(process)
    large = Opened(PUBLIC, replace(found.blob, size=10_000_000))
    with process.memory.claim(ADA.id) as claim:
        claim.take(15_000_000)
        with pytest.raises(Busy):
            await render(process, name, large)
        assert process.sandboxes.runs == 0
        await process.rendition_maker.close()


async def test_failure_of_a_rendition_without_a_waiting_caller_is_not_reported_as_unhandled(
    caplog: pytest.LogCaptureFixture,
) -> None:
    gc.collect()  # what other tests left
    caplog.clear()
    process = Process()
    name, found = await opened(process)
    process.sandboxes.gate.clear()
    with pytest.raises(Busy):
        await render(process, name, found)
    process.sandboxes.job = lambda _: _raise(Fault(InvalidImage, "it is broken"))
    process.sandboxes.gate.set()
    await process.fake_clock.settle()
    gc.collect()
    assert caplog.records == []


async def test_many_requests_at_once_make_it_once() -> None:
    process = Process()
    name, found = await opened(process)
    deadline = process.fake_clock.clock.deadline(10)
    opening = (process.rendition_maker.open(ADA, name, found, TARGET, deadline) for _ in range(5))
    assert len({each.blob.name for each in await asyncio.gather(*opening)}) == 1
    assert process.sandboxes.runs == 1


async def test_rendition_that_is_not_ready_in_time_is_there_the_next_time() -> None:
    process = Process()
    name, found = await opened(process)
    process.sandboxes.gate.clear()
    with pytest.raises(Busy) as caught:
        await render(process, name, found)
    assert (process.fake_clock.monotonic(), caught.value.retry_after) == (10, 5)
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
    with pytest.raises(InvalidImage, match="it is broken") as caught:
        await render(process, name, found)
    assert caught.value.fields() == {"imageIndex": 0}


def _raise(error: Exception) -> object:
    raise error


async def test_image_that_is_too_large_has_no_rendition() -> None:
    process = Process()
    name, found = await opened(process)
    large = Opened(PUBLIC, replace(found.blob, size=100_000_001))
    with pytest.raises(ImageTooLarge, match="more than 100,000,000 bytes") as caught:
        await render(process, name, large)
    assert (caught.value.fields(), process.sandboxes.runs) == ({"imageIndex": 0}, 0)
    await render(process, name, Opened(PUBLIC, replace(found.blob, size=100_000_000)))


async def test_version_changes_with_an_image_and_not_with_a_copy_that_is_written_again() -> None:
    process = Process()
    name, found = await opened(process)
    await process.store.blobs.put(PUBLIC, name, image(4).data, "image/png", overwrite=True)
    again = Opened(PUBLIC, await process.store.blobs.describe(PUBLIC, name))
    assert version(name, found) != version(name, again)
    assert '"' not in version(name, found)
    copy = "input-" + "0" * 64 + ".png"
    assert version(copy, found) == version(copy, again) == copy


async def test_closing_ends_what_is_being_made() -> None:
    process = Process()
    name, found = await opened(process)
    process.sandboxes.gate.clear()
    with pytest.raises(Busy):
        await render(process, name, found)
    await process.rendition_maker.close()
    assert process.memory.held == 0
