"""The document containers that the product needs, as protocols. `cosmos_documents` implements them on Cosmos DB.

A document is a JSON object with an `id` and a `userId`; the pair is unique, and `userId` is the partition key. A
document that was read also has an `_etag`, which names its version: conditional writes compare it. Keys that begin with
an underscore belong to the database.

Every method raises StorageUnavailable while the database does not answer, and ContainerMissing (a kind of it) where the
container or its database does not exist. After StorageUnavailable a write may have been applied or not.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

Document = Mapping[str, Any]

MAX_BATCH = 100
"""The most writes of one transactional batch, a limit of Cosmos DB."""


class WriteConflict(Exception):
    """A conditional write was not applied, because of what is stored."""


class DocumentExists(WriteConflict):
    """There is a document with this id already. It may be the caller's own write, whose acknowledgement was lost."""


class DocumentChanged(WriteConflict):
    """The document has another version than the caller's, or is gone. That version may be the caller's own write."""


@dataclass(frozen=True, slots=True)
class Create:
    """A write that succeeds where there is no such document."""

    document: Document


@dataclass(frozen=True, slots=True)
class Replace:
    """A write that succeeds on the version `etag`."""

    document: Document
    etag: str


class Documents(Protocol):
    """The operations that every container has."""

    def now(self) -> datetime:
        """Return the database's time, on which processes with different clocks agree."""

    async def create(self, document: Document) -> str:
        """Store a new document and return its etag. Raises DocumentExists."""

    async def read(self, user_id: str, document_id: str) -> Document | None:
        """Return a document, or None."""

    async def replace(self, document: Document, etag: str) -> str:
        """Store a new version over the version `etag` and return the new etag. Raises DocumentChanged."""

    async def delete(self, user_id: str, document_id: str) -> None:
        """Delete a document; one that does not exist is no error."""

    async def write_batch(self, user_id: str, writes: Sequence[Create | Replace]) -> None:
        """Apply all of at most MAX_BATCH writes to one user's documents, or none. Raises WriteConflict."""


class GenerationDocuments(Documents, Protocol):
    """The container of the records of generations.

    Queries return the listed `fields` of each document, as far as it has them. An iteration reads page by page: it may
    be given up early, and what has not been read costs nothing.
    """

    def history(
        self, user_id: str, fields: Sequence[str], until: str | None, page_size: int
    ) -> AsyncIterator[Document]:
        """Iterate over a user's documents whose `createdAt` is not after `until`, newest first.

        Reads `page_size` documents at a time. Leaves out those with the status `deleting`. The order of documents with
        the same time is not defined.
        """

    def descendants(
        self, user_id: str, root_id: str, fields: Sequence[str], since: str | None, page_size: int
    ) -> AsyncIterator[Document]:
        """Iterate over a user's documents with this `rootId` whose `createdAt` is not before `since`, oldest first.

        Reads `page_size` documents at a time. Leaves out those with the status `deleting`. The order of documents with
        the same time is not defined.
        """

    def unended(self, user_id: str | None, fields: Sequence[str], now: datetime) -> AsyncIterator[Document]:
        """Iterate over the documents, of one user or of all, that can still cost money.

        They have a `leaseExpiresAt`, and either the status `running` or an owner whose lease has not expired at `now`.
        """

    def lease_expired(self, fields: Sequence[str], now: datetime) -> AsyncIterator[Document]:
        """Iterate over all users' documents whose `leaseExpiresAt` is not after `now`."""

    async def names_image(self, user_id: str, path_end: str) -> bool:
        """Return whether a record without `blobStem` has an `outputImageUrl` that contains `path_end`."""

    def everything(self, fields: Sequence[str]) -> AsyncIterator[Document]:
        """Iterate over all documents: a scan, for operators, without a limit of time."""


class LedgerDocuments(Documents, Protocol):
    """The container of ledger entries, which have a `time`, and of sums, which have a `period` and `budgetUsd`."""

    async def spent_by_users(self, period: str) -> Sequence[float]:
        """Return the `budgetUsd` of each user's sum of a day or a month."""

    def entries(self, user_id: str, fields: Sequence[str], since: str, until: str) -> AsyncIterator[Document]:
        """Iterate over a user's entries whose `time` is not before `since` and before `until`."""

    def entries_of_all_users(self, fields: Sequence[str], since: str, until: str) -> AsyncIterator[Document]:
        """Iterate over all users' entries of a time: a scan, for operators, without a limit of time.

        Leaves out OLD_SUMS.
        """


OLD_SUMS = "*"
"""The `userId` of sums that earlier versions stored. No user has it: an id is an address, or begins with `sub:`."""
