"""The contract of a container of documents: the same tests for the fake and for Cosmos DB's adapter.

A subclass provides the fixtures `documents` or `generations` or `ledger`, and `network`. Users are unique to each test.
"""

import itertools
from collections.abc import AsyncIterator, Awaitable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from typing import Any, Protocol

import pytest

from image_core.errors import ContainerMissing, StorageUnavailable
from image_core.storage.documents import (
    MAX_BATCH,
    OLD_SUMS,
    Create,
    Document,
    DocumentChanged,
    DocumentExists,
    Documents,
    GenerationDocuments,
    LedgerDocuments,
    Replace,
    WriteConflict,
)

_numbers = itertools.count()
NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
PAST, LATER = "2026-01-01T11:59:59.000Z", "2026-01-01T12:00:01.000Z"


class Network(Protocol):
    """The network between a caller and the container."""

    def lose_acknowledgement(self) -> None:
        """Apply the next write, and break the connection before its answer."""

    def outage(self) -> AbstractAsyncContextManager[None]:
        """Break every connection."""

    def missing_container(self) -> AbstractAsyncContextManager[None]:
        """Answer as if the container did not exist."""


@pytest.fixture
def user() -> str:
    """Return the id of a user without documents."""
    return f"user-{next(_numbers)}@example.com"


def document(user: str, number: int = 1, **fields: Any) -> dict[str, Any]:
    """Return a document of `user` with the id `doc-{number}`."""
    return {"id": f"doc-{number}", "userId": user, **fields}


def own(stored: Document | None) -> dict[str, Any] | None:
    """Return a document without the database's own fields."""
    if stored is None:
        return None
    return {name: value for name, value in stored.items() if not name.startswith("_")}


def every_call(documents: Documents, user: str, etag: str) -> tuple[Awaitable[object], ...]:
    """Return a call of each operation. `etag` is that of the document that exists."""
    return (
        documents.create(document(user)),
        documents.read(user, "doc-1"),
        documents.replace(document(user), etag),
        documents.delete(user, "doc-1"),
        documents.write_batch(user, [Create(document(user, 2))]),
    )


async def ids(found: AsyncIterator[Document]) -> list[str]:
    """Return the documents' ids."""
    return [each["id"] async for each in found]


