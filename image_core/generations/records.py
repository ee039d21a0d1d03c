"""The repository of records: conditional writes, and the lists that are read from it.

Every write is conditional: a create on the absence of the record, a replace on the version that was read. A lost
acknowledgement is distinguished from a conflict by the stored record: one with the caller's own random stem, or equal
to the one that the caller wrote, is the caller's write.
"""

import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from urllib.parse import quote

from image_core.auth.user import User
from image_core.clock import from_iso
from image_core.generations.continuation import Position, seal, unseal
from image_core.generations.record import Record, Summary
from image_core.generations.record_codec import (
    BILLING_FIELDS,
    LIST_FIELDS,
    SUMMARY_FIELDS,
    addresses,
    from_document,
    to_document,
    to_summary,
)
from image_core.storage.backoff import Backoff
from image_core.storage.documents import Document, DocumentChanged, DocumentExists, GenerationDocuments

PAGE_BYTES = 1_000_000
"""The longest page of a list that has more than one record, as JSON."""

READ_BYTES = 4_000_000
"""After so many bytes of records no more are read for a page: those of the original product may hold whole images."""


class AlreadyThere(Exception):
    """A record with this id exists; `stored` is it."""

    def __init__(self, stored: Record) -> None:
        super().__init__(stored.id)
        self.stored = stored


class Changed(Exception):
    """The record was written since it was read; `stored` is the newest version, None where it was deleted."""

    def __init__(self, stored: Record | None) -> None:
        super().__init__()
        self.stored = stored


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a user's records, in order, as documents; `continuation` is None on the last."""

    items: tuple[dict[str, Any], ...]
    continuation: str | None


@dataclass(frozen=True, slots=True)
class Unfinished:
    """The key of a record on which something is left to do."""

    id: str
    user_id: str


@dataclass(frozen=True, slots=True)
class _Run:
    """Records of one partition in their order. `complete`: there are no more behind them."""

    items: list[dict[str, Any]]
    complete: bool


