"""The keyed digests of users."""

import asyncio
import logging

import pytest

from image_core.auth.user import User
from image_core.errors import StorageUnavailable
from image_core.storage.naming import PSEUDONYM_KEY
from image_core.storage.pseudonyms import Pseudonyms
from tests.support.fakes.blobs import FakeBlobs
from tests.support.fakes.faults import Effect


def process(blobs: FakeBlobs, letter: bytes) -> Pseudonyms:
    """Return a process whose random bytes are all `letter`."""
    return Pseudonyms(blobs, "private", lambda count: letter * count)


async def test_digest_depends_on_user_and_blob(blobs: FakeBlobs, ada: User, bob: User) -> None:
    pseudonyms = process(blobs, b"k")
    digests = {await pseudonyms.of_owner(user, name) for user in (ada, bob) for name in ("a.png", "b.png")}
    assert len(digests) == 4
    assert all(len(digest) == 32 and ada.folder not in digest for digest in digests)
    assert await pseudonyms.of_owner(ada, "a.png") in digests


async def test_processes_that_start_at_once_share_one_key(blobs: FakeBlobs, ada: User) -> None:
    processes = [process(blobs, bytes([letter])) for letter in b"abcde"]
    digests = await asyncio.gather(*(each.of_owner(ada, "a.png") for each in processes))
    assert len(set(digests)) == 1
    assert (await process(blobs, b"z").of_owner(ada, "a.png")) == digests[0]


async def test_key_is_read_once(blobs: FakeBlobs, ada: User) -> None:
    pseudonyms = process(blobs, b"k")
    await asyncio.gather(*(pseudonyms.of_owner(ada, f"{n}.png") for n in range(5)))
    assert [name for operation, name in blobs.faults.calls if operation == "read"] == [PSEUDONYM_KEY]


async def test_key_of_another_process_that_cannot_be_read_is_an_outage(blobs: FakeBlobs, ada: User) -> None:
    async def create() -> None:
        await blobs.put("private", PSEUDONYM_KEY, b"o" * 32, "text/plain", overwrite=True)

    async def delete() -> None:
        await blobs.delete("private", PSEUDONYM_KEY)

    pseudonyms = process(blobs, b"k")
    blobs.faults.add(Effect.APPLIED, "read")
    blobs.faults.add(Effect.APPLIED, "put").before = create
    blobs.faults.add(Effect.APPLIED, "read").before = delete
    with pytest.raises(StorageUnavailable):
        await pseudonyms.of_owner(ada, "a.png")
    assert len(await pseudonyms.of_owner(ada, "a.png")) == 32


@pytest.mark.parametrize("damaged", [b"", b"short", b"x" * 33])
async def test_damaged_key_is_an_outage_and_is_not_replaced(
    damaged: bytes, blobs: FakeBlobs, ada: User, caplog: pytest.LogCaptureFixture
) -> None:
    await blobs.put("private", PSEUDONYM_KEY, damaged, "text/plain", overwrite=True)
    with pytest.raises(StorageUnavailable):
        await process(blobs, b"k").of_owner(ada, "a.png")
    assert await blobs.read("private", PSEUDONYM_KEY, 100) == damaged
    assert "private/keys/pseudonyms is damaged" in caplog.text


async def test_log_lines_name_no_user_while_the_key_cannot_be_read(
    blobs: FakeBlobs, ada: User, caplog: pytest.LogCaptureFixture
) -> None:
    pseudonyms = process(blobs, b"k")
    blobs.faults.unreachable = True
    with caplog.at_level(logging.WARNING):
        await pseudonyms.prepare_log()
    assert pseudonyms.in_log(ada) is None
    assert "log lines name no user" in caplog.text
    blobs.faults.clear()
    await pseudonyms.prepare_log()
    digest = pseudonyms.in_log(ada)
    assert digest is not None
    assert digest not in {await pseudonyms.of_owner(ada, ""), ada.folder}
