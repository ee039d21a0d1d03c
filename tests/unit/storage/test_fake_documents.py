"""The fake containers of documents fulfil the contract of Cosmos DB's."""

import pytest

from tests.support.document_contract import DocumentContract, GenerationContract, LedgerContract, Network, user
from tests.support.fakes.documents import FakeDocuments, FakeGenerations, FakeLedger
from tests.support.fakes.faults import Effect, FakeNetwork

__all__ = ["user"]


@pytest.fixture(params=[Effect.LOST, Effect.REPEATED], ids=str)
def lost(request: pytest.FixtureRequest) -> Effect:
    """Return the effect of the loss of an acknowledgement."""
    effect: Effect = request.param
    return effect


class TestFakeDocuments(DocumentContract):
    @pytest.fixture
    def documents(self) -> FakeDocuments:
        return FakeDocuments()

    @pytest.fixture
    def network(self, documents: FakeDocuments, lost: Effect) -> Network:
        return FakeNetwork(documents.faults, lost)


class TestFakeGenerations(GenerationContract):
    @pytest.fixture
    def generations(self) -> FakeGenerations:
        return FakeGenerations()

    @pytest.fixture
    def network(self, generations: FakeGenerations) -> Network:
        return FakeNetwork(generations.faults, Effect.LOST)


class TestFakeLedger(LedgerContract):
    @pytest.fixture
    def ledger(self) -> FakeLedger:
        return FakeLedger()
