"""The records in Cosmos DB, and who may write them.

Every write is conditional: a create on there being none, a replace on the version that was read. An acknowledgement that
was lost on the way is told from a conflict by what is stored: my own random stem or lease means that my write arrived.
"""

import base64
import hashlib
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from urllib.parse import quote

from azure.core import MatchConditions
from azure.cosmos.exceptions import (
    CosmosAccessConditionFailedError,
    CosmosResourceExistsError,
    CosmosResourceNotFoundError,
)

from image_core.auth.user import User
from image_core.clock import iso
from image_core.errors import InvalidRequest
from image_core.generations.record import Record
from image_core.generations.record_codec import addresses, from_document, to_document
from image_core.storage.cosmos import Cosmos

LIST_FIELDS = (
    "id,userId,prompt,inputImages,outputImageUrl,createdAt,completedAt,status,model,mimeType,width,height,usage,options,"
    "error,warnings,parentId,rootId"
)
"""What a page of the history shows: everything but the long fields."""

BILL_FIELDS = "c.id,c.userId,c.status,c.options,c.attempts,c.warnings,c.createdAt,c.completedAt,c.leaseExpiresAt,c.leaseOwner,c.runId,c.attemptCount,c.expectedUsd"
UNDER_WAY = (
    "IS_DEFINED(c.leaseExpiresAt) AND (c.status = 'running' OR (IS_STRING(c.leaseOwner) AND c.leaseExpiresAt > @now))"
)
"""A running one counts until it ends, whether a process has its lease or the queue is to start it. A deleted one counts until its
lease is over: its process may still be waiting for a model that is to be paid."""


PAGE_BYTES = 1_000_000
"""The longest page of the history, as long as it has more than one record."""

READ_BYTES = 4_000_000
"""After so many bytes of records the reading of a page ends: records of the original product may hold whole images."""

MARK_BYTES = 6
MAX_CONTINUATION_CHARACTERS = 2000


class AlreadyThere(Exception):
    """A record with this id exists; `stored` is it."""

    def __init__(self, stored: Record) -> None:
        super().__init__(stored.id)
        self.stored = stored


class Changed(Exception):
    """Somebody else wrote since the record was read; `stored` is what is there now, None where it is gone."""

    def __init__(self, stored: Record | None) -> None:
        super().__init__()
        self.stored = stored


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a user's records, in order, as documents; `continuation` is None on the last."""

    items: tuple[dict[str, Any], ...]
    continuation: str | None


@dataclass(frozen=True, slots=True)
class Position:
    """The last record of a page. Of two records of the same moment the one with the smaller id comes first."""

    created_at: str
    id: str


@dataclass(frozen=True, slots=True)
class _Selection:
    """Which records are listed, and in which order. The conditions take the parameters @user, @time and @root."""

    condition: str
    order: str
    start: str
    """Before the time of any record, in this order."""


# The original product wrote no status, and a comparison with what is not there is never true.
_HISTORY = _Selection(
    "c.createdAt <= @time AND (NOT IS_DEFINED(c.status) OR c.status != 'deleting')", "c.createdAt DESC", "~"
)
_TREE = _Selection("c.rootId = @root AND c.createdAt >= @time AND c.status != 'deleting'", "c.createdAt ASC", "")


