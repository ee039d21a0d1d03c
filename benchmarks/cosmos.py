"""Raw REST calls of Cosmos DB: what the floor writes with, and what fills a database quickly."""

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
AT_ONCE = 16


class Documents:
    """The container of records, by account key. `http` is the caller's."""

    def __init__(self, http: aiohttp.ClientSession, url: str, key: str) -> None:
        self._http = http
        self._url = url
        self._key = base64.b64decode(key)

    async def create(self, item: dict[str, Any]) -> None:
        await self._send("post", f"{DOCUMENTS}/docs", DOCUMENTS, item)

    async def replace(self, item: dict[str, Any]) -> None:
        at = f"{DOCUMENTS}/docs/{item['id']}"
        await self._send("put", at, at, item)

    async def create_all(self, items: Iterable[dict[str, Any]]) -> None:
        """Many, several at once."""
        left = iter(items)

        async def work() -> None:
            for item in left:
                await self.create(item)

        await asyncio.gather(*(work() for _ in range(AT_ONCE)))

    async def _send(self, method: str, path: str, link: str, item: dict[str, Any]) -> None:
        """Signed as learn.microsoft.com/rest/api/cosmos-db/access-control-on-cosmosdb-resources says."""
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
