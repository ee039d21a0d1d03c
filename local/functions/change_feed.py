"""Cosmos DB triggers and outputs, as the Cosmos DB extension does them.

The trigger is at least once and in order of time: a batch is checkpointed (in the lease container) after its function has
succeeded, and is given again as the function's retry policy says; without one a batch that failed is passed over. The
emulator's own change feed is a stub, so changes are found by `_ts`: the service has the real one.
"""

import asyncio
import logging
import os
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import azure.functions as func
from azure.core.exceptions import AzureError
from azure.cosmos.aio import CosmosClient
from azure.cosmos.exceptions import CosmosResourceNotFoundError

from local.functions.application import CannotServe, Function, resolved
from local.functions.invocation import InvocationFailed, Invoker

if TYPE_CHECKING:
    from azure.identity.aio import DefaultAzureCredential

log = logging.getLogger("local.functions")

POLL_SECONDS = 5.0
"""The extension's `feedPollDelay`, where the trigger sets none."""
BATCH = 100
AWAY_PAUSE = 2.0
_SPAN = re.compile(r"(\d+):(\d{2}):(\d{2})")


class Databases:
    """The Cosmos DB accounts of an app's connections: each opened once."""

    def __init__(self) -> None:
        self._clients: dict[str, CosmosClient] = {}
        self._credential: DefaultAzureCredential | None = None

    def container(self, connection: str, database: str, container: str) -> Any:
        if connection not in self._clients:
            self._clients[connection] = self._connect(connection)
        return (
            self._clients[connection].get_database_client(resolved(database)).get_container_client(resolved(container))
        )

    def _connect(self, connection: str) -> CosmosClient:
        bounds: dict[str, Any] = {"connection_timeout": 3, "read_timeout": 10, "retry_total": 1}
        if value := os.environ.get(connection):
            return CosmosClient.from_connection_string(value, **bounds)
        if endpoint := os.environ.get(f"{connection}__accountEndpoint"):
            from azure.identity.aio import DefaultAzureCredential  # noqa: PLC0415 - only where there is no connection string

            self._credential = self._credential or DefaultAzureCredential()
            return CosmosClient(endpoint, self._credential, **bounds)
        raise CannotServe(f"the app setting {connection} is not set, which a Cosmos DB binding needs")

    async def upsert(self, connection: str, database: str, container: str, documents: Iterable[Any]) -> None:
        """Write documents, blindly, as the output binding does. Raises AzureError, OSError."""
        target = self.container(connection, database, container)
        for document in documents:
            await target.upsert_item(document.to_dict() if isinstance(document, func.Document) else dict(document))

    async def listen(self, function: Function, invoker: Invoker) -> None:
        """Run `function` for every change of its container, for ever."""
        trigger = function.trigger
        feed = ChangeFeed(
            function.name,
            self.container(trigger["connection"], trigger["databaseName"], trigger["containerName"]),
            self.container(trigger["connection"], trigger["databaseName"], trigger.get("leaseContainerName", "leases")),
            int(trigger.get("maxItemsPerInvocation", BATCH)),
        )
        retry = Retry.read(function.retry)
        pause = trigger.get("feedPollDelay", POLL_SECONDS * 1000) / 1000
        while True:
            try:
                batch = await feed.read()
                if batch:
                    await retry.run(function, invoker, [document for _, document in batch])
                    await feed.checkpoint(batch)
            except (AzureError, OSError) as error:
                log.warning("%s: the change feed does not answer: %s", function.name, type(error).__name__)
                await asyncio.sleep(AWAY_PAUSE)
                continue
            if not batch:
                await asyncio.sleep(pause)

    async def close(self) -> None:
        for client in self._clients.values():
            await client.close()
        if self._credential is not None:
            await self._credential.close()


Change = tuple[str, Mapping[str, Any]]
"""A version's own mark (its etag), and the document."""


class ChangeFeed:
    """What changed in one container since the checkpoint."""

    def __init__(self, name: str, container: Any, leases: Any, most: int) -> None:
        self._name = name
        self._container = container
        self._leases = leases
        self._most = most
        self._checkpoint: dict[str, Any] | None = None

    async def read(self) -> list[Change]:
        """The oldest changes that are not checkpointed, at most `most`; the newest version of each document."""
        if self._checkpoint is None:
            try:
                self._checkpoint = await self._leases.read_item(self._name, self._name)
            except CosmosResourceNotFoundError:
                self._checkpoint = {"id": self._name, "since": 0, "seen": []}
        since, seen = self._checkpoint["since"], set(self._checkpoint["seen"])
        query = self._container.query_items(
            "SELECT * FROM c WHERE c._ts >= @since", parameters=[{"name": "@since", "value": since}]
        )
        found = [document async for document in query if document["_etag"] not in seen]
        found.sort(key=lambda document: document["_ts"])
        return [(document["_etag"], document) for document in found[: self._most]]

    async def checkpoint(self, batch: list[Change]) -> None:
        """These are done. `_ts` counts seconds, so what was seen of the newest one is kept by its marks."""
        assert self._checkpoint is not None  # noqa: S101 - read() comes first
        newest = max(document["_ts"] for _, document in batch)
        marks = [mark for mark, document in batch if document["_ts"] == newest]
        if newest == self._checkpoint["since"]:
            marks += self._checkpoint["seen"]
        self._checkpoint = {"id": self._name, "since": newest, "seen": marks}
        await self._leases.upsert_item(self._checkpoint)


class Retry:
    """A function's retry policy: how often a failed batch is given again, and after how long."""

    def __init__(self, most: int, seconds: float) -> None:
        self._most = most
        self._seconds = seconds

    @classmethod
    def read(cls, policy: Mapping[str, Any]) -> "Retry":
        """Of a fixed delay. Without a policy a batch is given once."""
        if not policy:
            return cls(0, 0.0)
        span = _SPAN.fullmatch(str(policy.get("delay_interval", "")))
        if policy.get("strategy") != "fixed_delay" or span is None:
            raise CannotServe(f"this host does not know the retry policy {dict(policy)}")
        hours, minutes, seconds = map(int, span.groups())
        return cls(int(policy["max_retry_count"]), hours * 3600 + minutes * 60 + seconds)

    async def run(self, function: Function, invoker: Invoker, batch: list[Mapping[str, Any]]) -> None:
        """Give one batch until it succeeds or the policy is used up; then it is done with, either way."""
        tries = 0
        while True:
            documents = func.DocumentList([func.Document.from_dict(dict(document)) for document in batch])
            try:
                await invoker.invoke(function, documents)
            except InvocationFailed:
                if tries == self._most:
                    log.warning("%s: a batch of %d is passed over", function.name, len(batch))
                    return
                tries += 1
                await asyncio.sleep(self._seconds)
            else:
                return
