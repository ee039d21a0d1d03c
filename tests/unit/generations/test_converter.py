"""Converting and composing what a model made: a failure is no reason to lose its image."""

from dataclasses import replace

import pytest

from image_core.errors import Busy, InvalidImage, StorageUnavailable
from image_core.generations.converter import COMPOSE_SECONDS, SandboxConverter
from image_core.generations.record import Record
from image_core.images.fault import Fault
from image_core.images.image import Target
from image_core.images.masked_edit import ComposedEdit
from tests.support.domain import ADA, REQUEST, Process, image, masked_edit
from tests.support.fakes.faults import Effect

TARGET = Target(320, "webp", 80)
CONVERTED = b"rendition"
"""What `Process.sandboxes` make of any image."""


def converter(process: Process) -> SandboxConverter:
    """Make the converter of a process."""
    return SandboxConverter(process.copies, process.sandboxes, process.fake_clock.clock)


def _raise(error: Exception) -> object:
    raise error


async def test_conversion_returns_the_new_image() -> None:
    assert (await converter(Process()).convert(ADA, image(), TARGET) or image()).data == CONVERTED


@pytest.mark.parametrize("error", [Fault(InvalidImage, "broken"), Busy("later"), ValueError("a bug")], ids=repr)
async def test_conversion_that_fails_returns_none_and_is_logged(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    process = Process()
    process.sandboxes.job = lambda _: _raise(error)
    assert await converter(process).convert(ADA, image(), TARGET) is None
    assert len(caplog.records) == 1
    assert "a bug" not in caplog.text


async def edited(process: Process, *, original: bool) -> Record:
    """Begin a masked edit whose input copies are stored."""
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
    made = await process.fake_clock.run(converter(process).compose(record, record.edit, image(), TARGET, 60))
    assert made == composed
    assert files == [b"the file" if original else image(2).data]


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
    "error", [Fault(InvalidImage, "broken"), Busy("later"), StorageUnavailable(), ValueError("a bug")], ids=repr
)
async def test_masked_edit_that_cannot_be_composed_is_none(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    process = Process()
    record = await edited(process, original=True)
    assert record.edit is not None
    process.sandboxes.job = lambda _: _raise(error)
    work = converter(process).compose(record, record.edit, image(), TARGET, COMPOSE_SECONDS)
    assert await process.fake_clock.run(work) is None
    assert process.fake_clock.monotonic() <= COMPOSE_SECONDS
    assert "composed" in caplog.text or "composing" in caplog.text
    assert "a bug" not in caplog.text
