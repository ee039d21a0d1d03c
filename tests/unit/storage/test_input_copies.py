"""Private copies of inputs, originals and turns."""

import pytest

from image_core.auth.user import User
from image_core.errors import BlobMissing, Internal
from image_core.images.image import Image
from image_core.storage.input_copies import InputCopies, InputCopy
from image_core.storage.turns import Turns
from tests.support.fakes.blobs import FakeBlobs

PNG, WEBP = Image(b"png", "image/png", 2, 3), Image(b"webp", "image/webp", 4, 5)


@pytest.fixture
def copies(blobs: FakeBlobs) -> InputCopies:
    return InputCopies(blobs, "private")


async def test_copies_are_read_back_in_order_and_stored_once(
    copies: InputCopies, blobs: FakeBlobs, ada: User, bob: User
) -> None:
    stored = await copies.put_all(ada, (WEBP, PNG, WEBP))
    assert [(copy.mime_type, copy.width, copy.height, copy.size) for copy in stored[:2]] == [
        ("image/webp", 4, 5, 4),
        ("image/png", 2, 3, 3),
    ]
    assert stored[0].name == f"input-{WEBP.sha256()}.webp"
    assert await copies.read_all(ada, stored) == (WEBP, PNG, WEBP)
    assert len(blobs.names("private")) == 2
    assert [name for operation, name in blobs.faults.calls if operation == "read"] == [
        f"inputs/{ada.folder}/{WEBP.sha256()}.webp",
        f"inputs/{ada.folder}/{PNG.sha256()}.png",
    ]
    with pytest.raises(Internal):
        await copies.read_all(bob, stored)


async def test_copy_is_written_at_each_use_so_that_it_expires_after_the_last_one(
    copies: InputCopies, blobs: FakeBlobs, ada: User
) -> None:
    await copies.put_all(ada, (PNG,))
    (first,) = await blobs.find("private", "inputs/")
    await copies.put_all(ada, (PNG,))
    (second,) = await blobs.find("private", "inputs/")
    assert first.etag != second.etag


async def test_expired_copy_is_an_error_with_advice(copies: InputCopies, blobs: FakeBlobs, ada: User) -> None:
    stored = await copies.put_all(ada, (PNG,))
    await blobs.delete("private", f"inputs/{ada.folder}/{PNG.sha256()}.png")
    with pytest.raises(Internal, match="send the request again"):
        await copies.read_all(ada, stored)


async def test_name_that_is_not_a_copys_is_not_read(copies: InputCopies, blobs: FakeBlobs, ada: User) -> None:
    await blobs.put("private", "keys/pseudonyms", b"key", "image/png", overwrite=True)
    for name in ("input-../../keys/pseudonyms", "keys/pseudonyms", ""):
        with pytest.raises(Internal):
            await copies.read_all(ada, (InputCopy(name, "image/png", 1, 1, 3),))
        with pytest.raises(Internal):
            await copies.read_original(ada, name, 3)
    assert not [name for operation, name in blobs.faults.calls if operation == "read"]


async def test_original_is_kept_byte_for_byte(copies: InputCopies, ada: User, bob: User) -> None:
    name = await copies.put_original(ada, b"a TIFF")
    assert await copies.read_original(ada, name, 6) == b"a TIFF"
    with pytest.raises(Internal):
        await copies.read_original(bob, name, 6)
    empty = await copies.put_original(ada, b"")
    assert await copies.read_original(ada, empty, 0) == b""


async def test_turns_are_read_by_name_and_deleted_by_stem(turns: Turns, blobs: FakeBlobs, ada: User, bob: User) -> None:
    name = await turns.put(ada, "generated-1", "token", b"{}")
    other = await turns.put(ada, "generated-12", "token", b"[]")
    assert name == "generated-1.token"
    assert await turns.read(ada, name, 2) == b"{}"
    for user, missing in ((bob, name), (ada, "generated-1"), (ada, "../x.token")):
        with pytest.raises(BlobMissing):
            await turns.read(user, missing, 2)
    await turns.delete_all(ada, "generated-1")
    assert blobs.names("private") == [f"turns/{ada.folder}/{other}"]
