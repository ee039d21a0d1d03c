"""The contracts of document containers, tested with the real SDK and the emulator."""

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from azure.cosmos import PartitionKey
from azure.cosmos.aio import CosmosClient, DatabaseProxy

from image_core.clock import Clock
from image_core.storage.cosmos import Cosmos
from image_core.storage.cosmos_documents import CosmosDocuments, CosmosGenerations, CosmosLedger
from tests.support.document_contract import DocumentContract, GenerationContract, LedgerContract, Network, user
from tests.support.faulty_proxy import FaultyProxy, Rule, faulty

__all__ = ["user"]

DATABASE = "contract"
_numbers = itertools.count()


class FaultyNetwork:
    """The connections to the emulator. Implements `Network`."""

    def __init__(self, proxy: FaultyProxy, database: DatabaseProxy, container: str) -> None:
        self._proxy = proxy
        self._database = database
        self._container = container

    def lose_acknowledgement(self) -> None:
        writes = {"POST", "PUT"}
        self._proxy.rule(Rule(lambda method, path: method in writes and "/docs" in path, deliver=False))

    @asynccontextmanager
    async def outage(self) -> AsyncIterator[None]:
        self._proxy.unreachable = True
        yield
        self._proxy.reconnect()

    @asynccontextmanager
    async def missing_container(self) -> AsyncIterator[None]:
        await self._database.delete_container(self._container)
        yield


@pytest.fixture
async def proxy(cosmos_url: str) -> AsyncIterator[FaultyProxy]:
    async with faulty(cosmos_url) as running:
        yield running


@pytest.fixture
async def database(cosmos_connection_string: str) -> AsyncIterator[DatabaseProxy]:
    async with CosmosClient.from_connection_string(cosmos_connection_string) as client:
        yield await client.create_database_if_not_exists(DATABASE)


@pytest.fixture
async def container(database: DatabaseProxy) -> str:
    """Create a container and return its name."""
    name = f"documents-{next(_numbers)}"
    await database.create_container(name, PartitionKey("/userId"))
    return name


@pytest.fixture
async def cosmos(proxy: FaultyProxy, cosmos_connection_string: str) -> AsyncIterator[Cosmos]:
    key = cosmos_connection_string.split(";")[1]
    opened = Cosmos(DATABASE, Clock(), connection_string=f"AccountEndpoint={proxy.url}/;{key}")
    yield opened
    await opened.close()


@pytest.fixture
def network(proxy: FaultyProxy, database: DatabaseProxy, container: str) -> Network:
    return FaultyNetwork(proxy, database, container)


class TestCosmosDocuments(DocumentContract):
    @pytest.fixture
    def documents(self, cosmos: Cosmos, container: str) -> CosmosDocuments:
        return CosmosDocuments(cosmos, container)


class TestCosmosGenerations(GenerationContract):
    @pytest.fixture
    def generations(self, cosmos: Cosmos, container: str) -> CosmosGenerations:
        return CosmosGenerations(cosmos, container)


class TestCosmosLedger(LedgerContract):
    @pytest.fixture
    def ledger(self, cosmos: Cosmos, container: str) -> CosmosLedger:
        return CosmosLedger(cosmos, container)
