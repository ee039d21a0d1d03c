"""The contract of blob storage: the same tests for the fake and for Azure Blob Storage's adapter.

A subclass provides the fixtures `blobs`, `container` (the name of one that exists and is empty) and `network`.
"""

from contextlib import AbstractAsyncContextManager, suppress
from typing import Any, Protocol

import pytest

from image_core.errors import BlobMissing, BlobTooLarge, StorageUnavailable
from image_core.storage.blobs import Blobs


class BlobNetwork(Protocol):
    """The network between a caller and the service."""

    def lose_acknowledgement(self) -> None:
        """Apply the next write, and break the connection before its answer."""

    def outage(self) -> AbstractAsyncContextManager[None]:
        """Break every connection."""


async def put(blobs: Blobs, container: str, name: str = "a.png", data: bytes = b"first", **options: Any) -> bool:
    """Write a PNG, by default only if there is none under the name."""
    return await blobs.put(container, name, data, "image/png", **{"overwrite": False, **options})


class Reserved:
    """Records how much memory a read reserves."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    async def __call__(self, size: int) -> None:
        """Record a reservation of `size` bytes."""
        self.sizes.append(size)


class BlobContract:
    """Reads, conditional writes, properties, and the state after faults."""

    async def test_blob_is_read_back_with_its_properties(self, blobs: Blobs, container: str) -> None:
        assert await put(blobs, container, metadata={"user": "x"}, cache_control="no-cache")
        assert await blobs.read(container, "a.png", 100) == b"first"
        blob = await blobs.describe(container, "a.png")
        assert (blob.name, blob.size, blob.content_type) == ("a.png", 5, "image/png")
        assert (dict(blob.metadata), blob.cache_control) == ({"user": "x"}, "no-cache")
        assert blob.etag.startswith('"')
        assert blob.created.tzinfo is not None

    async def test_properties_that_were_not_given_are_empty(self, blobs: Blobs, container: str) -> None:
        await put(blobs, container)
        blob = await blobs.describe(container, "a.png")
        assert (dict(blob.metadata), blob.cache_control) == ({}, None)

    async def test_existing_name_is_not_written_again(self, blobs: Blobs, container: str) -> None:
        assert await put(blobs, container, metadata={"by": "first"})
        assert not await put(blobs, container, data=b"second", metadata={"by": "second"})
        assert await blobs.read(container, "a.png", 100) == b"first"
        assert dict((await blobs.describe(container, "a.png")).metadata) == {"by": "first"}

    async def test_overwrite_replaces_bytes_and_properties(self, blobs: Blobs, container: str) -> None:
        await put(blobs, container, metadata={"by": "first"}, cache_control="no-cache")
        first = await blobs.describe(container, "a.png")
        assert await put(blobs, container, data=b"another", overwrite=True)
        second = await blobs.describe(container, "a.png")
        assert await blobs.read(container, "a.png", 100) == b"another"
        assert (second.size, dict(second.metadata), second.cache_control) == (7, {}, None)
        assert second.etag != first.etag

    async def test_blob_that_does_not_exist_is_missing(self, blobs: Blobs, container: str) -> None:
        await put(blobs, container, "b.png")
        with pytest.raises(BlobMissing):
            await blobs.read(container, "a.png", 100)
        with pytest.raises(BlobMissing):
            await blobs.read(container, "a.png", 100, Reserved())
        with pytest.raises(BlobMissing):
            await blobs.read_range(container, "a.png", 0, 1)
        with pytest.raises(BlobMissing):
            await blobs.describe(container, "a.png")
        with pytest.raises(BlobMissing):
            await blobs.set_headers(container, "a.png", "image/png", "no-cache")

    async def test_read_is_bounded(self, blobs: Blobs, container: str) -> None:
        await put(blobs, container)
        reserved = Reserved()
        assert await blobs.read(container, "a.png", 5) == b"first"
        with pytest.raises(BlobTooLarge):
            await blobs.read(container, "a.png", 4)
        with pytest.raises(BlobTooLarge):
            await blobs.read(container, "a.png", 4, reserved)
        assert reserved.sizes == []

    async def test_memory_is_reserved_for_a_read(self, blobs: Blobs, container: str) -> None:
        await put(blobs, container)
        reserved = Reserved()
        assert await blobs.read(container, "a.png", 100, reserved) == b"first"
        assert reserved.sizes == [5]

    async def test_empty_blob_is_read(self, blobs: Blobs, container: str) -> None:
        await put(blobs, container, data=b"")
        assert await blobs.read(container, "a.png", 100) == b""

    async def test_range_ends_where_the_blob_ends(self, blobs: Blobs, container: str) -> None:
        await put(blobs, container)
        assert await blobs.read_range(container, "a.png", 1, 3) == b"irs"
        assert await blobs.read_range(container, "a.png", 3, 100) == b"st"
        assert await blobs.read_range(container, "a.png", 5, 1) == b""

    async def test_blobs_are_found_by_prefix(self, blobs: Blobs, container: str) -> None:
        for name in ("x/b.png", "x/a.png", "x.png", "y/x/a.png"):
            await put(blobs, container, name, metadata={"name": name[0]})
        found = await blobs.find(container, "x/")
        assert {blob.name: dict(blob.metadata) for blob in found} == {
            "x/a.png": {"name": "x"},
            "x/b.png": {"name": "x"},
        }
        assert list(found) == sorted(found, key=lambda blob: blob.created)
        assert {blob.name for blob in await blobs.find(container, "")} == {"x/b.png", "x/a.png", "x.png", "y/x/a.png"}
        assert await blobs.find(container, "z") == ()

    async def test_exactly_one_name_is_deleted(self, blobs: Blobs, container: str) -> None:
        for name in ("a", "a.png", "a.png/b"):
            await put(blobs, container, name)
        await blobs.delete(container, "a.png")
        await blobs.delete(container, "a.png")
        assert {blob.name for blob in await blobs.find(container, "")} == {"a", "a.png/b"}

    async def test_headers_are_replaced_and_nothing_else(self, blobs: Blobs, container: str) -> None:
        await put(blobs, container, metadata={"user": "x"}, cache_control="max-age=1")
        await blobs.set_headers(container, "a.png", "image/webp", "no-cache")
        blob = await blobs.describe(container, "a.png")
        assert (blob.content_type, blob.cache_control, dict(blob.metadata)) == ("image/webp", "no-cache", {"user": "x"})
        assert await blobs.read(container, "a.png", 100) == b"first"

    async def test_names_may_have_any_character(self, blobs: Blobs, container: str) -> None:
        name = "1767225600000-grüße & co #1 100%.png"
        await put(blobs, container, name)
        assert await blobs.read(container, name, 100) == b"first"
        assert [blob.name for blob in await blobs.find(container, "1767225600000-grü")] == [name]

    async def test_write_whose_acknowledgement_is_lost_is_applied(
        self, blobs: Blobs, container: str, network: BlobNetwork
    ) -> None:
        network.lose_acknowledgement()
        with suppress(StorageUnavailable):  # unless the client repeated it and found its own blob
            assert not await put(blobs, container)
        assert await blobs.read(container, "a.png", 100) == b"first"

    async def test_outage_does_not_mean_that_a_blob_is_missing(
        self, blobs: Blobs, container: str, network: BlobNetwork
    ) -> None:
        await put(blobs, container)
        async with network.outage():
            with pytest.raises(StorageUnavailable):
                await blobs.describe(container, "b.png")
        assert await blobs.read(container, "a.png", 100) == b"first"

    async def test_missing_container_does_not_mean_that_a_blob_is_missing(self, blobs: Blobs) -> None:
        for call in (
            put(blobs, "missing"),
            put(blobs, "missing", overwrite=True),
            blobs.read("missing", "a.png", 100),
            blobs.read_range("missing", "a.png", 0, 1),
            blobs.describe("missing", "a.png"),
            blobs.find("missing", ""),
            blobs.delete("missing", "a.png"),
            blobs.set_headers("missing", "a.png", "image/png", "no-cache"),
        ):
            with pytest.raises(StorageUnavailable):
                await call
