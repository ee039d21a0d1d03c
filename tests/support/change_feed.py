"""The function that writes the ledger, called with the records that changed, without a host."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import azure.functions as func
from azure.cosmos.aio import CosmosClient

from local.emulators import cosmos_connection_string
from tests.support.harness import Harness


class Feed:
    """The change feed of one application's records; each `deliver` is one call, and nothing is kept between calls."""

    def __init__(self, product: Harness, client: CosmosClient) -> None:
        self._product = product
        database = client.get_database_client("catafract")
        self._records = database.get_container_client("generations")
        self._usage = database.get_container_client("usage")

    async def changed(self) -> list[dict[str, Any]]:
        """Return this user's current records."""
        found = self._records.query_items(
            "SELECT * FROM c WHERE c.userId = @user",
            parameters=[{"name": "@user", "value": self._product.email}],
            partition_key=self._product.email,
        )
        return [dict(item) async for item in found]

    async def deliver(self, documents: list[dict[str, Any]] | None = None) -> None:
        """Pass the records to the function as the binding's documents, as the host does."""
        changed = await self.changed() if documents is None else documents
        bound = [func.Document.from_dict(document) for document in changed]
        await self._product.app.process_changes([each.to_dict() for each in bound])

    async def entries(self) -> list[dict[str, Any]]:
        """Return this user's ledger entries, in order, without the database's own fields."""
        found = self._usage.query_items(
            "SELECT * FROM c WHERE c.userId = @user AND IS_DEFINED(c.time)",
            parameters=[{"name": "@user", "value": self._product.email}],
            partition_key=self._product.email,
        )
        written = [{name: value for name, value in item.items() if not name.startswith("_")} async for item in found]
        return sorted(written, key=lambda item: str(item["id"]))

    async def usd(self) -> float:
        """Return the sum of this user's ledger entries."""
        return round(sum(entry["usd"] or 0.0 for entry in await self.entries()), 6)

    async def remove_record(self, document: dict[str, Any]) -> None:
        """Remove a record, as another process does at the end of a deletion."""
        await self._records.delete_item(document["id"], document["userId"])

    async def edit(self, document: dict[str, Any]) -> None:
        """Write a record as an operator with access to the database would."""
        await self._records.upsert_item(document)

    async def remove(self, item_id: str) -> None:
        """Remove an item of this user's ledger."""
        await self._usage.delete_item(item_id, self._product.email)


@asynccontextmanager
async def feed(product: Harness) -> AsyncIterator[Feed]:
    """Open the change feed of an application's records."""
    async with CosmosClient.from_connection_string(cosmos_connection_string(product.cosmos.target)) as client:
        yield Feed(product, client)