@dataclass(frozen=True, slots=True)
class _Run:
    """Records of one partition in their order. `complete`: there are no more behind them."""

    items: list[dict[str, Any]]
    complete: bool


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A record on which something is left to do."""

    id: str
    user_id: str


@dataclass(frozen=True, slots=True)
class Summary:
    """What an audit has to know of a record."""

    id: str
    user_id: str
    status: str
    blob_stem: str | None
    output_image_url: str | None
    lease_expires_at: str | None


class Records:
    """Raises StorageUnavailable from every method while Cosmos DB does not answer."""

    def __init__(self, cosmos: Cosmos) -> None:
        self._cosmos = cosmos

    def now(self) -> datetime:
        """The database's time: what leases are written and compared with."""
        return self._cosmos.now()

    async def pause(self, tries: int) -> None:
        """`Cosmos.pause`."""
        await self._cosmos.pause(tries)

    async def create(self, record: Record) -> Record:
        """Write a new record. Raises AlreadyThere where its id is taken by another record."""
        tries = 0
        while True:
            try:
                async with self._cosmos.container() as container:
                    item = await container.create_item(to_document(record))
            except CosmosResourceExistsError as error:
                stored = await self.read(record.user, record.id)
                if stored is None:  # deleted between the two calls, or not readable here yet
                    tries += 1
                    await self._cosmos.pause(tries)
                    continue
                if stored.blob_stem != record.blob_stem:
                    raise AlreadyThere(stored) from error
                return stored
            return replace(record, etag=item["_etag"])

    async def read(self, user: User, record_id: str) -> Record | None:
        """A point read: one request unit for each kilobyte."""
        try:
            async with self._cosmos.container() as container:
                return from_document(await container.read_item(record_id, user.id))
        except CosmosResourceNotFoundError:
            return None

    async def replace(self, record: Record) -> Record:
        """Write a new version over the one that was read. Raises Changed where that is no longer the newest."""
        try:
            async with self._cosmos.container() as container:
                item = await container.replace_item(
                    record.id, to_document(record), etag=record.etag, match_condition=MatchConditions.IfNotModified
                )
        except (CosmosAccessConditionFailedError, CosmosResourceNotFoundError) as error:
            stored = await self.read(record.user, record.id)
            if stored is not None and to_document(stored) == to_document(record):
                return stored  # my own write, whose acknowledgement was lost
            raise Changed(stored) from error
        return replace(record, etag=item["_etag"])

    async def delete(self, record: Record) -> None:
        """Remove the record; one that is gone already is fine."""
        with suppress(CosmosResourceNotFoundError):
            async with self._cosmos.container() as container:
                await container.delete_item(record.id, record.user_id)

    async def change(self, record: Record, change: Callable[[Record], Record | None]) -> Record | None:
        """Replace what is stored by `change` of it, again with each newer version, until it holds or `change` gives None.

        Returns the version in force afterwards: the changed one, or the stored one that `change` left alone; None where
        the record is gone. Raises StorageUnavailable where newer versions keep coming.
        """
        stored: Record | None = record
        tries = 0
        while stored is not None:
            wanted = change(stored)
            if wanted is None:
                return stored
            try:
                return await self.replace(wanted)
            except Changed as changed:
                stored = changed.stored
            tries += 1
            await self._cosmos.pause(tries)
        return None

    async def find(self, user: User, record_id: str) -> Record | None:
        """The record with this id in any partition of `user`."""
        for partition in user.partitions:
            record = await self.read(User(partition), record_id)
            if record is not None:
                return record
        return None

    async def page(self, user: User, limit: int, continuation: str | None) -> Page:
        """One page of the history, newest first, without the long fields; `limit` is 1 to 100.

        The user's partitions are merged by time. A page has fewer records than `limit` where they are long (PAGE_BYTES).
        Raises InvalidRequest where `continuation` was not issued by this API.
        """
        after = None if continuation is None else _unseal(user, continuation)
        runs = [await self._behind(partition, _HISTORY, after, limit) for partition in user.partitions]
        # A record that was copied from one partition to the other counts once, as `find` reads it.
        by_id = {str(item["id"]): item for run in reversed(runs) for item in run.items}
        items = [by_id[record_id] for record_id in sorted(by_id)]
        items.sort(key=_time, reverse=True)  # stable: records of one moment stay in the order of their ids
        # Nothing older than the end of a run that goes on: its next record may come before it.
        horizon = max((_time(run.items[-1]) for run in runs if not run.complete), default="")
        ready = [item for item in items if _time(item) >= horizon]
        return _page(user, ready, limit, complete=len(ready) == len(items) and all(run.complete for run in runs))

    async def tree(self, user: User, root_id: str, limit: int, continuation: str | None) -> Page:
        """One page of the generations that descend from one, oldest first, as `page` gives them.

        They are in one partition: the original product, which wrote others, made none.
        """
        after = None if continuation is None else _unseal(user, continuation)
        run = await self._behind(user.id, _TREE, after, limit, root_id)
        items = sorted(run.items, key=lambda item: (_time(item), item["id"]))
        return _page(user, items, limit, complete=run.complete)

    async def _behind(
        self, partition: str, selection: _Selection, after: "Position | None", limit: int, root_id: str = ""
    ) -> "_Run":
        """The records of one partition behind `after`, in order: more than `limit` or READ_BYTES, else all there are.

        Those of one moment come together: the index knows no order among them.
        """
        fields = ",".join(f"c.{name}" for name in LIST_FIELDS.split(","))
        values = {
            "@user": partition,
            "@time": selection.start if after is None else after.created_at,
            "@root": root_id,
        }
        items: list[dict[str, Any]] = []
        size = 0
        async with self._cosmos.container() as container:
            found = container.query_items(
                f"SELECT {fields} FROM c"  # noqa: S608 - the fields and conditions are ours
                f" WHERE c.userId = @user AND {selection.condition} ORDER BY {selection.order}",
                parameters=[{"name": name, "value": value} for name, value in values.items()],
                partition_key=partition,
                max_item_count=limit + 1,
            )
            async for item in found:
                if after is not None and _time(item) == after.created_at and item["id"] <= after.id:
                    continue
                if (len(items) > limit or size > READ_BYTES) and _time(item) != _time(items[-1]):
                    return _Run(items, complete=False)
                size += _bytes(item)
                items.append({**item, "inputImages": addresses(item.get("inputImages"))})
        return _Run(items, complete=True)

    async def names_image(self, user: User, name: str) -> bool:
        """Whether a record of the original product says that the image with this name is `user`'s."""
        for partition in user.partitions:
            async with self._cosmos.container() as container:
                counts = container.query_items(
                    "SELECT VALUE COUNT(1) FROM c WHERE c.userId = @user AND NOT IS_DEFINED(c.blobStem)"
                    " AND CONTAINS(c.outputImageUrl, @name)",
                    parameters=[{"name": "@user", "value": partition}, {"name": "@name", "value": f"/{quote(name)}"}],
                    partition_key=partition,
                )
                if sum([int(str(count)) async for count in counts]):
                    return True
        return False

    async def under_way(self, user: User) -> tuple[Record, ...]:
        """The generations of `user` that have not ended, also those that were deleted while a process runs them."""
        return await self._bills(f"c.userId = @user AND {UNDER_WAY}", {"user": user.id}, user.id)

    async def under_way_of_all_users(self) -> tuple[Record, ...]:
        """The same of all users: from all partitions, led there by the index of the leases."""
        return await self._bills(UNDER_WAY, {}, None)

    async def _bills(self, where: str, values: dict[str, str], partition: str | None) -> tuple[Record, ...]:
        """Records with what a bill needs, and without their long fields."""
        async with self._cosmos.container() as container:
            options: dict[str, Any] = {} if partition is None else {"partition_key": partition}
            found = container.query_items(
                f"SELECT {BILL_FIELDS} FROM c WHERE {where}",  # noqa: S608 - the fields and conditions are ours
                parameters=[
                    {"name": f"@{name}", "value": value} for name, value in {**values, "now": iso(self.now())}.items()
                ],
                **options,
            )
            return tuple([from_document({"prompt": "", **item}) async for item in found])

    async def unfinished(self, limit: int = 500) -> tuple[Unfinished, ...]:
        """Records that no process works on any more, at most `limit`, from all partitions.

        Only unfinished records have a `leaseExpiresAt`, so the index leads to them and to nothing else.
        """
        async with self._cosmos.container() as container:
            found = container.query_items(
                "SELECT c.id, c.userId, c.leaseExpiresAt FROM c WHERE c.leaseExpiresAt <= @now",
                parameters=[{"name": "@now", "value": iso(self.now())}],
                max_item_count=100,
            )
            lapsed: list[Unfinished] = []
            async for item in found:
                # Compared again: the first answer tells a process how far its clock is ahead of the database's.
                if item["leaseExpiresAt"] <= iso(self.now()):
                    lapsed.append(Unfinished(item["id"], item["userId"]))
                if len(lapsed) == limit:
                    break
        return tuple(lapsed)

    async def everything(self) -> AsyncIterator[Summary]:
        """Every record of everybody: a scan, for an audit and nothing else."""
        async with self._cosmos.container(seconds=None) as container:
            found = container.query_items(
                "SELECT c.id, c.userId, c.status, c.blobStem, c.outputImageUrl, c.leaseExpiresAt FROM c"
            )
            async for item in found:
                yield Summary(
                    item["id"],
                    item["userId"],
                    item.get("status") or "succeeded",
                    item.get("blobStem"),
                    item.get("outputImageUrl"),
                    item.get("leaseExpiresAt"),
                )

    async def close(self) -> None:
        await self._cosmos.close()


