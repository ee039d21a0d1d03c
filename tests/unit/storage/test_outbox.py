"""The outbox: entries of completed records, and images."""

import pytest

from image_core.errors import StorageUnavailable
from image_core.images.image import Image
from image_core.storage.outbox import Outbox
from tests.support.fakes.blobs import FakeBlobs
from tests.support.fakes.clock import FakeClock
from tests.support.fakes.faults import Effect

STEM = f"generated-1767225600000-{'a' * 32}"
PNG, WEBP = Image(b"png", "image/png", 1, 1), Image(b"webp", "image/webp", 1, 1)


@pytest.fixture
def outbox(blobs: FakeBlobs) -> Outbox:
    return Outbox(blobs, "private")


async def test_entry_is_read_back_and_replaced_and_deleted(outbox: Outbox) -> None:
    assert await outbox.read("gen-1") is None
    await outbox.put({"id": "gen-1", "prompt": "grün", "status": "running"})
    await outbox.put({"id": "gen-1", "prompt": "grün", "status": "failed"})
    assert await outbox.read("gen-1") == {"id": "gen-1", "prompt": "grün", "status": "failed"}
    await outbox.delete("gen-1")
    await outbox.delete("gen-1")
    assert await outbox.read("gen-1") is None


async def test_ids_are_oldest_first_and_of_entries_only(outbox: Outbox, blobs: FakeBlobs, clock: FakeClock) -> None:
    for record_id in ("gen-2", "gen-1", "gen-key-3"):
        await outbox.put({"id": record_id})
        await clock.advance(1)
    await outbox.put_image(STEM, PNG, "lease")
    await blobs.put("private", "finished/readme.txt", b"", "text/plain", overwrite=True)
    assert await outbox.ids() == ("gen-2", "gen-1", "gen-key-3")


async def test_first_image_of_a_generation_wins(outbox: Outbox, clock: FakeClock) -> None:
    assert await outbox.put_image(STEM, PNG, "one")
    await clock.advance(1)
    assert not await outbox.put_image(STEM, Image(b"other", "image/png", 1, 1), "two")
    assert not await outbox.put_image(STEM, WEBP, "two")
    assert await outbox.image(STEM, 100) == (f"{STEM}.png", b"png")


@pytest.mark.parametrize("effect", [Effect.LOST, Effect.REPEATED], ids=str)
async def test_image_whose_acknowledgement_is_lost_is_recognised(
    effect: Effect, outbox: Outbox, blobs: FakeBlobs
) -> None:
    blobs.faults.add(effect, "put")
    try:
        mine = await outbox.put_image(STEM, PNG, "lease")
    except StorageUnavailable:
        mine = await outbox.put_image(STEM, PNG, "lease")
    assert mine


async def test_only_images_of_the_stem_are_deleted(outbox: Outbox, blobs: FakeBlobs) -> None:
    await outbox.put_image(f"{STEM}.b", PNG, "lease")
    await blobs.put("private", f"images/{STEM}.txt", b"", "text/plain", overwrite=True)
    kept = blobs.names("private")
    await outbox.put_image(STEM, PNG, "lease")
    await outbox.put_image(STEM, WEBP, "lease")
    await outbox.delete_images(STEM)
    assert blobs.names("private") == kept
    assert await outbox.image(STEM, 100) is None


async def test_image_that_is_deleted_while_it_is_read_is_none(outbox: Outbox, blobs: FakeBlobs) -> None:
    await outbox.put_image(STEM, PNG, "lease")

    async def delete() -> None:
        await outbox.delete_images(STEM)

    blobs.faults.add(Effect.APPLIED, "read").before = delete
    assert await outbox.image(STEM, 100) is None
