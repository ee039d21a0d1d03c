"""Containers of documents in memory, with the semantics of Cosmos DB."""

import itertools
import json
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from datetime import datetime
from typing import Any

from image_core.clock import Clock, iso
from image_core.errors import StorageUnavailable
from image_core.storage.documents import (
    MAX_BATCH,
    OLD_SUMS,
    Create,
    Document,
    DocumentChanged,
    DocumentExists,
    Replace,
    WriteConflict,
)
from tests.support.fakes.faults import Faults

MAX_DOCUMENT_BYTES = 2_000_000


class FakeDocuments:
    """Implements `Documents`. Nothing that is stored shares objects with what was passed or returned."""

    def __init__(self, clock: Clock | None = None) -> None:
        self.faults = Faults()
        self.clock = clock or Clock()
        self._stored: dict[tuple[str, str], str] = {}
        """The JSON of each document by its user and id."""
        self._etags = itertools.count(1)

    def now(self) -> datetime:
        """Return the time of the clock."""
        return self.clock.now()

    @property
    def all(self) -> list[dict[str, Any]]:
        """All documents, in the order in which they were created."""
        return [json.loads(text) for text in self._stored.values()]

    async def create(self, document: Document) -> str:
        """Store a new document and return its etag. Raises DocumentExists."""
        return await self.faults.call("create", document["id"], lambda: self._create(document))

    async def read(self, user_id: str, document_id: str) -> Document | None:
        """Return a document, or None."""
        return await self.faults.call("read", document_id, lambda: self._read(user_id, document_id))

    async def replace(self, document: Document, etag: str) -> str:
        """Store a new version over the version `etag`. Raises DocumentChanged."""
        return await self.faults.call("replace", document["id"], lambda: self._replace(document, etag))

    async def delete(self, user_id: str, document_id: str) -> None:
        """Delete a document; one that does not exist is no error."""
        await self.faults.call("delete", document_id, lambda: self._stored.pop((user_id, document_id), None))

    async def write_batch(self, user_id: str, writes: Sequence[Create | Replace]) -> None:
        """Apply all writes or none. Raises WriteConflict."""
        if not 0 < len(writes) <= MAX_BATCH:
            raise ValueError(f"a batch has 1 to {MAX_BATCH} writes")
        if any(write.document["userId"] != user_id for write in writes):
            raise ValueError("a batch writes to the documents of one user")
        await self.faults.call("write_batch", user_id, lambda: self._write_batch(writes))

    def _create(self, document: Document) -> str:
        if _key(document) in self._stored:
            raise DocumentExists(document["id"])
        return self._write(document)

    def _read(self, user_id: str, document_id: str) -> dict[str, Any] | None:
        text = self._stored.get((user_id, document_id))
        return None if text is None else json.loads(text)

    def _replace(self, document: Document, etag: str) -> str:
        stored = self._read(*_key(document))
        if stored is None or stored["_etag"] != etag:
            raise DocumentChanged(document["id"])
        return self._write(document)

    def _write_batch(self, writes: Sequence[Create | Replace]) -> None:
        before = dict(self._stored)
        try:
            for write in writes:
                if isinstance(write, Create):
                    self._create(write.document)
                else:
                    self._replace(write.document, write.etag)
        except (WriteConflict, StorageUnavailable) as error:
            self._stored = before
            if isinstance(error, WriteConflict):
                raise WriteConflict from error
            raise

    def _write(self, document: Document) -> str:
        etag = f'"{next(self._etags):08}"'
        own = {name: value for name, value in document.items() if not name.startswith("_")}
        text = json.dumps({**own, "_etag": etag, "_ts": int(self.clock.now().timestamp())})
        if len(text) > MAX_DOCUMENT_BYTES:
            raise StorageUnavailable
        self._stored[_key(document)] = text
        return etag

    async def _query(
        self,
        operation: str,
        fields: Sequence[str],
        matches: Callable[[dict[str, Any]], bool],
        order: Callable[[Iterable[dict[str, Any]]], list[dict[str, Any]]] = list,
    ) -> AsyncIterator[Document]:
        found = await self.faults.call(operation, "", lambda: order(filter(matches, self.all)))
        for document in found:
            yield {name: document[name] for name in fields if name in document}