class DocumentContract:
    """Reads, conditional writes, batches, and the state after faults."""

    async def test_document_is_read_back_with_its_etag(self, documents: Documents, user: str) -> None:
        written = document(user, text="é\0", price=1.5, nested={"list": [1, None, True]})
        etag = await documents.create(written)
        stored = await documents.read(user, "doc-1")
        assert own(stored) == written
        assert stored is not None
        assert stored["_etag"] == etag

    async def test_another_users_document_is_not_found(self, documents: Documents, user: str) -> None:
        await documents.create(document(user))
        assert await documents.read(f"other-{user}", "doc-1") is None
        assert await documents.read(user, "doc-2") is None
        await documents.create(document(f"other-{user}"))

    async def test_id_is_created_once(self, documents: Documents, user: str) -> None:
        await documents.create(document(user, text="first"))
        with pytest.raises(DocumentExists):
            await documents.create(document(user, text="second"))
        assert own(await documents.read(user, "doc-1")) == document(user, text="first")

    async def test_replace_on_the_newest_version_is_applied(self, documents: Documents, user: str) -> None:
        first = await documents.create(document(user, text="first"))
        second = await documents.replace(document(user, other="second"), first)
        assert second != first
        stored = await documents.read(user, "doc-1")
        assert own(stored) == document(user, other="second")
        assert stored is not None
        assert stored["_etag"] == second

    async def test_replace_on_an_older_version_is_not_applied(self, documents: Documents, user: str) -> None:
        first = await documents.create(document(user))
        await documents.replace(document(user, text="other"), first)
        with pytest.raises(DocumentChanged):
            await documents.replace(document(user, text="late"), first)
        assert own(await documents.read(user, "doc-1")) == document(user, text="other")

    async def test_equal_replace_makes_a_new_version(self, documents: Documents, user: str) -> None:
        first = await documents.create(document(user))
        assert await documents.replace(document(user), first) != first

    async def test_deleted_document_cannot_be_replaced(self, documents: Documents, user: str) -> None:
        etag = await documents.create(document(user))
        await documents.delete(user, "doc-1")
        with pytest.raises(DocumentChanged):
            await documents.replace(document(user), etag)
        assert await documents.read(user, "doc-1") is None

    async def test_deleting_twice_is_no_error(self, documents: Documents, user: str) -> None:
        await documents.create(document(user))
        await documents.create(document(user, 2))
        await documents.delete(user, "doc-1")
        await documents.delete(user, "doc-1")
        assert await documents.read(user, "doc-1") is None
        assert await documents.read(user, "doc-2") is not None

    async def test_batch_is_applied_as_a_whole(self, documents: Documents, user: str) -> None:
        etag = await documents.create(document(user, 0))
        creates = [Create(document(user, number)) for number in range(1, MAX_BATCH)]
        await documents.write_batch(user, [*creates, Replace(document(user, 0, text="new"), etag)])
        assert own(await documents.read(user, "doc-0")) == document(user, 0, text="new")
        assert await documents.read(user, f"doc-{MAX_BATCH - 1}") is not None

    async def test_batch_with_an_id_that_exists_changes_nothing(self, documents: Documents, user: str) -> None:
        await documents.create(document(user, 2, text="first"))
        with pytest.raises(WriteConflict):
            await documents.write_batch(user, [Create(document(user, 1)), Create(document(user, 2))])
        assert await documents.read(user, "doc-1") is None
        assert own(await documents.read(user, "doc-2")) == document(user, 2, text="first")

    async def test_batch_on_an_older_version_changes_nothing(self, documents: Documents, user: str) -> None:
        first = await documents.create(document(user, 2))
        await documents.replace(document(user, 2, text="other"), first)
        with pytest.raises(WriteConflict):
            await documents.write_batch(user, [Create(document(user, 1)), Replace(document(user, 2), first)])
        assert await documents.read(user, "doc-1") is None
        assert own(await documents.read(user, "doc-2")) == document(user, 2, text="other")

    async def test_batch_on_a_deleted_document_changes_nothing(self, documents: Documents, user: str) -> None:
        etag = await documents.create(document(user, 2))
        await documents.delete(user, "doc-2")
        with pytest.raises(WriteConflict):
            await documents.write_batch(user, [Create(document(user, 1)), Replace(document(user, 2), etag)])
        assert await documents.read(user, "doc-1") is None

    async def test_create_whose_acknowledgement_is_lost_is_applied(
        self, documents: Documents, network: Network, user: str
    ) -> None:
        network.lose_acknowledgement()
        with pytest.raises((StorageUnavailable, DocumentExists)):
            await documents.create(document(user))
        assert own(await documents.read(user, "doc-1")) == document(user)

    async def test_replace_whose_acknowledgement_is_lost_is_applied(
        self, documents: Documents, network: Network, user: str
    ) -> None:
        etag = await documents.create(document(user))
        network.lose_acknowledgement()
        with pytest.raises((StorageUnavailable, DocumentChanged)):
            await documents.replace(document(user, text="new"), etag)
        assert own(await documents.read(user, "doc-1")) == document(user, text="new")

    async def test_batch_whose_acknowledgement_is_lost_is_applied(
        self, documents: Documents, network: Network, user: str
    ) -> None:
        network.lose_acknowledgement()
        with pytest.raises((StorageUnavailable, WriteConflict)):
            await documents.write_batch(user, [Create(document(user, 1)), Create(document(user, 2))])
        assert await documents.read(user, "doc-1") is not None
        assert await documents.read(user, "doc-2") is not None

    async def test_outage_does_not_mean_that_a_document_is_missing(
        self, documents: Documents, network: Network, user: str
    ) -> None:
        etag = await documents.create(document(user))
        async with network.outage():
            for call in every_call(documents, user, etag):
                with pytest.raises(StorageUnavailable):
                    await call
        assert own(await documents.read(user, "doc-1")) == document(user)
        assert await documents.read(user, "doc-2") is None

    async def test_missing_container_does_not_mean_that_a_document_is_missing(
        self, documents: Documents, network: Network, user: str
    ) -> None:
        etag = await documents.create(document(user))
        async with network.missing_container():
            for call in every_call(documents, user, etag):
                with pytest.raises(ContainerMissing):
                    await call


FIELDS = ("id", "createdAt")


