"""The fake containers of documents, held to the contract of the real ones."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.support.document_contract import DocumentContract, GenerationContract, LedgerContract, Network, user
from tests.support.fakes.documents import FakeDocuments, FakeGenerations, FakeLedger
from tests.support.fakes.faults import Effect

__all__ = ["user"]


class FakeNetwork:
    """Faults of a fake container. Implements `Network`."""

    def __init__(self, documents: FakeDocuments, lost: Effect) -> None:
        self._faults = documents.faults
        self._lost = lost

    def lose_acknowledgement(self) -> None:
        self._faults.add(self._lost)

    @asynccontextmanager
    async def outage(self) -> AsyncIterator[None]:
        self._faults.away = True
        yield
        self._faults.clear()

    @asynccontextmanager
    async def missing_container(self) -> AsyncIterator[None]:
        self._faults.add(Effect.CONTAINER_MISSING, times=1000)
        yield
        self._faults.clear()


@pytest.fixture(params=[Effect.LOST, Effect.REPEATED], ids=str)
def lost(request: pytest.FixtureRequest) -> Effect:
    """How the client takes the loss of an acknowledgement."""
    effect: Effect = request.param
    return effect


class TestFakeDocuments(DocumentContract):
    @pytest.fixture
    def documents(self) -> FakeDocuments:
        return FakeDocuments()

    @pytest.fixture
    def network(self, documents: FakeDocuments, lost: Effect) -> Network:
        return FakeNetwork(documents, lost)


class TestFakeGenerations(GenerationContract):
    @pytest.fixture
    def generations(self) -> FakeGenerations:
        return FakeGenerations()

    @pytest.fixture
    def network(self, generations: FakeGenerations) -> Network:
        return FakeNetwork(generations, Effect.LOST)


class TestFakeLedger(LedgerContract):
    @pytest.fixture
    def ledger(self) -> FakeLedger:
        return FakeLedger()