def _mark(user: User, token: bytes) -> bytes:
    return hashlib.sha256(user.id.encode() + b"\0" + token).digest()[:MARK_BYTES]


def _page(user: User, items: Sequence[dict[str, Any]], limit: int, *, complete: bool) -> Page:
    """The first of `items`: at most `limit`, and PAGE_BYTES beyond the first. `complete`: there are no more behind them."""
    taken: list[dict[str, Any]] = []
    size = 0
    for item in items:
        size += _bytes(item)
        if len(taken) == limit or (taken and size > PAGE_BYTES):
            break
        taken.append(item)
    if complete and len(taken) == len(items):
        return Page(tuple(taken), None)
    return Page(tuple(taken), _seal(user, Position(_time(taken[-1]), taken[-1]["id"])))


def _time(item: Mapping[str, Any]) -> str:
    return str(item["createdAt"])


def _bytes(item: Mapping[str, Any]) -> int:
    return len(json.dumps(item, ensure_ascii=False).encode())


def _seal(user: User, position: Position) -> str:
    """A position as one word for a URL, marked so that a broken or borrowed one is known."""
    raw = json.dumps([position.created_at, position.id], ensure_ascii=False).encode()
    return base64.urlsafe_b64encode(_mark(user, raw) + raw).decode().rstrip("=")


def _unseal(user: User, sealed: str) -> Position:
    """The position of a continuation. Raises InvalidRequest."""
    refused = InvalidRequest("The continuation was not issued by this API", field="continuation")
    if len(sealed) > MAX_CONTINUATION_CHARACTERS:
        raise refused
    try:
        raw = base64.b64decode(sealed + "=" * (-len(sealed) % 4), altchars=b"-_", validate=True)
        fields = json.loads(raw[MARK_BYTES:])
    except (ValueError, RecursionError):
        raise refused from None
    match fields:
        case [str(created_at), str(record_id)] if raw[:MARK_BYTES] == _mark(user, raw[MARK_BYTES:]):
            return Position(created_at, record_id)
    raise refused
