"""Public metadata and logs name users by keyed digests. The key is created once and never replaced."""

import asyncio
import hashlib
import json
import logging

import pytest
from azure.storage.blob.aio import BlobServiceClient

from image_core.auth.user import User
from image_core.errors import StorageUnavailable
from image_core.storage.azure_blobs import AzureBlobs
from image_core.storage.naming import PSEUDONYM_KEY
from image_core.storage.pseudonyms import Pseudonyms
from local import nextauth
from tests.support.change_feed import feed
from tests.support.faulty_proxy import Rule
from tests.support.harness import Harness, sample_image
from tests.support.uploads import form

PRIVATE = "catafract-private"


def unkeyed(email: str, name: str) -> set[str]:
    """Return the digests of an address that anybody can compute."""
    texts = (email, f"{email}\0{name}", f"{email}:{name}", name + email)
    kinds = ("md5", "sha1", "sha256", "sha512")
    return {hashlib.new(kind, text.encode()).hexdigest()[:32] for kind in kinds for text in texts}


async def metadata(product: Harness, name: str) -> dict[str, str]:
    async with BlobServiceClient.from_connection_string(product.environment["DIRECT_STORAGE"]) as client:
        return dict((await client.get_blob_client("catafract", name).get_blob_properties()).metadata)


async def set_metadata(product: Harness, name: str, values: dict[str, str]) -> None:
    async with BlobServiceClient.from_connection_string(product.environment["DIRECT_STORAGE"]) as client:
        await client.get_blob_client("catafract", name).set_blob_metadata(values)


async def stored(product: Harness) -> list[str]:
    """Return the names of one generated image and one upload."""
    made = await product.generate()
    uploaded = await product.call("POST", "/api/upload", *form(sample_image()))
    return [made.json["imageUrl"].rsplit("/", 1)[-1], uploaded.json["url"].rsplit("/", 1)[-1]]


async def test_metadata_of_public_blobs_neither_names_nor_links_a_user(product: Harness) -> None:
    digests = []
    for name in await stored(product):
        values = await metadata(product, name)
        assert not unkeyed(product.email, name) & {value[:32] for value in values.values()}
        assert product.email not in json.dumps(values)
        digests.append(values["user"])
    assert len(set(digests)) == 2


async def test_owners_find_their_images_after_the_session_secret_changed(product: Harness) -> None:
    names = await stored(product)
    async with product.another(NEXTAUTH_SECRET="a new secret") as rotated:
        cookies = nextauth.session_cookies(
            "a new secret", {**nextauth.DEFAULT_USER, "email": product.email}, rotated.app.clock.now()
        )
        headers = {"Cookie": nextauth.cookie_header(cookies)}
        for name in names:
            assert (await rotated.call("GET", f"/api/images/{name}", headers=headers)).status == 200


async def test_images_with_another_users_digest_are_404(product: Harness) -> None:
    names = await stored(product)
    async with product.another("eve@example.com") as eve:
        for name in names:
            assert (await eve.call("GET", f"/api/images/{name}")).status == 404
    for name in names:
        for wrong in ({"user": ""}, {"user": "0" * 32}, {"proof": ""}):
            await set_metadata(product, name, wrong)
            assert (await product.call("GET", f"/api/images/{name}")).status == 404


async def test_blobs_with_an_old_unkeyed_digest_are_readable_by_their_owner(product: Harness) -> None:
    for name in await stored(product):
        digest = hashlib.sha256(f"{product.email}\0{name}".encode()).hexdigest()[:32]
        await set_metadata(product, name, {"proof": digest, "owner": "x"})
        assert (await product.call("GET", f"/api/images/{name}")).status == 200
        async with product.another("eve@example.com") as eve:
            assert (await eve.call("GET", f"/api/images/{name}")).status == 404


async def test_log_lines_name_users_by_a_digest_with_a_key(product: Harness, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    made = await product.generate()
    await product.generate()
    async with feed(product) as changes:
        await changes.deliver()
    lines = [json.loads(line[11:]) for line in caplog.messages if line.startswith("generation {")]
    assert len(lines) == 2
    assert len({line["user"] for line in lines}) == 1
    assert lines[0]["user"] not in (await metadata(product, made.json["imageUrl"].rsplit("/", 1)[-1])).values()
    for digest in unkeyed(product.email, "") | {product.email}:
        assert digest not in caplog.text
    assert User(product.email).folder not in caplog.text


async def test_log_lines_are_written_while_the_key_cannot_be_read(
    product: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    await product.generate()
    async with product.another() as another, feed(another) as changes:
        product.blobs.rule(Rule(lambda _, path: PSEUDONYM_KEY in path, times=100, forward=False))
        await changes.deliver()
    (line,) = [json.loads(line[11:]) for line in caplog.messages if line.startswith("generation {")]
    assert line["user"] is None


async def test_processes_that_start_together_agree_on_one_key(product: Harness) -> None:
    async with BlobServiceClient.from_connection_string(product.environment["DIRECT_STORAGE"]) as client:
        await client.get_blob_client(PRIVATE, PSEUDONYM_KEY).upload_blob(b"x" * 32, overwrite=True)
        await client.get_blob_client(PRIVATE, PSEUDONYM_KEY).delete_blob()
    processes = [
        (
            blobs := AzureBlobs(connection_string=product.environment["AZURE_STORAGE_CONNECTION_STRING"]),
            Pseudonyms(blobs, PRIVATE),
        )
        for _ in range(5)
    ]
    ada = User("ada@example.com")
    found = await asyncio.gather(*(pseudonyms.of_owner(ada, "x.png") for _, pseudonyms in processes))
    assert len(set(found)) == 1
    for blobs, _ in processes:
        await blobs.close()


async def test_damaged_key_is_an_outage_and_is_not_replaced(product: Harness) -> None:
    blobs = AzureBlobs(connection_string=product.environment["AZURE_STORAGE_CONNECTION_STRING"])
    async with BlobServiceClient.from_connection_string(product.environment["DIRECT_STORAGE"]) as client:
        key = client.get_blob_client(PRIVATE, PSEUDONYM_KEY)
        for damaged in (b"", b"short", b"x" * 33):
            await key.upload_blob(damaged, overwrite=True)
            with pytest.raises(StorageUnavailable):
                await Pseudonyms(blobs, PRIVATE).of_owner(User("ada@example.com"), "x.png")
            assert await (await key.download_blob()).readall() == damaged
        await key.delete_blob()
    await blobs.close()


def test_repr_of_a_user_has_neither_address_nor_digest() -> None:
    ada = User("ada@example.com")
    assert ada.folder not in repr(ada)
    assert "ada" not in repr(ada)
