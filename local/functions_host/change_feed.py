"""Cosmos DB triggers, with the rules of Azure's Cosmos DB extension.

Delivery is at least once and in order of time. A batch is checkpointed in the lease container after its function has
succeeded. A batch that failed is delivered again as the function's retry policy says; without a policy it is skipped.
The emulator has no change feed, so changes are found by polling `_ts`.
"""

import asyncio
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import azure.functions as func
from azure.core.exceptions import AzureError
from azure.cosmos.aio import ContainerProxy, CosmosClient
from azure.cosmos.exceptions import CosmosResourceNotFoundError

from local.functions_host.app import CannotServe, Function, parse_time_span, resolve_settings
from local.functions_host.invocation import InvocationFailed, Invoker

if TYPE_CHECKING:
    from azure.identity.aio import DefaultAzureCredential

log = logging.getLogger("local.functions_host")

POLL_SECONDS = 5.0
"""The extension's `feedPollDelay`, where the trigger sets none."""
MAX_BATCH = 100
"""The extension's `maxItemsPerInvocation`, where the trigger sets none."""
OUTAGE_PAUSE_SECONDS = 2.0


class Databases:
    """The Cosmos DB accounts of an app's connections, each opened once."""

    def __init__(self) -> None:
        self._clients: dict[str, CosmosClient] = {}
        self._credential: DefaultAzureCredential | None = None

    def container(self, connection: str, database: str, container: str) -> ContainerProxy:
        """Return a client of the container. Raises CannotServe."""
        if connection not in self._clients:
            self._clients[connection] = self._connect(connection)
        client = self._clients[connection].get_database_client(resolve_settings(database))
        return client.get_container_client(resolve_settings(container))

    def _connect(self, connection: str) -> CosmosClient:
        bounds: dict[str, Any] = {"connection_timeout": 3, "read_timeout": 10, "retry_total": 1}
        if value := os.environ.get(connection):
            return CosmosClient.from_connection_string(value, **bounds)
        if endpoint := os.environ.get(f"{connection}__accountEndpoint"):
            from azure.identity.aio import DefaultAzureCredential  # noqa: PLC0415 - only where there is no connection string

            self._credential = self._credential or DefaultAzureCredential()
            return CosmosClient(endpoint, self._credential, **bounds)
        raise CannotServe(f"a Cosmos DB binding needs the app setting {connection}, which is not set")

    async def listen(self, function: Function, invoker: Invoker) -> None:
        """Invoke `function` for every change of its container, until cancelled."""
        trigger = function.trigger
        feed = ChangeFeed(
            function.name,
            self.container(trigger["connection"], trigger["databaseName"], trigger["containerName"]),
            self.container(trigger["connection"], trigger["databaseName"], trigger.get("leaseContainerName", "leases")),
            int(trigger.get("maxItemsPerInvocation", MAX_BATCH)),
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
                await asyncio.sleep(OUTAGE_PAUSE_SECONDS)
                continue
            if not batch:
                await asyncio.sleep(pause)

    async def close(self) -> None:
        """Close all connections."""
        for client in self._clients.values():
            await client.close()
        if self._credential is not None:
            await self._credential.close()


Change = tuple[str, Mapping[str, Any]]
"""The etag of a document's version, and the document."""


class ChangeFeed:
    """The changes of one container since the checkpoint, which is kept in another."""

    def __init__(self, name: str, container: ContainerProxy, leases: ContainerProxy, max_items: int) -> None:
        self._name = name
        self._container = container
        self._leases = leases
        self._max_items = max_items
        self._checkpoint: dict[str, Any] | None = None

    async def read(self) -> list[Change]:
        """Return the oldest changes after the checkpoint, at most `max_items`: of each document its newest version."""
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
        return [(document["_etag"], document) for document in found[: self._max_items]]

    async def checkpoint(self, batch: list[Change]) -> None:
        """Record that `batch` is done. `_ts` counts seconds, so the etags of the newest second are kept as well."""
        assert self._checkpoint is not None  # noqa: S101 - read() comes first
        newest = max(document["_ts"] for _, document in batch)
        etags = [etag for etag, document in batch if document["_ts"] == newest]
        if newest == self._checkpoint["since"]:
            etags += self._checkpoint["seen"]
        self._checkpoint = {"id": self._name, "since": newest, "seen": etags}
        await self._leases.upsert_item(self._checkpoint)


@dataclass(frozen=True, slots=True)
class Retry:
    """A function's retry policy: how often a failed batch is delivered again, and after how long."""

    max_retries: int
    """-1: without limit."""
    delay: timedelta

    @classmethod
    def read(cls, policy: Mapping[str, Any]) -> "Retry":
        """Read a policy of a fixed delay. Without a policy a batch is delivered once. Raises CannotServe."""
        if not policy:
            return cls(0, timedelta())
        delay = parse_time_span(str(policy.get("delay_interval", "")))
        if policy.get("strategy") != "fixed_delay" or delay is None:
            raise CannotServe(f"this host does not support the retry policy {dict(policy)}")
        return cls(int(policy["max_retry_count"]), delay)

    async def run(self, function: Function, invoker: Invoker, batch: list[Mapping[str, Any]]) -> None:
        """Deliver one batch until it succeeds or the retries are used up."""
        tries = 0
        while True:
            documents = func.DocumentList([func.Document.from_dict(dict(document)) for document in batch])
            try:
                await invoker.invoke(function, documents)
            except InvocationFailed:
                if tries == self.max_retries:
                    log.warning("%s: a batch of %d is skipped: its retries are used up", function.name, len(batch))
                    return
                tries += 1
                await asyncio.sleep(self.delay.total_seconds())
            else:
                return
