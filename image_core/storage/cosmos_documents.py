"""The containers of documents on Cosmos DB: every SQL query of the product."""

import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from http import HTTPStatus
from typing import Any

from azure.core import MatchConditions
from azure.cosmos.exceptions import (
    CosmosAccessConditionFailedError,
    CosmosBatchOperationError,
    CosmosResourceExistsError,
    CosmosResourceNotFoundError,
)

from image_core.clock import iso
from image_core.errors import StorageUnavailable
from image_core.storage.cosmos import CALL_SECONDS, Cosmos
from image_core.storage.documents import (
    OLD_SUMS,
    Create,
    Document,
    DocumentChanged,
    DocumentExists,
    Replace,
    WriteConflict,
)

log = logging.getLogger("image_core.storage")

_CONFLICTS = {HTTPStatus.CONFLICT, HTTPStatus.PRECONDITION_FAILED, HTTPStatus.NOT_FOUND}


class CosmosDocuments:
    """One container. Implements `Documents`."""

    def __init__(self, cosmos: Cosmos, container: str) -> None:
        self._cosmos = cosmos
        self._name = container

    def now(self) -> datetime:
        """Return the database's time, as far as its answers have shown it."""
        return self._cosmos.now()

    async def create(self, document: Document) -> str:
        """Store a new document and return its etag. Raises DocumentExists."""
        try:
            async with self._cosmos.container(self._name) as container:
                stored = await container.create_item(dict(document))
        except CosmosResourceExistsError as error:
            raise DocumentExists(document["id"]) from error
        return str(stored["_etag"])

    async def read(self, user_id: str, document_id: str) -> Document | None:
        """Return a document, or None: a point read, one request unit for each kilobyte."""
        try:
            async with self._cosmos.container(self._name) as container:
                return dict(await container.read_item(document_id, user_id))
        except CosmosResourceNotFoundError:
            return None

    async def replace(self, document: Document, etag: str) -> str:
        """Store a new version over the version `etag` and return the new etag. Raises DocumentChanged."""
        try:
            async with self._cosmos.container(self._name) as container:
                stored = await container.replace_item(
                    document["id"], dict(document), etag=etag, match_condition=MatchConditions.IfNotModified
                )
        except (CosmosAccessConditionFailedError, CosmosResourceNotFoundError) as error:
            raise DocumentChanged(document["id"]) from error
        return str(stored["_etag"])

    async def delete(self, user_id: str, document_id: str) -> None:
        """Delete a document; one that does not exist is no error."""
        try:
            async with self._cosmos.container(self._name) as container:
                await container.delete_item(document_id, user_id)
        except CosmosResourceNotFoundError:
            return

    async def write_batch(self, user_id: str, writes: Sequence[Create | Replace]) -> None:
        """Apply all of at most MAX_BATCH writes to one user's documents, or none. Raises WriteConflict."""
        async with self._cosmos.container(self._name) as container:
            try:
                await container.execute_item_batch([_operation(write) for write in writes], user_id)
            except CosmosBatchOperationError as error:
                if error.status_code in _CONFLICTS:
                    raise WriteConflict(user_id) from error
                log.warning("cosmos answered %s to a batch", error.status_code)
                raise StorageUnavailable from error

    async def _query(
        self,
        sql: str,
        parameters: Mapping[str, str],
        user_id: str | None = None,
        *,
        page_size: int | None = None,
        seconds: float | None = CALL_SECONDS,
    ) -> AsyncIterator[Any]:
        """Iterate over the results of a query, of one user's partition or of all, for at most `seconds` in all."""
        options: dict[str, Any] = {} if user_id is None else {"partition_key": user_id}
        named: list[dict[str, object]] = [{"name": f"@{name}", "value": value} for name, value in parameters.items()]
        deadline = None if seconds is None else self._cosmos.clock.deadline(seconds)
        pages: Any = None
        while True:
            async with self._cosmos.container(self._name, None if deadline is None else deadline.remaining()) as items:
                if pages is None:
                    pages = items.query_items(sql, parameters=named, max_item_count=page_size, **options).by_page()
                try:
                    results = [result async for result in await anext(pages)]
                except StopAsyncIteration:
                    return
            # Outside of the call's time limit: the consumer decides when it goes on.
            for result in results:
                yield result


