"""The adapter's reaction to Cosmos DB's responses. Integration tests run it with the emulator."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from aiohttp import web

from image_core.clock import Clock
from image_core.errors import ContainerMissing, Misconfigured, StorageUnavailable
from image_core.storage.cosmos import Cosmos
from image_core.storage.cosmos_documents import CosmosGenerations
from image_core.storage.documents import Create, DocumentChanged, DocumentExists, Replace, WriteConflict
from tests.support.scripted_server import Script, ScriptedServer, scripted

KEY = "c2VjcmV0"
NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
STORED = {"id": "gen-1", "userId": "ada", "text": "a boat", "_etag": '"1"'}
DOCUMENT = {"id": "gen-1", "userId": "ada", "text": "a boat"}
ACCOUNT = {
    "id": "account",
    "_self": "",
    "writableLocations": [],
    "readableLocations": [],
    "enableMultipleWriteLocations": False,
    "userConsistencyPolicy": {"defaultConsistencyLevel": "Session"},
}
CONTAINER = {
    "id": "generations",
    "_rid": "x1",
    "_self": "dbs/x/colls/y/",
    "partitionKey": {"paths": ["/userId"], "kind": "Hash"},
}
RANGES = {
    "_rid": "x1",
    "PartitionKeyRanges": [{"id": "0", "minInclusive": "", "maxExclusive": "FF", "_rid": "r", "parents": []}],
}


def answer(body: object, status: int = 200, sub_status: int = 0, now: datetime = NOW) -> web.Response:
    headers = {"x-ms-substatus": str(sub_status), "Date": format_datetime(now, usegmt=True)}
    return web.json_response(body, status=status, headers=headers)


def database(
    documents: Callable[[str, str], web.Response], container: Callable[[], web.Response] | None = None
) -> Script:
    """Return the script of a database with one container. `documents` answers the requests for its documents."""

    def script(method: str, path: str) -> web.Response:
        if "/docs" in path:
            return documents(method, path)
        if "/pkranges" in path:
            return answer(RANGES)
        if "/colls/" in path:
            return answer(CONTAINER) if container is None else container()
        return answer(ACCOUNT)

    return script


@asynccontextmanager
async def opened(script: Script) -> AsyncIterator[tuple[CosmosGenerations, Cosmos, ScriptedServer]]:
    async with scripted(script) as server:
        cosmos = Cosmos(
            "catafract", Clock(now=lambda: NOW), connection_string=f"AccountEndpoint={server.url}/;AccountKey={KEY}"
        )
        try:
            yield CosmosGenerations(cosmos, "generations"), cosmos, server
        finally:
            await cosmos.close()


def calls(documents: CosmosGenerations) -> dict[str, Callable[[], Awaitable[object]]]:
    return {
        "create": lambda: documents.create(DOCUMENT),
        "read": lambda: documents.read("ada", "gen-1"),
        "replace": lambda: documents.replace(DOCUMENT, '"1"'),
        "delete": lambda: documents.delete("ada", "gen-1"),
        "batch": lambda: documents.write_batch("ada", [Create(DOCUMENT)]),
        "query": lambda: documents.names_image("ada", "/a.png"),
    }


CALLS = ("create", "read", "replace", "delete", "batch", "query")


async def test_documents_are_written_and_read() -> None:
    async with opened(database(lambda _method, _path: answer(STORED))) as (documents, _, server):
        assert await documents.create(DOCUMENT) == '"1"'
        assert await documents.read("ada", "gen-1") == STORED
        assert await documents.replace(DOCUMENT, '"0"') == '"1"'
        await documents.delete("ada", "gen-1")
    of_documents = [each for each in server.received if "/docs" in each.path]
    assert [each.method for each in of_documents] == ["POST", "GET", "PUT", "DELETE"]
    assert all(each.path.startswith("/dbs/catafract/colls/generations/docs") for each in of_documents)
    assert of_documents[2].headers["if-match"] == '"0"'
    assert json.loads(of_documents[0].body) == DOCUMENT


@pytest.mark.parametrize(
    ("call", "status", "expected"),
    [
        ("create", 409, DocumentExists),
        ("replace", 412, DocumentChanged),
        ("replace", 404, DocumentChanged),
    ],
)
async def test_conflict_is_an_error_about_the_document(call: str, status: int, expected: type[Exception]) -> None:
    async with opened(database(lambda _method, _path: answer({}, status))) as (documents, _, _):
        with pytest.raises(expected):
            await calls(documents)[call]()


async def test_missing_document_is_none_and_its_deletion_no_error() -> None:
    async with opened(database(lambda _method, _path: answer({}, 404))) as (documents, _, _):
        assert await documents.read("ada", "gen-1") is None
        await documents.delete("ada", "gen-1")


@pytest.mark.parametrize("call", CALLS)
async def test_removed_container_is_an_outage(call: str) -> None:
    async with opened(database(lambda _method, _path: answer({}, 404, 1003))) as (documents, _, _):
        with pytest.raises(ContainerMissing):
            await calls(documents)[call]()


@pytest.mark.parametrize("call", CALLS)
async def test_container_that_does_not_exist_is_an_outage(call: str) -> None:
    script = database(lambda _method, _path: answer(STORED), lambda: answer({}, 404))
    async with opened(script) as (documents, cosmos, _):
        with pytest.raises(ContainerMissing):
            await calls(documents)[call]()
        assert await cosmos.probe("generations") == {"catafract/generations": "missing"}


@pytest.mark.parametrize("call", CALLS)
async def test_refused_key_is_an_outage(call: str) -> None:
    async with opened(database(lambda _method, _path: answer({}, 401))) as (documents, _, _):
        with pytest.raises(StorageUnavailable):
            await calls(documents)[call]()


async def test_next_call_connects_again_after_the_account_refused() -> None:
    refused = True

    def script(method: str, path: str) -> web.Response:
        if path == "/" and refused:
            return answer({}, 401)
        return database(lambda _method, _path: answer(STORED))(method, path)

    async with opened(script) as (documents, _, _):
        with pytest.raises(StorageUnavailable):
            await documents.read("ada", "gen-1")
        refused = False
        assert await documents.read("ada", "gen-1") == STORED


@pytest.mark.parametrize("status", [409, 412, 404])
async def test_batch_with_a_conflict_is_a_write_conflict(status: int) -> None:
    results = [{"statusCode": 424}, {"statusCode": status}]
    async with opened(database(lambda _method, _path: answer(results, 207))) as (documents, _, _):
        with pytest.raises(WriteConflict):
            await documents.write_batch("ada", [Create({**DOCUMENT, "id": "gen-2"}), Replace(DOCUMENT, '"1"')])


async def test_batch_that_is_too_large_is_an_outage() -> None:
    async with opened(database(lambda _method, _path: answer([{"statusCode": 413}], 207))) as (documents, _, _):
        with pytest.raises(StorageUnavailable):
            await documents.write_batch("ada", [Create(DOCUMENT)])


async def test_batch_is_sent_as_one_request() -> None:
    results = [{"statusCode": 201, "resourceBody": STORED}, {"statusCode": 200, "resourceBody": STORED}]
    async with opened(database(lambda _method, _path: answer(results))) as (documents, _, server):
        await documents.write_batch("ada", [Create({**DOCUMENT, "id": "gen-2"}), Replace(DOCUMENT, '"1"')])
    (sent,) = [json.loads(each.body) for each in server.received if "/docs" in each.path]
    assert [(each["operationType"], each.get("ifMatch")) for each in sent] == [("Create", None), ("Replace", '"1"')]


async def test_pages_of_a_query_are_read_one_after_the_other() -> None:
    pages = [[{"id": "gen-3"}, {"id": "gen-2"}], [{"id": "gen-1"}]]
    sent = iter(range(len(pages)))

    def documents_of(_method: str, _path: str) -> web.Response:
        number = next(sent)
        found = answer({"_rid": "x1", "Documents": pages[number], "_count": len(pages[number])})
        if number + 1 < len(pages):
            found.headers["x-ms-continuation"] = "more"
        return found

    async with opened(database(documents_of)) as (documents, _, server):
        found = documents.history("ada", ("id", "createdAt"), "2026", 2)
        assert [dict(each) async for each in found] == [*pages[0], *pages[1]]
    first, second = [each for each in server.received if "/docs" in each.path]
    query: dict[str, Any] = json.loads(first.body)
    assert query["query"].startswith("SELECT c.id,c.createdAt FROM c WHERE c.userId = @user")
    assert {each["name"]: each["value"] for each in query["parameters"]} == {"@user": "ada", "@until": "2026"}
    assert first.headers["x-ms-max-item-count"] == "2"
    assert second.headers["x-ms-continuation"] == "more"


async def test_time_is_corrected_by_the_clock_of_the_database() -> None:
    difference = timedelta()
    answered = database(lambda _method, _path: answer(STORED, now=NOW + difference))
    async with opened(answered) as (documents, _, _):
        await documents.read("ada", "gen-1")
        assert documents.now() == NOW
        difference = timedelta(minutes=3)
        await documents.read("ada", "gen-1")
        assert documents.now() == NOW + timedelta(minutes=3, seconds=0.5)
        difference = timedelta(seconds=4)
        await documents.read("ada", "gen-1")
        assert documents.now() == NOW


async def test_probe_reads_each_container() -> None:
    async with opened(database(lambda _method, _path: answer({}, 404))) as (_, cosmos, server):
        assert await cosmos.probe("generations", "usage") == {"catafract/generations": "ok", "catafract/usage": "ok"}
    assert {each.path for each in server.received if "/docs" in each.path} == {
        "/dbs/catafract/colls/generations/docs/probe/",
        "/dbs/catafract/colls/usage/docs/probe/",
    }


def test_missing_setting_is_misconfigured() -> None:
    with pytest.raises(Misconfigured):
        Cosmos("catafract", Clock())


async def test_invalid_connection_string_is_misconfigured() -> None:
    with pytest.raises(Misconfigured):
        await CosmosGenerations(Cosmos("catafract", Clock(), connection_string="nonsense"), "x").read("ada", "gen-1")
