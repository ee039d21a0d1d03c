"""An image is stored with the turn that made it; where another process's image counts, its turn does not."""

import asyncio

import pytest

from image_core.auth.user import User
from image_core.clock import Clock
from image_core.errors import StorageUnavailable
from image_core.generations.context import Conversations
from image_core.generations.output_images import OutputImages
from image_core.generations.retries import StorageRetries
from image_core.images.image import Image
from image_core.models.generated import Generated, Usage
from image_core.models.turns import ModelTurn
from image_core.settings import Settings
from image_core.storage.images import StoredImages
from image_core.storage.input_copies import InputCopies
from image_core.storage.outbox import Outbox
from image_core.storage.pseudonyms import Pseudonyms
from image_core.storage.renditions import Renditions
from image_core.storage.turns import Turns
from tests.support import records
from tests.support.fakes.blobs import FakeBlobs
from tests.support.fakes.faults import Effect

ADA = User("ada@example.com")
IMAGES, PRIVATE = "catafract", "catafract-private"


@pytest.fixture
def blobs() -> FakeBlobs:
    return FakeBlobs(IMAGES, PRIVATE)


@pytest.fixture
def images(blobs: FakeBlobs) -> OutputImages:
    settings = Settings.read({"GEMINI_API_KEY": "key"})
    turns = Turns(blobs, settings)
    stored = StoredImages(
        blobs, "https://account", Pseudonyms(blobs, settings), Renditions(blobs, settings), turns, settings
    )
    conversations = Conversations(turns, InputCopies(blobs, settings))
    return OutputImages(stored, Outbox(blobs, settings), conversations, StorageRetries(Clock(), 0))


def generated(text: str) -> Generated:
    turn = ModelTurn((f'{{"parts":["{text}"]}}'.encode(),), 1, 0)
    return Generated(Image(text.encode(), "image/png", 1, 1), None, "gemini-3-pro-image", Usage(), (), (), turn)


async def test_the_turn_of_an_image_is_named_beside_it(images: OutputImages, blobs: FakeBlobs) -> None:
    record = records.make(ADA)
    stored, turn = await images.store(record, generated("mine"))
    assert stored.mine
    assert turn is not None
    assert blobs.containers[PRIVATE][f"turns/{ADA.folder}/{turn.name}"].data.endswith(b'{"parts":["mine"]}')


async def test_the_turn_of_an_image_that_came_second_is_not_named(images: OutputImages) -> None:
    first, second = (records.make(ADA, lease_owner=owner) for owner in ("first", "second"))
    _, turn = await images.store(first, generated("first"))
    assert turn is not None
    stored, late = await images.store(second, generated("second"))
    assert (stored.mine, late) == (False, None)


async def test_an_image_that_cannot_be_stored_does_not_wait_for_its_turn(
    images: OutputImages, blobs: FakeBlobs
) -> None:
    hanging = blobs.faults.add(Effect.APPLIED, "put", "turns/")
    hanging.before = asyncio.Event().wait
    blobs.faults.add(Effect.REFUSED, "put", "generated-", times=100)
    blobs.faults.add(Effect.REFUSED, "put", "images/", times=100)
    with pytest.raises(StorageUnavailable):
        await images.store(records.make(ADA), generated("lost"))
    assert not any(name.startswith("turns/") for name in blobs.containers[PRIVATE])


async def test_everything_of_a_generation_is_deleted(images: OutputImages, blobs: FakeBlobs) -> None:
    record = records.make(ADA)
    await images.store(record, generated("mine"))
    await images.delete_all(record)
    assert blobs.containers[IMAGES] == {}
    assert not any(name.startswith("turns/") for name in blobs.containers[PRIVATE])