class GenerationContract:
    """The queries of the records' container."""

    async def test_history_is_of_one_user_and_newest_first(self, generations: GenerationDocuments, user: str) -> None:
        for number in (2, 1, 3):
            await generations.create(document(user, number, createdAt=f"2026-01-0{number}", status="failed"))
        await generations.create(document(user, 4, createdAt="2026-01-04", status="deleting"))
        await generations.create(document(user, 5, createdAt="2025-01-01"))  # by the original product: without a status
        await generations.create(document(user, 6))
        await generations.create(document(f"other-{user}", 7, createdAt="2026-01-02", status="failed"))
        found = [dict(each) async for each in generations.history(user, FIELDS, None, 2)]
        assert [each["id"] for each in found] == ["doc-3", "doc-2", "doc-1", "doc-5"]
        assert found[0] == {"id": "doc-3", "createdAt": "2026-01-03"}
        assert await ids(generations.history(user, FIELDS, "2026-01-02", 2)) == ["doc-2", "doc-1", "doc-5"]

    async def test_field_that_a_document_lacks_is_left_out(self, generations: GenerationDocuments, user: str) -> None:
        await generations.create(document(user, createdAt="2026-01-01", text=None))
        assert [dict(each) async for each in generations.history(user, ("id", "text", "model"), None, 9)] == [
            {"id": "doc-1", "text": None}
        ]

    async def test_iteration_may_end_early(self, generations: GenerationDocuments, user: str) -> None:
        for number in range(1, 6):
            await generations.create(document(user, number, createdAt=f"2026-01-0{number}"))
        async for each in generations.history(user, FIELDS, None, 2):
            assert each["id"] == "doc-5"
            break
        assert len(await ids(generations.history(user, FIELDS, None, 2))) == 5

    async def test_descendants_are_oldest_first_and_of_one_chain(
        self, generations: GenerationDocuments, user: str
    ) -> None:
        for number in (2, 1, 3):
            fields = {"createdAt": f"2026-01-0{number}", "rootId": "doc-0", "status": "succeeded"}
            await generations.create(document(user, number, **fields))
        await generations.create(document(user, 0, createdAt="2026-01-01", status="succeeded"))
        await generations.create(document(user, 4, createdAt="2026-01-04", rootId="doc-0", status="deleting"))
        await generations.create(document(user, 5, createdAt="2026-01-04", rootId="doc-9", status="succeeded"))
        other = document(f"other-{user}", 6, createdAt="2026-01-04", rootId="doc-0", status="succeeded")
        await generations.create(other)
        found = await ids(generations.descendants(user, "doc-0", FIELDS, None, 2))
        assert found == ["doc-1", "doc-2", "doc-3"]
        assert await ids(generations.descendants(user, "doc-0", FIELDS, "2026-01-02", 2)) == ["doc-2", "doc-3"]

    async def test_unended_are_running_or_leased(self, generations: GenerationDocuments, user: str) -> None:
        running = {"status": "running", "leaseOwner": None}
        deleting = {"status": "deleting"}
        await generations.create(document(user, 1, **running, leaseExpiresAt=PAST))  # queued, and its message is late
        await generations.create(document(user, 2, **running, leaseExpiresAt=LATER))
        await generations.create(document(user, 3, status="succeeded", leaseOwner="me"))
        await generations.create(document(user, 4, **deleting, leaseOwner="me", leaseExpiresAt=PAST))
        await generations.create(document(user, 5, **deleting, leaseOwner="me", leaseExpiresAt=LATER))
        await generations.create(document(user, 6, **deleting, leaseOwner=None, leaseExpiresAt=LATER))
        await generations.create(document(f"other-{user}", 7, **running, leaseExpiresAt=LATER))
        expected = {"doc-1", "doc-2", "doc-5"}
        assert set(await ids(generations.unended(user, ("id",), NOW))) == expected
        of_all = [(each["userId"], each["id"]) async for each in generations.unended(None, ("id", "userId"), NOW)]
        assert {name for owner, name in of_all if owner == user} == expected
        assert (f"other-{user}", "doc-7") in of_all

    async def test_expired_leases_of_all_users_are_found(self, generations: GenerationDocuments, user: str) -> None:
        await generations.create(document(user, 1, leaseExpiresAt=PAST))
        await generations.create(document(user, 2, leaseExpiresAt="2026-01-01T12:00:00.000Z"))
        await generations.create(document(user, 3, leaseExpiresAt=LATER))
        await generations.create(document(user, 4))
        found = [each async for each in generations.lease_expired(("id", "userId"), NOW)]
        assert {each["id"] for each in found if each["userId"] == user} == {"doc-1", "doc-2"}

    async def test_only_records_of_the_original_product_name_an_image(
        self, generations: GenerationDocuments, user: str
    ) -> None:
        await generations.create(document(user, 1, outputImageUrl="https://x/y/a.png"))
        await generations.create(document(user, 2, outputImageUrl="https://x/y/b.png", blobStem="b"))
        await generations.create(document(user, 3, outputImageUrl=None))
        assert await generations.names_image(user, "/a.png")
        assert not await generations.names_image(user, "/b.png")
        assert not await generations.names_image(f"other-{user}", "/a.png")

    async def test_everything_is_of_all_users(self, generations: GenerationDocuments, user: str) -> None:
        await generations.create(document(user, 1, status="deleting"))
        await generations.create(document(f"other-{user}", 2))
        found = [(each["userId"], each["id"]) async for each in generations.everything(("id", "userId"))]
        assert {(user, "doc-1"), (f"other-{user}", "doc-2")} <= set(found)

    async def test_queries_fail_during_an_outage(
        self, generations: GenerationDocuments, network: Network, user: str
    ) -> None:
        await generations.create(document(user, createdAt="2026-01-01"))
        async with network.outage():
            with pytest.raises(StorageUnavailable):
                await ids(generations.history(user, FIELDS, None, 2))
            with pytest.raises(StorageUnavailable):
                await ids(generations.lease_expired(FIELDS, NOW))
            with pytest.raises(StorageUnavailable):
                await generations.names_image(user, "/a.png")

    async def test_queries_of_a_missing_container_fail(
        self, generations: GenerationDocuments, network: Network, user: str
    ) -> None:
        await generations.create(document(user, createdAt="2026-01-01"))
        async with network.missing_container():
            with pytest.raises(ContainerMissing):
                await ids(generations.history(user, FIELDS, None, 2))
            with pytest.raises(ContainerMissing):
                await ids(generations.unended(user, FIELDS, NOW))


