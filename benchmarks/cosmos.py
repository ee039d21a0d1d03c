"""Raw REST calls of Cosmos DB, for the floor and to fill a database quickly."""

import asyncio
import base64
import hmac
import json
from collections.abc import Iterable
from email.utils import formatdate
from typing import Any
from urllib.parse import quote

import aiohttp

DOCUMENTS = "dbs/catafract/colls/generations"
CONCURRENT_WRITES = 16


class Documents:
    """The container of records, accessed with the account's key. The caller closes `http`."""

    def __init__(self, http: aiohttp.ClientSession, url: str, key: str) -> None:
        self._http = http
        self._url = url
        self._key = base64.b64decode(key)

    async def create(self, item: dict[str, Any]) -> None:
        """Create an item."""
        await self._send("post", f"{DOCUMENTS}/docs", DOCUMENTS, item)

    async def replace(self, item: dict[str, Any]) -> None:
        """Replace an item."""
        at = f"{DOCUMENTS}/docs/{item['id']}"
        await self._send("put", at, at, item)

    async def create_all(self, items: Iterable[dict[str, Any]]) -> None:
        """Create many items concurrently."""
        remaining = iter(items)

        async def work() -> None:
            for item in remaining:
                await self.create(item)

        await asyncio.gather(*(work() for _ in range(CONCURRENT_WRITES)))

    async def _send(self, method: str, path: str, link: str, item: dict[str, Any]) -> None:
        """Send a signed request (learn.microsoft.com/rest/api/cosmos-db/access-control-on-cosmosdb-resources)."""
        date = formatdate(usegmt=True)
        signed = f"{method}\ndocs\n{link}\n{date.lower()}\n\n"
        signature = base64.b64encode(hmac.digest(self._key, signed.encode(), "sha256")).decode()
        headers = {
            "authorization": quote(f"type=master&ver=1.0&sig={signature}", safe=""),
            "x-ms-date": date,
            "x-ms-version": "2020-07-15",
            "x-ms-documentdb-partitionkey": json.dumps([item["userId"]]),
        }
        async with self._http.request(method, f"{self._url}/{path}", json=item, headers=headers) as answer:
            answer.raise_for_status()
            await answer.read()
