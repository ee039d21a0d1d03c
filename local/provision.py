"""What the product expects to be there: database, containers, queues. Safe to repeat; for emulators and the tests."""

import asyncio
from contextlib import suppress

from azure.core.exceptions import ResourceExistsError
from azure.cosmos import PartitionKey
from azure.cosmos.aio import CosmosClient
from azure.storage.blob import PublicAccess
from azure.storage.blob.aio import BlobServiceClient
from azure.storage.queue.aio import QueueServiceClient

QUEUES = ("generations", "generations-poison")


async def provision_cosmos(connection_string: str, database: str = "catafract", container: str = "generations") -> None:
    """The database, the records and the ledger, both partitioned by `/userId`, and the change feed's leases."""
    async with CosmosClient.from_connection_string(connection_string) as client:
        created = await client.create_database_if_not_exists(database)
        for name in (container, "usage"):
            await created.create_container_if_not_exists(name, PartitionKey("/userId"))
        await created.create_container_if_not_exists("leases", PartitionKey("/id"))


async def provision_storage(connection_string: str, *, public: bool) -> None:
    """The container of pictures, readable by anybody where `public`, and the private one."""
    async with BlobServiceClient.from_connection_string(connection_string) as client:
        with suppress(ResourceExistsError):
            await client.create_container("catafract", public_access=PublicAccess.BLOB if public else None)
        with suppress(ResourceExistsError):
            await client.create_container("catafract-private")


async def provision_queues(connection_string: str) -> None:
    async with QueueServiceClient.from_connection_string(connection_string) as client:
        for name in QUEUES:
            with suppress(ResourceExistsError):
                await client.create_queue(name)


def provision(cosmos: str | None, storage: str | None, *, public: bool = True) -> None:
    """Everything, in the services whose connection strings are given."""

    async def everything() -> None:
        if cosmos is not None:
            await provision_cosmos(cosmos)
        if storage is not None:
            await provision_storage(storage, public=public)
            await provision_queues(storage)

    asyncio.run(everything())
