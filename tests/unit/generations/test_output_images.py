"""An image is stored with the turn that made it; where another process's image counts, its turn does not."""

import asyncio
from dataclasses import replace

import pytest

from image_core.errors import StorageUnavailable
from image_core.generations.output_images import OutputImages
from image_core.images.image import Image
from image_core.models.generated import Generated, Usage
from image_core.models.turns import ModelTurn
from image_core.storage.images import StoredImage
from tests.support import records
from tests.support.domain import ADA, PRIVATE, PUBLIC, Process
from tests.support.fakes.blobs import FakeBlobs
from tests.support.fakes.faults import Effect

STEM = f"generated-1767225600000-{'1' * 32}"
RECORD = records.make(ADA, blob_stem=STEM, lease_owner="a" * 32)


@pytest.fixture
def process() -> Process:
    return Process()


@pytest.fixture
def blobs(process: Process) -> FakeBlobs:
    return process.store.blobs


@pytest.fixture
def images(process: Process) -> OutputImages:
    return process.images


def generated(text: str) -> Generated:
    turn = ModelTurn((f'{{"parts":["{text}"]}}'.encode(),), 1, 0)
    return Generated(Image(text.encode(), "image/png", 1, 1), None, "gemini-3-pro-image", Usage(), (), (), turn)


async def test_the_turn_of_an_image_is_named_beside_it(images: OutputImages, blobs: FakeBlobs) -> None:
    stored, turn = await images.store(RECORD, generated("mine"))
    assert stored.mine
    assert turn is not None
    assert blobs.containers[PRIVATE][f"turns/{ADA.folder}/{turn.name}"].data.endswith(b'{"parts":["mine"]}')


async def test_the_turn_of_an_image_that_came_second_is_not_named(images: OutputImages) -> None:
    first, second = (replace(RECORD, lease_owner=letter * 32) for letter in "ab")
    _, turn = await images.store(first, generated("first"))
    assert turn is not None
    stored, late = await images.store(second, generated("second"))
    assert (stored.mine, late) == (False, None)


async def test_an_image_that_its_container_does_not_take_for_five_seconds_waits_in_the_outbox(
    process: Process, images: OutputImages, blobs: FakeBlobs, caplog: pytest.LogCaptureFixture
) -> None:
    del blobs.containers[PUBLIC]
    blobs.faults.add(Effect.LOST, "put", "images/")
    stored, turn = await process.fake_clock.run(images.store(RECORD, generated("mine")))
    name = f"{STEM}.png"
    assert stored == StoredImage(name, f"https://account.example/{PUBLIC}/{name}", mine=True, waiting=True)
    assert turn is not None
    assert process.fake_clock.monotonic() == 6
    assert [(each.levelname, each.getMessage(), getattr(each, "generation", None)) for each in caplog.records] == [
        ("ERROR", "an image waits in the outbox", RECORD.id)
    ]


async def test_of_two_images_in_the_outbox_the_first_counts(process: Process, images: OutputImages) -> None:
    del process.store.blobs.containers[PUBLIC]
    first, second = (replace(RECORD, lease_owner=letter * 32) for letter in "ab")
    stored = [(await process.fake_clock.run(images.store(each, generated("x"))))[0] for each in (first, second)]
    assert [each.mine for each in stored] == [True, False]


async def test_an_image_that_cannot_be_stored_does_not_wait_for_its_turn(
    process: Process, images: OutputImages, blobs: FakeBlobs
) -> None:
    hanging = blobs.faults.add(Effect.APPLIED, "put", "turns/")
    hanging.before = asyncio.Event().wait
    blobs.faults.add(Effect.REFUSED, "put", "generated-", times=1000)
    blobs.faults.add(Effect.REFUSED, "put", "images/", times=1000)
    with pytest.raises(StorageUnavailable):
        await process.fake_clock.run(images.store(RECORD, generated("lost")))
    assert not any(name.startswith("turns/") for name in blobs.containers[PRIVATE])


async def test_everything_of_a_generation_is_deleted(images: OutputImages, blobs: FakeBlobs) -> None:
    await images.store(RECORD, generated("mine"))
    await images.delete_all(RECORD)
    assert blobs.containers[PUBLIC] == {}
    assert not any(name.startswith("turns/") for name in blobs.containers[PRIVATE])
