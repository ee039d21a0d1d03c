"""Converting and composing what a model made: a failure is no reason to lose its image."""

import io
from dataclasses import replace

import PIL.Image
import pytest

from image_core.errors import Busy, InvalidImage, StorageUnavailable
from image_core.generations.converter import COMPOSE_SECONDS, SandboxConverter
from image_core.generations.record import Record
from image_core.images.fault import Fault
from image_core.images.image import Image, Target
from image_core.images.masked_edit import ComposedEdit, PreparedEdit
from image_core.images.region import Box, Crop
from image_core.images.sandbox_scheduler import Sandboxes
from tests.support.domain import ADA, REQUEST, Process, image, masked_edit
from tests.support.fakes.faults import Effect
from tests.support.image_files import saved

TARGET = Target(320, "webp", 80)


def converter(process: Process) -> SandboxConverter:
    """Make the converter of a process."""
    return SandboxConverter(process.copies, process.sandboxes, process.fake_clock.clock)


def _raise(error: Exception) -> object:
    raise error


async def test_conversion_runs_in_a_sandbox_of_its_user_for_half_a_minute_at_most() -> None:
    process = Process()
    files: list[bytes] = []
    process.sandboxes.job = files.append
    await converter(process).convert(ADA, image(), TARGET)
    assert (files, process.sandboxes.asked) == ([image().data], [(ADA.id, 30)])


async def test_conversion_returns_the_image_as_it_was_asked_for() -> None:
    process = Process()
    real = SandboxConverter(process.copies, Sandboxes(10**6, 10**6), process.fake_clock.clock)
    made = await real.convert(ADA, image(side=4), Target(2, "webp", 80))
    assert made is not None
    assert (made.mime_type, made.width, made.height) == ("image/webp", 2, 2)


@pytest.mark.parametrize(
    ("error", "logged"),
    [
        (Fault(InvalidImage, "broken"), "an image could not be converted to webp: broken"),
        (Busy("later"), "an image could not be converted to webp: later"),
        (ValueError("a secret"), "converting an image failed: ValueError\n"),
    ],
    ids=["image", "sandboxes", "defect"],
)
async def test_conversion_that_fails_returns_none_and_is_logged(
    error: Exception, logged: str, caplog: pytest.LogCaptureFixture
) -> None:
    process = Process()
    process.sandboxes.job = lambda _: _raise(error)
    assert await converter(process).convert(ADA, image(), TARGET) is None
    (record,) = caplog.records
    assert record.getMessage().startswith(logged)
    assert "a secret" not in caplog.text


async def edited(process: Process, *, original: bool) -> Record:
    """Begin a masked edit whose input copies are stored."""
    process.loader.edit = masked_edit()
    process.loader.original = b"the file" if original else None
    return await process.begin(replace(REQUEST, mask="data:,", images=("a", "b")), queued=True)


async def test_composed_edit_has_the_answer_inside_of_the_mask_and_the_first_input_outside() -> None:
    process = Process()
    white = PIL.Image.new("L", (4, 4))
    white.paste(255, (0, 0, 2, 2))
    mask = Image(saved(white, "PNG"), "image/png", 4, 4)
    process.loader.edit = PreparedEdit((4, 4), Crop(Box(0, 0, 2, 2), "1:1"), image(2, side=2), mask)
    process.loader.original = None
    record = await process.begin(replace(REQUEST, mask="data:,"), queued=True)
    assert record.edit is not None
    real = SandboxConverter(process.copies, Sandboxes(10**6, 10**6), process.fake_clock.clock)
    made = await real.compose(record, record.edit, image(200, side=2), Target(None, "png", 80), 60)
    assert made is not None
    pixels = PIL.Image.open(io.BytesIO(made.image.data)).convert("L")
    assert (pixels.size, pixels.getpixel((0, 0)), pixels.getpixel((3, 3))) == ((4, 4), 200, 2)


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
    made = await process.fake_clock.run(converter(process).compose(record, record.edit, image(), TARGET, 60))
    assert made == composed
    assert files == [b"the file" if original else image(2).data]
    assert process.sandboxes.asked == [(ADA.id, 60)]


async def test_composing_in_a_sandbox_that_hangs_ends_in_time() -> None:
    process = Process()
    record = await edited(process, original=True)
    assert record.edit is not None
    process.sandboxes.gate.clear()
    assert await converter(process).compose(record, record.edit, image(), TARGET, 0.01) is None


async def test_masked_edit_waits_for_the_storage() -> None:
    process = Process()
    record = await edited(process, original=True)
    assert record.edit is not None
    composed = ComposedEdit(image(), aligned=True)
    process.sandboxes.job = lambda _: composed
    refused = process.store.blobs.faults.add(Effect.REFUSED, "read", times=3)
    assert (
        await process.fake_clock.run(converter(process).compose(record, record.edit, image(), TARGET, 60)) == composed
    )
    assert (refused.hits, process.fake_clock.monotonic()) == (3, 3)


@pytest.mark.parametrize(
    ("error", "logged"),
    [
        (Fault(InvalidImage, "broken"), "a masked edit could not be composed: broken"),
        (Busy("later"), "a masked edit could not be composed in time: Busy"),
        (StorageUnavailable(), "a masked edit could not be composed in time: StorageUnavailable"),
        (ValueError("a secret"), "composing a masked edit failed: ValueError\n"),
    ],
    ids=["image", "sandboxes", "storage", "defect"],
)
async def test_masked_edit_that_cannot_be_composed_is_none(
    error: Exception, logged: str, caplog: pytest.LogCaptureFixture
) -> None:
    process = Process()
    record = await edited(process, original=True)
    assert record.edit is not None
    process.sandboxes.job = lambda _: _raise(error)
    work = converter(process).compose(record, record.edit, image(), TARGET, COMPOSE_SECONDS)
    assert await process.fake_clock.run(work) is None
    assert process.fake_clock.monotonic() <= COMPOSE_SECONDS
    (message,) = [each.getMessage() for each in caplog.records]
    assert message.startswith(logged)
    assert "a secret" not in caplog.text
