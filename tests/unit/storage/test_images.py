"""Stored images: no write replaces another one, and a deletion removes exactly what belongs to an image."""

import pytest

from image_core.auth.user import User
from image_core.errors import BlobMissing, StorageUnavailable
from image_core.images.image import Image, Target
from image_core.storage.images import StoredImages, unkeyed_digest
from image_core.storage.naming import Locations
from image_core.storage.pseudonyms import Pseudonyms
from image_core.storage.renditions import Renditions
from image_core.storage.turns import Turns
from tests.support.fakes.blobs import FakeBlobs
from tests.support.fakes.clock import FakeClock
from tests.support.fakes.faults import Effect

STEM = f"generated-1767225600000-{'a' * 32}"
LONGER = f"{STEM}.b"
"""A stem that begins with STEM and a dot."""
PNG, WEBP = Image(b"png", "image/png", 1, 1), Image(b"webp", "image/webp", 1, 1)


async def test_image_is_revalidated_by_browsers_and_names_its_user_by_a_digest(
    images: StoredImages, blobs: FakeBlobs, locations: Locations, pseudonyms: Pseudonyms, ada: User
) -> None:
    stored = await images.put(ada, STEM, PNG, "lease")
    blob = await blobs.describe("images", locations.path(ada, stored.name))
    assert blob.cache_control == "no-cache"
    assert blob.content_type == "image/png"
    assert dict(blob.metadata) == {"user": await pseudonyms.of_owner(ada, stored.name), "owner": "lease"}
    assert (stored.name, stored.url, stored.mine) == (f"{STEM}.png", locations.url(f"{STEM}.png"), True)


async def test_upload_is_revalidated_by_browsers_and_has_the_tag_of_uploads(
    images: StoredImages, blobs: FakeBlobs, locations: Locations, ada: User
) -> None:
    name = "1767225600000-abc-cat.png"
    assert await images.put_upload(ada, name, PNG) == locations.url(name)
    stored = blobs.containers["images"][locations.path(ada, name)]
    assert stored.blob.cache_control == "no-cache"
    assert dict(stored.tags) == {"kind": "upload"}


async def test_first_of_two_writers_wins(images: StoredImages, ada: User) -> None:
    await images.put(ada, STEM, Image(b"first", "image/png", 1, 1), "one")
    assert not (await images.put(ada, STEM, Image(b"second", "image/png", 1, 1), "two")).mine
    assert await images.read(ada, f"{STEM}.png", 100) == b"first"


@pytest.mark.parametrize("effect", [Effect.LOST, Effect.REPEATED], ids=str)
async def test_write_whose_acknowledgement_is_lost_is_recognised(
    effect: Effect, images: StoredImages, blobs: FakeBlobs, ada: User
) -> None:
    await images.put(ada, LONGER, PNG, "lease")  # reads the key of the digests
    blobs.faults.add(effect, "put")
    try:
        stored = await images.put(ada, STEM, PNG, "lease")
    except StorageUnavailable:
        stored = await images.put(ada, STEM, PNG, "lease")
    assert stored.mine


async def test_oldest_of_two_images_of_a_generation_is_kept(
    images: StoredImages, images_earlier: StoredImages, clock: FakeClock, ada: User, bob: User
) -> None:
    await images_earlier.put(ada, STEM, PNG, "one")
    await clock.advance(1)
    await images.put(ada, STEM, WEBP, "two")
    await images.put(ada, LONGER, PNG, "three")
    assert await images.find(ada, STEM) == f"{STEM}.png"
    with pytest.raises(BlobMissing):
        await images.read(ada, f"{STEM}.webp", 100)
    assert await images.read(ada, f"{STEM}.png", 100) == b"png"
    assert await images.find(ada, LONGER) == f"{LONGER}.png"
    assert await images.find(ada, "generated-none") is None


async def test_image_is_read_from_its_location_before_the_access_changed(
    images: StoredImages, images_earlier: StoredImages, ada: User
) -> None:
    stored = await images_earlier.put(ada, STEM, PNG, "lease")
    assert await images.read(ada, stored.name, 100) == b"png"


