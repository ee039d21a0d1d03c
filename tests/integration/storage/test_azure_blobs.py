"""The contract of blobs, tested with the real SDK and the emulator."""

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from azure.storage.blob.aio import BlobServiceClient

from image_core.storage.azure_blobs import AzureBlobs
from local.emulators import AzuritePorts
from tests.support.blob_contract import BlobContract, BlobNetwork
from tests.support.faulty_proxy import FaultyProxy, Rule, faulty

_numbers = itertools.count()


class FaultyNetwork:
    """The connections to the emulator. Implements `BlobNetwork`."""

    def __init__(self, proxy: FaultyProxy) -> None:
        self._proxy = proxy

    def lose_acknowledgement(self) -> None:
        self._proxy.rule(Rule(lambda method, _: method == "PUT", deliver=False))

    @asynccontextmanager
    async def outage(self) -> AsyncIterator[None]:
        self._proxy.unreachable = True
        yield
        self._proxy.reconnect()


@pytest.fixture
async def proxy(azurite_ports: AzuritePorts) -> AsyncIterator[FaultyProxy]:
    async with faulty(f"http://127.0.0.1:{azurite_ports.blob}") as running:
        yield running


class TestAzureBlobs(BlobContract):
    """Blob Storage, as the emulator implements it."""

    @pytest.fixture
    async def container(self, azurite_connection_string: str) -> str:
        name = f"contract-{next(_numbers)}"
        async with BlobServiceClient.from_connection_string(azurite_connection_string) as client:
            await client.create_container(name)
        return name

    @pytest.fixture
    async def blobs(self, azurite_ports: AzuritePorts, proxy: FaultyProxy) -> AsyncIterator[AzureBlobs]:
        connection_string = azurite_ports.connection_string(f"{proxy.url}/devstoreaccount1")
        opened = AzureBlobs(connection_string=connection_string)
        yield opened
        await opened.close()

    @pytest.fixture
    def network(self, proxy: FaultyProxy) -> BlobNetwork:
        return FaultyNetwork(proxy)
