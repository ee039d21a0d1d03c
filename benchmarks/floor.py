"""The floor: the same remote work as the product's, with raw HTTP, no checks, no promises.

For each request: the input's copy as a blob, a record, the model's call, the picture as a blob and beside it the bill, the
record's end. The body and the answer are the product's. Nothing is verified, retried, bounded, or released early.
"""

import argparse
import asyncio
import base64
import hashlib
import json
import os
import secrets
import time
from datetime import UTC, datetime

import aiohttp
from aiohttp import web

from benchmarks.cosmos import Documents
from local.processes import wait_for_shutdown

MODEL = "gemini-3-pro-image"
USER = "floor@example.com"


class Floor:
    """`blobs` is the account's address, `sas` its signature; `model` the model's address."""

    def __init__(self, model: str, blobs: str, sas: str, cosmos: str, key: str) -> None:
        self._model = f"{model}/v1beta/models/{MODEL}:generateContent"
        self._blobs = blobs
        self._sas = sas
        self._cosmos = cosmos
        self._key = key
        self._http: aiohttp.ClientSession | None = None
        self._documents: Documents | None = None

    async def start(self, _: web.Application) -> None:
        # The emulators close what was idle for five seconds, and nothing here tries again.
        self._http = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=4))
        self._documents = Documents(self._http, self._cosmos, self._key)

    async def stop(self, _: web.Application) -> None:
        if self._http is not None:
            await self._http.close()

    @property
    def http(self) -> aiohttp.ClientSession:
        assert self._http is not None  # noqa: S101 - set before the first request
        return self._http

    @property
    def documents(self) -> Documents:
        assert self._documents is not None  # noqa: S101 - set before the first request
        return self._documents

    async def generate(self, request: web.Request) -> web.Response:
        asked = json.loads(await request.read())
        image: str = asked["images"][0]
        if image.startswith("http"):
            async with self.http.get(image) as answer:
                data = await answer.read()
            encoded = base64.b64encode(data).decode()
        else:
            encoded = image.partition(",")[2]
            data = base64.b64decode(encoded)
        await self._put(f"catafract-private/inputs/{hashlib.sha256(data).hexdigest()}.png", data)
        record = {
            "id": f"gen-{time.time_ns()}-{secrets.token_hex(8)}",
            "userId": USER,
            "prompt": asked["prompt"],
            "createdAt": datetime.now(UTC).isoformat(),
            "status": "running",
        }
        await self.documents.create(record)
        parts = [{"inlineData": {"mimeType": "image/png", "data": encoded}}, {"text": asked["prompt"]}]
        call = {"contents": [{"role": "user", "parts": parts}]}
        async with self.http.post(self._model, json=call) as answer:
            replied = await answer.json()
        made: str = replied["candidates"][0]["content"]["parts"][0]["inlineData"]["data"]
        name = f"catafract/{record['id']}.png"
        record["usage"] = replied["usageMetadata"]
        await asyncio.gather(self._put(name, base64.b64decode(made)), self.documents.replace(record))
        record |= {"status": "succeeded", "outputImageUrl": f"{self._blobs}/{name}"}
        await self.documents.replace(record)
        shown = f"data:image/png;base64,{made}" if asked.get("includeBase64", True) else None
        return web.json_response({"imageBase64": shown, "imageUrl": record["outputImageUrl"], "text": None})

    async def _put(self, name: str, data: bytes) -> None:
        headers = {"x-ms-blob-type": "BlockBlob", "x-ms-version": "2025-01-05", "Content-Type": "image/png"}
        async with self.http.put(f"{self._blobs}/{name}?{self._sas}", data=data, headers=headers) as answer:
            answer.raise_for_status()


async def main(port: int, floor: Floor) -> None:
    app = web.Application(client_max_size=120_000_000)
    app.on_startup.append(floor.start)
    app.on_cleanup.append(floor.stop)
    app.router.add_post("/api/image", floor.generate)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, backlog=1024).start()
    await wait_for_shutdown()
    await runner.cleanup()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="The floor of the benchmarks; FLOOR_… says where the services are.")
    parser.add_argument("--port", type=int, required=True)
    names = ("FLOOR_MODEL", "FLOOR_BLOBS", "FLOOR_SAS", "FLOOR_COSMOS", "FLOOR_COSMOS_KEY")
    asyncio.run(main(parser.parse_args().port, Floor(*(os.environ[name] for name in names))))
