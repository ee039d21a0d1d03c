"""Missing containers are outages and not missing items: the codes of the services' errors distinguish them."""

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from random import Random

import pytest
from azure.core.exceptions import ResourceExistsError
from azure.cosmos import PartitionKey
from azure.cosmos.aio import CosmosClient
from azure.storage.blob.aio import BlobServiceClient

from image_core.auth.user import User
from image_core.clock import Clock
from image_core.errors import BlobMissing, StorageUnavailable
from image_core.generations.record import Record
from image_core.generations.records import Records
from image_core.storage.azure_blobs import AzureBlobs
from image_core.storage.backoff import TRIES, Backoff
from image_core.storage.cosmos import Cosmos
from image_core.storage.cosmos_documents import CosmosGenerations
from local.emulators import AzuritePorts
from tests.support.faulty_proxy import FaultyProxy, Rule, blob_error, cosmos_not_found, faulty
from tests.support.records import make

USER = User("user@example.com")
names = itertools.count()


class Sleeps:
    """A clock whose sleeps take no time and are counted."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.clock = Clock(sleep=self.sleep)

    async def sleep(self, seconds: float) -> None:
        self.seconds.append(seconds)


@pytest.fixture
def sleeps() -> Sleeps:
    return Sleeps()


@pytest.fixture
async def cosmos(cosmos_url: str) -> AsyncIterator[FaultyProxy]:
    async with faulty(cosmos_url) as running:
        yield running


@pytest.fixture
async def containers(cosmos_connection_string: str) -> AsyncIterator[Callable[[str], Awaitable[None]]]:
    """Create the container with a name; delete it if it exists."""
    async with CosmosClient.from_connection_string(cosmos_connection_string) as client:
        database = await client.create_database_if_not_exists("outages")

        async def toggle(name: str) -> None:
            try:
                await database.create_container(name, PartitionKey("/userId"))
            except ResourceExistsError:
                await database.delete_container(name)

        yield toggle


@pytest.fixture
async def records(
    cosmos: FaultyProxy, cosmos_connection_string: str, sleeps: Sleeps
) -> AsyncIterator[Callable[[str], Records]]:
    """Open the records in a container of the database `outages`."""
    opened = []

    def open_records(name: str) -> Records:
        key = cosmos_connection_string.split(";")[1]
        opened.append(Cosmos("outages", sleeps.clock, connection_string=f"AccountEndpoint={cosmos.url}/;{key}"))
        return Records(CosmosGenerations(opened[-1], name), Backoff(sleeps.clock, Random(1)))

    yield open_records
    for each in opened:
        await each.close()


@pytest.fixture
def name() -> str:
    return f"records-{next(names)}"


def calls(records: Records, record: Record) -> dict[str, Callable[[], Awaitable[object]]]:
    return {
        "read": lambda: records.read(USER, record.id),
        "create": lambda: records.create(record),
        "replace": lambda: records.replace(record),
        "delete": lambda: records.delete(record),
        "page": lambda: records.page(USER, 10, None),
        "under way": lambda: records.under_way(USER),
        "unfinished": records.unfinished,
    }


CALLS = ("read", "create", "replace", "delete", "page", "under way", "unfinished")


@pytest.mark.parametrize("call", CALLS)
async def test_missing_cosmos_container_is_an_outage(
    call: str, records: Callable[[str], Records], containers: Callable[[str], Awaitable[None]], name: str
) -> None:
    await containers("another")  # the database is there
    with pytest.raises(StorageUnavailable):
        await calls(records(name), make(USER, etag="one"))[call]()
    await containers("another")


@pytest.mark.parametrize("call", CALLS)
async def test_removed_cosmos_container_is_an_outage(
    call: str, records: Callable[[str], Records], containers: Callable[[str], Awaitable[None]], name: str
) -> None:
    await containers(name)
    store = records(name)
    created = await store.create(make(USER))
    await containers(name)
    with pytest.raises(StorageUnavailable):
        await calls(store, created)[call]()


@pytest.mark.parametrize("sub_status", [1002, 1003])
@pytest.mark.parametrize("call", CALLS)
async def test_404_with_a_sub_status_is_an_outage(
    call: str,
    sub_status: int,
    records: Callable[[str], Records],
    containers: Callable[[str], Awaitable[None]],
    cosmos: FaultyProxy,
    name: str,
) -> None:
    await containers(name)
    store = records(name)
    created = await store.create(make(USER))
    cosmos.rule(Rule(lambda _, path: "/docs" in path, times=1000, answer=cosmos_not_found(sub_status)))
    with pytest.raises(StorageUnavailable):
        await calls(store, created)[call]()
    assert len(cosmos.requests) < 60


async def test_read_with_a_late_session_token_is_repeated(
    records: Callable[[str], Records],
    containers: Callable[[str], Awaitable[None]],
    cosmos: FaultyProxy,
    name: str,
) -> None:
    await containers(name)
    store = records(name)
    created = await store.create(make(USER))
    cosmos.rule(Rule(lambda method, path: method == "GET" and "/docs/" in path, answer=cosmos_not_found(1002)))
    assert await store.read(USER, created.id) == created


async def test_create_of_an_unreadable_existing_record_is_an_outage_after_a_few_tries(
    records: Callable[[str], Records],
    containers: Callable[[str], Awaitable[None]],
    cosmos: FaultyProxy,
    sleeps: Sleeps,
    name: str,
) -> None:
    await containers(name)
    store = records(name)
    await store.create(make(USER))
    cosmos.rule(Rule(lambda method, path: method == "GET" and "/docs/" in path, 1000, answer=cosmos_not_found(0)))
    with pytest.raises(StorageUnavailable):
        await store.create(make(USER, blob_stem="another"))
    assert len(sleeps.seconds) == TRIES - 2
    assert sum(sleeps.seconds) < 6


async def test_change_under_constant_conflicts_backs_off_and_ends(
    records: Callable[[str], Records],
    containers: Callable[[str], Awaitable[None]],
    cosmos: FaultyProxy,
    sleeps: Sleeps,
    name: str,
) -> None:
    await containers(name)
    store, rival = records(name), records(name)
    record = await store.create(make(USER))

    async def interfere() -> None:
        stored = await rival.read(USER, record.id)
        assert stored is not None
        cosmos.rules.clear()
        await rival.replace(replace(stored, attempt_count=stored.attempt_count + 1))
        cosmos.rule(conflict)

    conflict = Rule(lambda method, _: method == "PUT", times=1000, before=interfere)
    cosmos.rule(conflict)
    with pytest.raises(StorageUnavailable):
        await store.change(record, lambda stored: replace(stored, text="mine"))
    assert conflict.hits == TRIES
    assert len(sleeps.seconds) == TRIES - 2
    stored = await rival.read(USER, record.id)
    assert stored is not None
    assert stored.text is None


@pytest.fixture
async def blob_proxy(azurite_ports: AzuritePorts) -> AsyncIterator[FaultyProxy]:
    async with faulty(f"http://127.0.0.1:{azurite_ports.blob}") as running:
        yield running


@pytest.fixture
async def blobs(azurite_ports: AzuritePorts, blob_proxy: FaultyProxy) -> AsyncIterator[AzureBlobs]:
    connection_string = azurite_ports.connection_string(f"{blob_proxy.url}/devstoreaccount1")
    store = AzureBlobs(connection_string=connection_string)
    yield store
    await store.close()


def blob_calls(blobs: AzureBlobs, container: str) -> dict[str, Callable[[], Awaitable[object]]]:
    return {
        "put": lambda: blobs.put(container, "a.png", b"1", "image/png", overwrite=False),
        "overwrite": lambda: blobs.put(container, "a.png", b"1", "image/png", overwrite=True),
        "read": lambda: blobs.read(container, "a.png", 100),
        "range": lambda: blobs.read_range(container, "a.png", 0, 1),
        "describe": lambda: blobs.describe(container, "a.png"),
        "find": lambda: blobs.find(container, "a"),
        "delete": lambda: blobs.delete(container, "a.png"),
    }


BLOB_CALLS = ("put", "overwrite", "read", "range", "describe", "find", "delete")


@pytest.mark.parametrize("call", BLOB_CALLS)
async def test_missing_blob_container_is_an_outage(call: str, blobs: AzureBlobs) -> None:
    with pytest.raises(StorageUnavailable):
        await blob_calls(blobs, "never-made")[call]()


@pytest.mark.parametrize(
    ("status", "code"),
    [(409, "ContainerBeingDeleted"), (404, "ContainerNotFound"), (409, "ContainerDisabled"), (409, "SomethingNew")],
)
@pytest.mark.parametrize("call", BLOB_CALLS)
async def test_error_of_the_container_is_an_outage_and_not_an_existing_blob(
    call: str, status: int, code: str, blobs: AzureBlobs, blob_proxy: FaultyProxy
) -> None:
    blob_proxy.rule(Rule(lambda *_: True, times=1000, answer=blob_error(status, code)))
    with pytest.raises(StorageUnavailable):
        await blob_calls(blobs, "catafract")[call]()


async def test_existing_and_missing_blob_are_distinguished(
    blobs: AzureBlobs, azurite_connection_string: str, name: str
) -> None:
    async with BlobServiceClient.from_connection_string(azurite_connection_string) as client:
        await client.create_container(name)
    called = blob_calls(blobs, name)
    for call in ("read", "range", "describe"):
        with pytest.raises(BlobMissing):
            await called[call]()
    await called["delete"]()
    assert await called["put"]() is True
    assert await called["put"]() is False
    assert await called["overwrite"]() is True
    assert await called["read"]() == b"1"