async def test_deletion_removes_exactly_the_images_of_a_stem_with_renditions_and_turns(
    images: StoredImages,
    images_earlier: StoredImages,
    renditions: Renditions,
    turns: Turns,
    blobs: FakeBlobs,
    ada: User,
    bob: User,
) -> None:
    for user, stem in ((ada, LONGER), (bob, f"{STEM}x")):
        stored = await images.put(user, stem, PNG, "lease")
        target = Target(320, "webp")
        await renditions.put(renditions.path(user, stored.name, target), "v1", target, WEBP)
        await turns.put(user, stem, "token", b"{}")
    await blobs.put("images", f"{STEM}.png.txt", b"foreign", "text/plain", overwrite=True)
    await blobs.put("images", f"{STEM}.x/{STEM}.png", b"foreign", "image/png", overwrite=True)
    await blobs.put("private", f"renditions/{ada.folder}/{STEM}.png/readme.txt", b"x", "text/plain", overwrite=True)
    kept = {container: blobs.names(container) for container in ("images", "private")}
    for access, image in ((images, PNG), (images, WEBP), (images_earlier, PNG)):
        await access.put(ada, STEM, image, "lease")
    for target in (Target(320, "webp"), Target(None, "jpeg")):
        await renditions.put(renditions.path(ada, f"{STEM}.png", target), "v1", target, WEBP)
    await turns.put(ada, STEM, "one", b"{}")
    await turns.put(ada, STEM, "two", b"{}")
    await images.delete_all(ada, STEM)
    assert {container: blobs.names(container) for container in ("images", "private")} == kept


async def test_image_is_deleted_by_its_exact_name(
    images: StoredImages, images_earlier: StoredImages, blobs: FakeBlobs, ada: User, bob: User
) -> None:
    await images.put(bob, "generated-1", PNG, "lease")
    kept = blobs.names("images")
    await images.put(ada, STEM, PNG, "lease")
    await images_earlier.put(ada, STEM, PNG, "lease")
    await images.delete(ada, f"{STEM}.png")
    assert blobs.names("images") == kept


async def test_blob_belongs_to_the_user_whose_digest_it_has(
    images: StoredImages, blobs: FakeBlobs, pseudonyms: Pseudonyms, ada: User, bob: User
) -> None:
    async def belongs(metadata: dict[str, str]) -> tuple[bool | None, bool | None]:
        await blobs.put("images", "a.png", b"x", "image/png", overwrite=True, metadata=metadata)
        blob = await blobs.describe("images", "a.png")
        return await images.belongs_to(ada, "a.png", blob), await images.belongs_to(bob, "a.png", blob)

    assert await belongs({"user": await pseudonyms.of_owner(ada, "a.png")}) == (True, False)
    assert await belongs({"proof": unkeyed_digest(ada, "a.png")}) == (True, False)
    assert await belongs({"user": "", "proof": unkeyed_digest(ada, "a.png")}) == (False, False)
    assert await belongs({}) == (None, None)


async def test_image_of_the_original_product_is_deleted_unless_it_is_another_users(
    images: StoredImages, blobs: FakeBlobs, pseudonyms: Pseudonyms, renditions: Renditions, ada: User, bob: User
) -> None:
    target = Target(320, "webp")
    for name, metadata in (
        ("generated-1.png", {}),
        ("generated-2.png", {"user": await pseudonyms.of_owner(bob, "generated-2.png")}),
    ):
        await blobs.put("images", name, b"x", "image/png", overwrite=True, metadata=metadata)
    await renditions.put(renditions.path(ada, "generated-1.png", target), "v1", target, WEBP)
    for name in ("generated-1.png", "generated-2.png", "generated-3.png"):
        await images.delete_original(ada, f"https://old.example/images/{name}")
    await images.delete_original(ada, "https://old.example/elsewhere/generated-2.png")
    assert blobs.names("images") == ["generated-2.png"]
    assert blobs.names("private") == ["keys/pseudonyms"]
