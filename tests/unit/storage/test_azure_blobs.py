"""The adapter's reaction to Blob Storage's responses. Integration tests run it with the emulator."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from image_core.errors import BlobMissing, BlobTooLarge, ContainerMissing, Misconfigured, StorageUnavailable
from image_core.storage.azure_blobs import AzureBlobs
from tests.support.scripted_server import Script, ScriptedServer, scripted

KEY = "c2VjcmV0"
PROPERTIES = {
    "Content-Type": "image/png",
    "Cache-Control": "no-cache",
    "ETag": '"0x1"',
    "Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT",
    "x-ms-creation-time": "Thu, 01 Jan 2026 00:00:00 GMT",
    "x-ms-blob-type": "BlockBlob",
    "x-ms-meta-user": "digest",
}
LISTING = """<?xml version="1.0" encoding="utf-8"?><EnumerationResults ContainerName="images"><Blobs>{}</Blobs>
<NextMarker />
</EnumerationResults>"""
LISTED = """<Blob><Name>{name}</Name><Properties><Creation-Time>{time}</Creation-Time>
<Last-Modified>{time}</Last-Modified>
<Etag>0x1</Etag><Content-Length>3</Content-Length><BlobType>BlockBlob</BlobType></Properties><Metadata /></Blob>"""


def error(status: int, code: str) -> web.Response:
    return web.Response(status=status, headers={"x-ms-error-code": code})


def always(answer: Callable[[], web.Response]) -> Script:
    return lambda _method, _path: answer()


def blob_of(data: bytes) -> Script:
    """Return the script of a service with one blob."""

    def script(method: str, path: str) -> web.Response:
        if method == "HEAD":
            return web.Response(headers={**PROPERTIES, "Content-Length": str(len(data))})
        if method == "GET":
            ranges = {"Content-Range": f"bytes 0-{len(data) - 1}/{len(data)}"}
            return web.Response(status=206, body=data, headers={**PROPERTIES, **ranges})
        if method == "DELETE":
            return web.Response(status=202)
        written = {name: value for name, value in PROPERTIES.items() if name in {"ETag", "Last-Modified"}}
        return web.Response(status=200 if "comp=properties" in path else 201, headers=written)

    return script


@asynccontextmanager
async def opened(script: Script) -> AsyncIterator[tuple[AzureBlobs, ScriptedServer]]:
    async with scripted(script) as server:
        connection = f"BlobEndpoint={server.url}/account;AccountName=account;AccountKey={KEY}"
        blobs = AzureBlobs(connection_string=connection)
        try:
            yield blobs, server
        finally:
            await blobs.close()


def calls(blobs: AzureBlobs) -> dict[str, Callable[[], Awaitable[object]]]:
    return {
        "put": lambda: blobs.put("images", "a.png", b"1", "image/png", overwrite=False),
        "overwrite": lambda: blobs.put("images", "a.png", b"1", "image/png", overwrite=True),
        "read": lambda: blobs.read("images", "a.png", 100),
        "describe": lambda: blobs.describe("images", "a.png"),
        "find": lambda: blobs.find("images", "a"),
        "delete": lambda: blobs.delete("images", "a.png"),
        "headers": lambda: blobs.set_headers("images", "a.png", "image/png", "no-cache"),
    }


CALLS = ("put", "overwrite", "read", "describe", "find", "delete", "headers")


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (404, "ContainerNotFound", ContainerMissing),
        (409, "ContainerBeingDeleted", ContainerMissing),
        (409, "AnUnknownCode", StorageUnavailable),
        (403, "AuthorizationFailure", StorageUnavailable),
    ],
)
async def test_error_that_is_not_about_a_blob_is_an_outage(
    call: str, status: int, code: str, expected: type[Exception]
) -> None:
    async with opened(always(lambda: error(status, code))) as (blobs, _):
        with pytest.raises(expected):
            await calls(blobs)[call]()


@pytest.mark.parametrize("call", ["read", "describe", "headers"])
async def test_missing_blob_is_missing(call: str) -> None:
    async with opened(always(lambda: error(404, "BlobNotFound"))) as (blobs, _):
        with pytest.raises(BlobMissing):
            await calls(blobs)[call]()
        await blobs.delete("images", "a.png")


@pytest.mark.parametrize("code", ["BlobAlreadyExists", "ConditionNotMet"])
async def test_existing_blob_is_no_error_unless_it_is_overwritten(code: str) -> None:
    async with opened(always(lambda: error(409, code))) as (blobs, server):
        assert await calls(blobs)["put"]() is False
        assert server.received[0].headers["if-none-match"] == "*"
        with pytest.raises(StorageUnavailable):
            await calls(blobs)["overwrite"]()
        assert "if-none-match" not in server.received[-1].headers


async def test_blob_is_written_with_its_headers_metadata_and_tags() -> None:
    async with opened(blob_of(b"")) as (blobs, server):
        assert await blobs.put(
            "images",
            "a b.png",
            b"bytes",
            "image/png",
            overwrite=False,
            metadata={"user": "digest"},
            cache_control="no-cache",
            tags={"kind": "upload"},
        )
    (put,) = server.received
    assert (put.method, put.path, put.body) == ("PUT", "/account/images/a%20b.png", b"bytes")
    assert put.headers["x-ms-blob-cache-control"] == "no-cache"
    assert put.headers["x-ms-blob-content-type"] == "image/png"
    assert put.headers["x-ms-meta-user"] == "digest"
    assert put.headers["x-ms-tags"] == "kind=upload"


async def test_tags_that_are_not_allowed_are_left_out(caplog: pytest.LogCaptureFixture) -> None:
    refused = iter([error(403, "AuthorizationPermissionMismatch")])
    stored = blob_of(b"")
    async with opened(lambda method, path: next(refused, None) or stored(method, path)) as (blobs, server):
        assert await blobs.put(
            "images", "a.png", b"1", "image/png", overwrite=True, cache_control="no-cache", tags={"kind": "upload"}
        )
    first, second = server.received
    assert "x-ms-tags" in first.headers
    assert "x-ms-tags" not in second.headers
    assert second.headers["x-ms-blob-cache-control"] == "no-cache"
    assert "Storage Blob Data Owner is missing" in caplog.text


async def test_blob_is_read_and_described() -> None:
    async with opened(blob_of(b"bytes")) as (blobs, server):
        assert await blobs.read("images", "a.png", 5) == b"bytes"
        assert server.received[0].headers["x-ms-range"] == "bytes=0-5"
        with pytest.raises(BlobTooLarge):
            await blobs.read("images", "a.png", 4)
        blob = await blobs.describe("images", "a.png")
        assert (blob.name, blob.size, blob.content_type, blob.cache_control) == ("a.png", 5, "image/png", "no-cache")
        assert dict(blob.metadata) == {"user": "digest"}
        await blobs.set_headers("images", "a.png", "image/webp", "no-cache")
        assert server.received[-1].headers["x-ms-blob-content-type"] == "image/webp"
        await blobs.delete("images", "a.png")
        assert server.received[-1].method == "DELETE"


async def test_memory_is_reserved_before_a_blob_is_read() -> None:
    reserved: list[int] = []

    async def reserve(size: int) -> None:
        reserved.append(size)

    async with opened(blob_of(b"bytes")) as (blobs, _):
        assert await blobs.read("images", "a.png", 5, reserve) == b"bytes"
        with pytest.raises(BlobTooLarge):
            await blobs.read("images", "a.png", 4, reserve)
    assert reserved == [5]


async def test_empty_blob_is_read_as_empty() -> None:
    async with opened(always(lambda: error(416, "InvalidRange"))) as (blobs, _):
        assert await blobs.read_range("images", "a.png", 0, 10) == b""


async def test_found_blobs_are_oldest_first() -> None:
    days = {"b.png": "Fri, 02 Jan 2026 00:00:00 GMT", "a.png": "Thu, 01 Jan 2026 00:00:00 GMT"}
    listing = LISTING.format("".join(LISTED.format(name=name, time=time) for name, time in days.items()))
    answer = always(lambda: web.Response(text=listing, content_type="application/xml"))
    async with opened(answer) as (blobs, server):
        found = await blobs.find("images", "a/")
    assert [blob.name for blob in found] == ["a.png", "b.png"]
    assert found[0].content_type == "application/octet-stream"
    assert "prefix=a" in server.received[0].path


async def test_probe_reports_missing_containers() -> None:
    def script(_method: str, path: str) -> web.Response:
        if "/absent" in path:
            return error(404, "ContainerNotFound")
        return web.Response(headers={"ETag": '"1"', "Last-Modified": PROPERTIES["Last-Modified"]})

    async with opened(script) as (blobs, server):
        assert await blobs.probe("images", "absent") == {"images": "ok", "absent": "missing"}
        assert blobs.account_url == f"{server.url}/account"


async def test_log_of_an_outage_has_no_secret(caplog: pytest.LogCaptureFixture) -> None:
    async with opened(always(lambda: error(403, "AuthenticationFailed"))) as (blobs, _):
        with caplog.at_level(logging.DEBUG, logger="image_core"), pytest.raises(StorageUnavailable):
            await blobs.describe("images", "a.png")
    assert "403 AuthenticationFailed" in caplog.text
    assert KEY not in caplog.text


def test_missing_or_invalid_setting_is_misconfigured() -> None:
    with pytest.raises(Misconfigured):
        AzureBlobs()
    with pytest.raises(Misconfigured):
        AzureBlobs(connection_string="nonsense")


async def test_without_a_connection_string_the_identity_of_the_app_is_used() -> None:
    blobs = AzureBlobs(account_url="https://account.blob.core.windows.net/")
    assert blobs.account_url == "https://account.blob.core.windows.net"
    await blobs.close()