class Records:
    """Reads and writes records. Every method raises StorageUnavailable while the database does not answer."""

    def __init__(self, documents: GenerationDocuments, backoff: Backoff) -> None:
        self._documents = documents
        self._backoff = backoff

    def now(self) -> datetime:
        """Return the database's time, which leases are written with and compared to."""
        return self._documents.now()

    async def create(self, record: Record) -> Record:
        """Write a new record. Raises AlreadyThere where its id belongs to another record."""
        tries = self._backoff.start()
        while True:
            try:
                return replace(record, etag=await self._documents.create(to_document(record)))
            except DocumentExists as error:
                stored = await self.read(record.user, record.id)
                if stored is not None and stored.blob_stem != record.blob_stem:
                    raise AlreadyThere(stored) from error
            if stored is not None:
                return stored
            await tries.pause()  # deleted between the two calls, or not readable here yet

    async def read(self, user: User, record_id: str) -> Record | None:
        """Return a record, or None: a point read."""
        document = await self._documents.read(user.id, record_id)
        return None if document is None else from_document(document)

    async def replace(self, record: Record) -> Record:
        """Write a new version over the one that was read. Raises Changed where that is not the newest any more."""
        document = to_document(record)
        try:
            return replace(record, etag=await self._documents.replace(document, record.etag))
        except DocumentChanged as error:
            stored = await self.read(record.user, record.id)
            if stored is not None and to_document(stored) == document:
                return stored  # this write, whose acknowledgement was lost
            raise Changed(stored) from error

    async def delete(self, record: Record) -> None:
        """Remove the record; one that does not exist is no error."""
        await self._documents.delete(record.user_id, record.id)

    async def change(self, record: Record, change: Callable[[Record], Record | None]) -> Record | None:
        """Write `change` of the stored version, again for each newer version, until it holds or `change` returns None.

        Returns the newest version: the changed one, or the stored one that `change` left alone; None where the record
        was deleted. Raises StorageUnavailable where newer versions keep coming.
        """
        stored: Record | None = record
        tries = self._backoff.start()
        while stored is not None:
            wanted = change(stored)
            if wanted is None:
                return stored
            try:
                return await self.replace(wanted)
            except Changed as changed:
                stored = changed.stored
            await tries.pause()
        return None

    async def find(self, user: User, record_id: str) -> Record | None:
        """Return the record with this id in any partition of `user`, or None."""
        for partition in user.partitions:
            record = await self.read(User(partition), record_id)
            if record is not None:
                return record
        return None

    async def page(self, user: User, limit: int, continuation: str | None) -> Page:
        """Return one page of the history, newest first, without the long fields; `limit` is 1 to 100.

        The user's partitions are merged by time. A page has fewer records than `limit` where they are long
        (PAGE_BYTES). Raises InvalidRequest where `continuation` was not issued by this API.
        """
        after = None if continuation is None else unseal(user, continuation)
        until = None if after is None else after.created_at
        runs = [
            await _read(self._documents.history(partition, LIST_FIELDS, until, limit + 1), after, limit)
            for partition in user.partitions
        ]
        # A record that was copied from one partition to the other counts once, as `find` reads it.
        by_id = {str(item["id"]): item for run in reversed(runs) for item in run.items}
        items = [by_id[record_id] for record_id in sorted(by_id)]
        items.sort(key=_time, reverse=True)  # stable: records of one time stay in the order of their ids
        # Nothing older than the end of a run that goes on: its next record may come before it.
        horizon = max((_time(run.items[-1]) for run in runs if not run.complete), default="")
        ready = [item for item in items if _time(item) >= horizon]
        return _page(user, ready, limit, complete=len(ready) == len(items) and all(run.complete for run in runs))

    async def tree(self, user: User, root_id: str, limit: int, continuation: str | None) -> Page:
        """Return one page of the generations that descend from one, oldest first, as `page` does.

        They are in one partition: the original product, which wrote others, made none.
        """
        after = None if continuation is None else unseal(user, continuation)
        since = None if after is None else after.created_at
        found = self._documents.descendants(user.id, root_id, LIST_FIELDS, since, limit + 1)
        run = await _read(found, after, limit)
        items = sorted(run.items, key=lambda item: (_time(item), item["id"]))
        return _page(user, items, limit, complete=run.complete)

    async def names_image(self, user: User, name: str) -> bool:
        """Return whether a record of the original product says that the image with this name is `user`'s."""
        for partition in user.partitions:
            if await self._documents.names_image(partition, f"/{quote(name)}"):
                return True
        return False

    async def under_way(self, user: User) -> tuple[Record, ...]:
        """Return the generations of `user` that have not ended, also those that were deleted while a process runs them.

        A running one counts until it ends, whether a process has its lease or the queue is to start it. A deleted one
        counts until its lease expires: its process may still be waiting for a model that is to be paid.
        """
        return await self._under_way(user.id)

    async def under_way_of_all_users(self) -> tuple[Record, ...]:
        """Return the same of all users."""
        return await self._under_way(None)

    async def _under_way(self, user_id: str | None) -> tuple[Record, ...]:
        found = self._documents.unended(user_id, BILLING_FIELDS, self.now())
        return tuple([from_document({"prompt": "", **document}) async for document in found])

    async def unfinished(self, limit: int = 500) -> tuple[Unfinished, ...]:
        """Return the keys of all users' records that no process works on any more, at most `limit`."""
        expired: list[Unfinished] = []
        async for document in self._documents.lease_expired(("id", "userId", "leaseExpiresAt"), self.now()):
            # Compared again: the first answer shows a process how far its clock is ahead of the database's.
            if from_iso(document["leaseExpiresAt"]) <= self.now():
                expired.append(Unfinished(document["id"], document["userId"]))
            if len(expired) == limit:
                break
        return tuple(expired)

    async def everything(self) -> AsyncIterator[Summary]:
        """Iterate over the records of all users: a scan, for reconciliation."""
        async for document in self._documents.everything(SUMMARY_FIELDS):
            yield to_summary(document)


async def _read(found: AsyncIterator[Document], after: Position | None, limit: int) -> _Run:
    """Read the records behind `after`: more than `limit` or READ_BYTES, or all there are.

    Those of one time come together, because the index has no order among them.
    """
    items: list[dict[str, Any]] = []
    size = 0
    async for item in found:
        if after is not None and _time(item) == after.created_at and item["id"] <= after.id:
            continue
        if (len(items) > limit or size > READ_BYTES) and _time(item) != _time(items[-1]):
            return _Run(items, complete=False)
        size += _bytes(item)
        items.append({**item, "inputImages": addresses(item.get("inputImages"))})
    return _Run(items, complete=True)


def _page(user: User, items: Sequence[dict[str, Any]], limit: int, *, complete: bool) -> Page:
    """Return the first of `items`: at most `limit` and PAGE_BYTES, but one. `complete`: none are behind them."""
    taken: list[dict[str, Any]] = []
    size = 0
    for item in items:
        size += _bytes(item)
        if len(taken) == limit or (taken and size > PAGE_BYTES):
            break
        taken.append(item)
    if complete and len(taken) == len(items):
        return Page(tuple(taken), None)
    return Page(tuple(taken), seal(user, Position(_time(taken[-1]), taken[-1]["id"])))


def _time(item: Mapping[str, Any]) -> str:
    return str(item["createdAt"])


def _bytes(item: Mapping[str, Any]) -> int:
    return len(json.dumps(item, ensure_ascii=False).encode())