class FakeGenerations(FakeDocuments):
    """Implements `GenerationDocuments`."""

    def history(
        self, user_id: str, fields: Sequence[str], until: str | None, page_size: int
    ) -> AsyncIterator[Document]:
        """Iterate over a user's documents, newest first."""

        def matches(document: dict[str, Any]) -> bool:
            time = document.get("createdAt")
            shown = document["userId"] == user_id and document.get("status") != "deleting"
            return shown and isinstance(time, str) and (until is None or time <= until)

        return self._query("history", fields, matches, lambda found: sorted(found, key=_time, reverse=True))

    def descendants(
        self, user_id: str, root_id: str, fields: Sequence[str], since: str | None, page_size: int
    ) -> AsyncIterator[Document]:
        """Iterate over a user's documents of one chain, oldest first."""

        def matches(document: dict[str, Any]) -> bool:
            time = document.get("createdAt")
            shown = document["userId"] == user_id and document.get("status", "deleting") != "deleting"
            in_chain = document.get("rootId") == root_id
            return shown and in_chain and isinstance(time, str) and (since is None or time >= since)

        return self._query("descendants", fields, matches, lambda found: sorted(found, key=_time))

    def unended(self, user_id: str | None, fields: Sequence[str], now: datetime) -> AsyncIterator[Document]:
        """Iterate over the documents that can still cost money."""

        def matches(document: dict[str, Any]) -> bool:
            until, owner = document.get("leaseExpiresAt"), document.get("leaseOwner")
            if not isinstance(until, str) or user_id not in {None, document["userId"]}:
                return False
            return document.get("status") == "running" or (isinstance(owner, str) and until > iso(now))

        return self._query("unended", fields, matches)

    def lease_expired(self, fields: Sequence[str], now: datetime) -> AsyncIterator[Document]:
        """Iterate over all users' documents with an expired lease."""

        def matches(document: dict[str, Any]) -> bool:
            until = document.get("leaseExpiresAt")
            return isinstance(until, str) and until <= iso(now)

        return self._query("lease_expired", fields, matches)

    async def names_image(self, user_id: str, path_end: str) -> bool:
        """Return whether a record without `blobStem` has an `outputImageUrl` that contains `path_end`."""

        def matches(document: dict[str, Any]) -> bool:
            original = document["userId"] == user_id and "blobStem" not in document
            return original and path_end in (document.get("outputImageUrl") or "")

        return bool([document async for document in self._query("names_image", (), matches)])

    def everything(self, fields: Sequence[str]) -> AsyncIterator[Document]:
        """Iterate over all documents."""
        return self._query("everything", fields, lambda _: True)


class FakeLedger(FakeDocuments):
    """Implements `LedgerDocuments`."""

    async def spent_by_users(self, period: str) -> Sequence[float]:
        """Return the `budgetUsd` of each user's sum of a period."""
        sums = self._query("spent_by_users", ("budgetUsd",), lambda document: document.get("period") == period)
        return [document["budgetUsd"] async for document in sums]

    def entries(self, user_id: str, fields: Sequence[str], since: str, until: str) -> AsyncIterator[Document]:
        """Iterate over a user's entries of a time."""
        return self._query(
            "entries", fields, lambda document: document["userId"] == user_id and _within(document, since, until)
        )

    def entries_of_all_users(self, fields: Sequence[str], since: str, until: str) -> AsyncIterator[Document]:
        """Iterate over all users' entries of a time."""
        return self._query(
            "entries_of_all_users",
            fields,
            lambda document: document["userId"] != OLD_SUMS and _within(document, since, until),
        )


def _key(document: Document) -> tuple[str, str]:
    return document["userId"], document["id"]


def _time(document: Document) -> str:
    return str(document["createdAt"])


def _within(document: Document, since: str, until: str) -> bool:
    return since <= str(document.get("time", "")) < until