class CosmosGenerations(CosmosDocuments):
    """The container of the records. Implements `GenerationDocuments`."""

    def history(
        self, user_id: str, fields: Sequence[str], until: str | None, page_size: int
    ) -> AsyncIterator[Document]:
        """Iterate over a user's documents, newest first, in the order of the index."""
        # The original product wrote no status, and a comparison with a field that is missing is never true.
        visible = "(NOT IS_DEFINED(c.status) OR c.status != 'deleting')"
        before = "" if until is None else " AND c.createdAt <= @until"
        return self._query(
            f"{_select(fields)} WHERE c.userId = @user AND {visible}{before} ORDER BY c.createdAt DESC",
            {"user": user_id} | ({} if until is None else {"until": until}),
            user_id,
            page_size=page_size,
        )

    def descendants(
        self, user_id: str, root_id: str, fields: Sequence[str], since: str | None, page_size: int
    ) -> AsyncIterator[Document]:
        """Iterate over a user's documents of one chain, oldest first, in the order of the index."""
        after = "" if since is None else " AND c.createdAt >= @since"
        return self._query(
            f"{_select(fields)} WHERE c.userId = @user AND c.rootId = @root AND c.status != 'deleting'{after}"
            " ORDER BY c.createdAt ASC",
            {"user": user_id, "root": root_id} | ({} if since is None else {"since": since}),
            user_id,
            page_size=page_size,
        )

    def unended(self, user_id: str | None, fields: Sequence[str], now: datetime) -> AsyncIterator[Document]:
        """Iterate over the documents that can still cost money; the index of the leases leads to them."""
        condition = (
            "IS_DEFINED(c.leaseExpiresAt)"
            " AND (c.status = 'running' OR (IS_STRING(c.leaseOwner) AND c.leaseExpiresAt > @now))"
        )
        if user_id is None:
            return self._query(f"{_select(fields)} WHERE {condition}", {"now": iso(now)})
        sql = f"{_select(fields)} WHERE c.userId = @user AND {condition}"
        return self._query(sql, {"user": user_id, "now": iso(now)}, user_id)

    def lease_expired(self, fields: Sequence[str], now: datetime) -> AsyncIterator[Document]:
        """Iterate over all users' documents with an expired lease; the index of the leases leads to them."""
        return self._query(f"{_select(fields)} WHERE c.leaseExpiresAt <= @now", {"now": iso(now)})

    async def names_image(self, user_id: str, path_end: str) -> bool:
        """Return whether a record without `blobStem` has an `outputImageUrl` that contains `path_end`."""
        counts = self._query(
            "SELECT VALUE COUNT(1) FROM c WHERE c.userId = @user AND NOT IS_DEFINED(c.blobStem)"
            " AND CONTAINS(c.outputImageUrl, @end)",
            {"user": user_id, "end": path_end},
            user_id,
        )
        return sum([int(count) async for count in counts]) > 0

    def everything(self, fields: Sequence[str]) -> AsyncIterator[Document]:
        """Iterate over all documents: a scan, without a limit of time."""
        return self._query(_select(fields), {}, seconds=None)


class CosmosLedger(CosmosDocuments):
    """The container of the ledger. Implements `LedgerDocuments`."""

    async def spent_by_users(self, period: str) -> Sequence[float]:
        """Return the `budgetUsd` of each user's sum of a day or a month: an index entry for each."""
        spent = self._query("SELECT VALUE c.budgetUsd FROM c WHERE c.period = @period", {"period": period})
        return [float(usd) async for usd in spent]

    def entries(self, user_id: str, fields: Sequence[str], since: str, until: str) -> AsyncIterator[Document]:
        """Iterate over a user's entries of a time."""
        return self._query(
            f"{_select(fields)} WHERE c.userId = @user AND c.time >= @since AND c.time < @until",
            {"user": user_id, "since": since, "until": until},
            user_id,
        )

    def entries_of_all_users(self, fields: Sequence[str], since: str, until: str) -> AsyncIterator[Document]:
        """Iterate over all users' entries of a time: a scan, without a limit of time."""
        return self._query(
            f"{_select(fields)} WHERE c.userId != @old AND c.time >= @since AND c.time < @until",
            {"old": OLD_SUMS, "since": since, "until": until},
            seconds=None,
        )


def _select(fields: Sequence[str]) -> str:
    return f"SELECT {','.join(f'c.{field}' for field in fields)} FROM c"  # noqa: S608 - the repositories' own names


def _operation(write: Create | Replace) -> tuple[Any, ...]:
    if isinstance(write, Create):
        return "create", (dict(write.document),)
    return "replace", (write.document["id"], dict(write.document)), {"if_match_etag": write.etag}
