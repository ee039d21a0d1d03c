"""The fake blobs, held to the contract of the real ones."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.support.blob_contract import BlobContract, BlobNetwork
from tests.support.fakes.blobs import FakeBlobs
from tests.support.fakes.faults import Effect


class FakeNetwork:
    """Faults of fake blobs. Implements `BlobNetwork`."""

    def __init__(self, blobs: FakeBlobs, lost: Effect) -> None:
        self._faults = blobs.faults
        self._lost = lost

    def lose_acknowledgement(self) -> None:
        self._faults.add(self._lost)

    @asynccontextmanager
    async def outage(self) -> AsyncIterator[None]:
        self._faults.away = True
        yield
        self._faults.clear()


class TestFakeBlobs(BlobContract):
    @pytest.fixture
    def container(self) -> str:
        return "images"

    @pytest.fixture
    def blobs(self, container: str) -> FakeBlobs:
        return FakeBlobs(container)

    @pytest.fixture(params=[Effect.LOST, Effect.REPEATED], ids=str)
    def network(self, blobs: FakeBlobs, request: pytest.FixtureRequest) -> BlobNetwork:
        return FakeNetwork(blobs, request.param)
