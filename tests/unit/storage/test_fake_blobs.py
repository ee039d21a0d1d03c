"""The fake blobs fulfil the contract of Blob Storage."""

import pytest

from tests.support.blob_contract import BlobContract, BlobNetwork
from tests.support.fakes.blobs import FakeBlobs
from tests.support.fakes.faults import Effect, FakeNetwork


class TestFakeBlobs(BlobContract):
    """The fake, with faults of its network."""

    @pytest.fixture
    def container(self) -> str:
        return "images"

    @pytest.fixture
    def blobs(self, container: str) -> FakeBlobs:
        return FakeBlobs(container)

    @pytest.fixture(params=[Effect.LOST, Effect.REPEATED], ids=str)
    def network(self, blobs: FakeBlobs, request: pytest.FixtureRequest) -> BlobNetwork:
        return FakeNetwork(blobs.faults, request.param)
