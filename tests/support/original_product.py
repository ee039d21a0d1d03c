"""Blobs and records as the original product wrote them."""

from typing import Any
from urllib.parse import quote

from azure.cosmos.aio import CosmosClient
from azure.storage.blob.aio import BlobServiceClient

from local.emulators import cosmos_connection_string
from tests.support.harness import Harness


async def put_blob(product: Harness, name: str, data: bytes) -> str:
    """Store a blob without metadata, as the original product did, and return its URL, encoded once."""
    async with BlobServiceClient.from_connection_string(product.environment["DIRECT_STORAGE"]) as client:
        await client.get_blob_client("catafract", name).upload_blob(data, overwrite=True)
    return f"{product.blob_base}/catafract/{quote(name, safe='')}"


async def put_record(product: Harness, user_id: str, record_id: str, created_at: str, **fields: Any) -> None:
    """Store a record as the original product did."""
    item = {
        "id": record_id,
        "userId": user_id,
        "prompt": "as it was",
        "inputImages": ["https://example.com/a.png"],
        "outputImageUrl": "https://example.com/b.png",
        "createdAt": created_at,
        **fields,
    }
    async with CosmosClient.from_connection_string(cosmos_connection_string(product.cosmos.target)) as client:
        await client.get_database_client("catafract").get_container_client("generations").create_item(item)
