"""Renditions: each is used only for the version of the image from which it was made."""

from image_core.auth.user import User
from image_core.images.image import Image, Target
from image_core.storage.renditions import Renditions
from tests.support.fakes.blobs import FakeBlobs
from tests.support.fakes.faults import Effect

NAME = "1767225600000-abc-cat.png"
TARGET = Target(320, "webp")
SMALL = Image(b"small", "image/webp", 320, 200)


async def test_rendition_is_found_for_its_version_only(renditions: Renditions, ada: User) -> None:
    path = renditions.path(ada, NAME, TARGET)
    assert await renditions.find(path, "v1") is None
    stored = await renditions.put(path, "v1", TARGET, SMALL)
    assert (stored.content_type, stored.size) == ("image/webp", 5)
    assert await renditions.find(path, "v1") == stored
    assert await renditions.find(path, "v2") is None


async def test_rendition_of_an_earlier_version_is_replaced_and_one_of_the_same_is_kept(
    renditions: Renditions, blobs: FakeBlobs, ada: User
) -> None:
    path = renditions.path(ada, NAME, TARGET)
    first = await renditions.put(path, "v1", TARGET, SMALL)
    assert await renditions.put(path, "v1", TARGET, Image(b"other", "image/webp", 320, 200)) == first
    second = await renditions.put(path, "v2", TARGET, Image(b"newer", "image/webp", 320, 200))
    assert second.etag != first.etag
    assert await blobs.read("private", path, 100) == b"newer"


async def test_rendition_whose_acknowledgement_is_lost_is_kept(
    renditions: Renditions, blobs: FakeBlobs, ada: User
) -> None:
    path = renditions.path(ada, NAME, TARGET)
    blobs.faults.add(Effect.REPEATED, "put")
    stored = await renditions.put(path, "v1", TARGET, SMALL)
    assert await renditions.find(path, "v1") == stored


async def test_only_the_renditions_of_the_image_are_deleted(
    renditions: Renditions, blobs: FakeBlobs, ada: User, bob: User
) -> None:
    for user, name in ((ada, f"{NAME}.png"), (bob, NAME)):
        await renditions.put(renditions.path(user, name, TARGET), "v1", TARGET, SMALL)
    kept = blobs.names("private")
    for target in (TARGET, Target(None, "png")):
        await renditions.put(renditions.path(ada, NAME, target), "v1", target, SMALL)
    await renditions.delete_of_image(ada, NAME)
    assert blobs.names("private") == kept
    await renditions.delete(renditions.path(bob, NAME, TARGET))
    assert len(blobs.names("private")) == len(kept) - 1


async def test_renditions_of_a_user_id_with_capitals_are_deleted(
    renditions: Renditions, blobs: FakeBlobs, ada: User
) -> None:
    await renditions.put(renditions.path(ada, NAME, TARGET), "v1", TARGET, SMALL)
    await renditions.delete_of_image(User("Ada@Example.com"), NAME)
    assert blobs.names("private") == []
