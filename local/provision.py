"""Create the database, containers and queues of the product in emulators. Safe to repeat."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

from azure.core.exceptions import ResourceExistsError
from azure.cosmos import PartitionKey
from azure.cosmos.aio import CosmosClient
from azure.storage.blob import CorsRule, PublicAccess
from azure.storage.blob.aio import BlobServiceClient
from azure.storage.queue.aio import QueueServiceClient

QUEUES = ("generations", "generations-poison")
MAX_CORS_RULES = 5
"""Blob Storage's limit."""


@dataclass(frozen=True)
class Names:
    """Names of the database and the containers, and the origins whose pages may read images."""

    database: str = "catafract"
    records: str = "generations"
    usage: str = "usage"
    images: str = "catafract"
    private: str = "catafract-private"
    public: bool = True
    origins: tuple[str, ...] = ()

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> "Names":
        """Read the names from settings, with the product's defaults."""

        def setting(name: str, default: str) -> str:
            return environment.get(name) or default

        front = urlsplit(environment.get("NEXTAUTH_URL", ""))
        others = (origin.strip() for origin in environment.get("ALLOWED_ORIGINS", "").split(","))
        return cls(
            setting("AZURE_COSMOS_DATABASE", cls.database),
            setting("AZURE_COSMOS_CONTAINER", cls.records),
            setting("AZURE_COSMOS_USAGE_CONTAINER", cls.usage),
            setting("AZURE_STORAGE_CONTAINER", cls.images),
            setting("AZURE_STORAGE_PRIVATE_CONTAINER", cls.private),
            setting("IMAGE_ACCESS", "public") == "public",
            tuple(origin for origin in (f"{front.scheme}://{front.netloc}" if front.netloc else "", *others) if origin),
        )


DEFAULT = Names()


async def provision_cosmos(connection_string: str, names: Names = DEFAULT) -> None:
    """Create the database, the containers of records and ledger, and that of the change feed's leases."""
    async with CosmosClient.from_connection_string(connection_string) as client:
        created = await client.create_database_if_not_exists(names.database)
        for name in (names.records, names.usage):
            await created.create_container_if_not_exists(name, PartitionKey("/userId"))
        await created.create_container_if_not_exists("leases", PartitionKey("/id"))


async def provision_storage(connection_string: str, *, public: bool, names: Names = DEFAULT) -> None:
    """Create the container of images, readable by all if `public`, the private one, and the account's CORS rule."""
    async with BlobServiceClient.from_connection_string(connection_string) as client:
        with suppress(ResourceExistsError):
            await client.create_container(names.images, public_access=PublicAccess.BLOB if public else None)
        with suppress(ResourceExistsError):
            await client.create_container(names.private)
        if names.origins:
            await _allow(client, names.origins)


def cors_rule(origins: tuple[str, ...]) -> CorsRule:
    """Return the rule of `infra/modules/image-storage.bicep`."""
    return CorsRule(
        list(origins),
        ["GET", "HEAD"],
        allowed_headers=[
            *("range", "if-none-match", "if-range", "cache-control"),
            *("traceparent", "tracestate", "baggage", "sentry-trace", "request-id", "request-context"),
            "x-ms-*",
        ],
        exposed_headers=["content-length", "content-type", "content-range", "accept-ranges", "etag"],
        max_age_in_seconds=3600,
    )


async def _allow(client: BlobServiceClient, origins: tuple[str, ...]) -> None:
    """Add the rule for `origins` to the existing ones."""
    rules: list[CorsRule] = list((await client.get_service_properties())["cors"] or [])
    known = {origin for rule in rules for origin in rule.allowed_origins.split(",")}
    if "*" in known or known >= set(origins) or len(rules) >= MAX_CORS_RULES:
        return
    await client.set_service_properties(cors=[cors_rule(origins), *rules])


async def provision_queues(connection_string: str) -> None:
    """Create the queue of generations and its poison queue."""
    async with QueueServiceClient.from_connection_string(connection_string) as client:
        for name in QUEUES:
            with suppress(ResourceExistsError):
                await client.create_queue(name)


def provision(cosmos: str | None, storage: str | None, queues: str | None = None, names: Names = DEFAULT) -> None:
    """Create everything in the given services. Without `queues`, the queues are created in `storage`."""

    async def everything() -> None:
        if cosmos is not None:
            await provision_cosmos(cosmos, names)
        if storage is not None:
            await provision_storage(storage, public=names.public, names=names)
        if (account := queues or storage) is not None:
            await provision_queues(account)

    asyncio.run(everything())