class LedgerContract:
    """The queries of the ledger's container."""

    async def test_entries_are_of_one_user_and_one_time(self, ledger: LedgerDocuments, user: str) -> None:
        for number in (1, 2, 3):
            await ledger.create(document(user, number, time=f"2026-01-0{number}T00:00:00.000Z"))
        await ledger.create(document(user, 4, period="2026-01-02", budgetUsd=1.0))
        await ledger.create(document(f"other-{user}", 5, time="2026-01-02T00:00:00.000Z"))
        assert await ids(ledger.entries(user, ("id",), "2026-01-02", "2026-01-03")) == ["doc-2"]
        found = await ids(ledger.entries(user, ("id",), "2026-01-02T00:00:00.000Z", "2026-01-03T00:00:00.001Z"))
        assert set(found) == {"doc-2", "doc-3"}

    async def test_entries_of_all_users_leave_out_old_sums(self, ledger: LedgerDocuments, user: str) -> None:
        fields, time = ("id", "userId"), "2026-01-02T00:00:00.000Z"
        await ledger.create(document(user, 1, time=time))
        await ledger.create(document(f"other-{user}", 2, time=time))
        await ledger.create({"id": user, "userId": OLD_SUMS, "time": time})
        found = [(e["userId"], e["id"]) async for e in ledger.entries_of_all_users(fields, "2026-01-02", "2026-01-03")]
        assert {(user, "doc-1"), (f"other-{user}", "doc-2")} <= set(found)
        assert (OLD_SUMS, user) not in found

    async def test_sums_of_a_period_are_of_all_users(self, ledger: LedgerDocuments, user: str) -> None:
        period = f"period of {user}"
        await ledger.create(document(user, period=period, budgetUsd=1.5))
        await ledger.create(document(f"other-{user}", period=period, budgetUsd=2))
        await ledger.create(document(user, 2, period="another", budgetUsd=4.0))
        assert sorted(await ledger.spent_by_users(period)) == [1.5, 2.0]
