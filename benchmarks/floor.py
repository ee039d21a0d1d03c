"""The floor: a bare aiohttp server that does the product's remote work with raw HTTP.

For each request it stores the input as a blob, creates a record, calls the model, stores the image as a blob while it
writes the usage, and completes the record. Requests and answers are those of the product. Nothing is verified, retried,
limited or released early.
"""

import argparse
import asyncio
import base64
import hashlib
import json
import os
import secrets
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

import aiohttp
from aiohttp import web

from benchmarks.cosmos import Documents
from local.processes import wait_for_shutdown

MODEL = "gemini-3-pro-image"
USER = "floor@example.com"


@dataclass(frozen=True, slots=True)
class Services:
    """Where the floor's services are: addresses, Blob Storage's SAS and Cosmos DB's key."""

    gemini: str
    blobs: str
    sas: str
    cosmos: str
    cosmos_key: str

    def environment(self) -> dict[str, str]:
        """Return the variables from which the floor's process reads them."""
        return {f"FLOOR_{name.upper()}": value for name, value in asdict(self).items()}

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> "Services":
        """Read them from a process's environment."""
        names = ("gemini", "blobs", "sas", "cosmos", "cosmos_key")
        return cls(*(environment[f"FLOOR_{name.upper()}"] for name in names))


def command(port: int) -> list[str]:
    """Return the command line that serves the floor on `port`."""
    return [sys.executable, "-m", __name__, "--port", str(port)]


class Floor:
    """Answers `POST /api/image`."""

    def __init__(self, services: Services) -> None:
        self._model = f"{services.gemini}/v1beta/models/{MODEL}:generateContent"
        self._services = services
        self._http: aiohttp.ClientSession | None = None
        self._documents: Documents | None = None

    async def start(self, _: web.Application) -> None:
        """Open the connection pool."""
        # The emulators close connections that were idle for five seconds, and nothing here is retried.
        self._http = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=4))
        self._documents = Documents(self._http, self._services.cosmos, self._services.cosmos_key)

    async def close(self, _: web.Application) -> None:
        """Close the connection pool."""
        if self._http is not None:
            await self._http.close()

    @property
    def http(self) -> aiohttp.ClientSession:
        """The connection pool."""
        assert self._http is not None  # noqa: S101 - set before the first request
        return self._http

    @property
    def documents(self) -> Documents:
        """The records."""
        assert self._documents is not None  # noqa: S101 - set before the first request
        return self._documents

    async def generate(self, request: web.Request) -> web.Response:
        """Answer one request."""
        fields = json.loads(await request.read())
        image: str = fields["images"][0]
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
            "prompt": fields["prompt"],
            "createdAt": datetime.now(UTC).isoformat(),
            "status": "running",
        }
        await self.documents.create(record)
        parts = [{"inlineData": {"mimeType": "image/png", "data": encoded}}, {"text": fields["prompt"]}]
        call = {"contents": [{"role": "user", "parts": parts}]}
        async with self.http.post(self._model, json=call) as answer:
            reply = await answer.json()
        generated: str = reply["candidates"][0]["content"]["parts"][0]["inlineData"]["data"]
        name = f"catafract/{record['id']}.png"
        record["usage"] = reply["usageMetadata"]
        await asyncio.gather(self._put(name, base64.b64decode(generated)), self.documents.replace(record))
        record |= {"status": "succeeded", "outputImageUrl": f"{self._services.blobs}/{name}"}
        await self.documents.replace(record)
        shown = f"data:image/png;base64,{generated}" if fields.get("includeBase64", True) else None
        return web.json_response({"imageBase64": shown, "imageUrl": record["outputImageUrl"], "text": None})

    async def _put(self, name: str, data: bytes) -> None:
        headers = {"x-ms-blob-type": "BlockBlob", "x-ms-version": "2025-01-05", "Content-Type": "image/png"}
        async with self.http.put(
            f"{self._services.blobs}/{name}?{self._services.sas}", data=data, headers=headers
        ) as answer:
            answer.raise_for_status()


async def main(port: int, floor: Floor) -> None:
    """Serve until shutdown."""
    app = web.Application(client_max_size=120_000_000)
    app.on_startup.append(floor.start)
    app.on_cleanup.append(floor.close)
    app.router.add_post("/api/image", floor.generate)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, backlog=1024).start()
    await wait_for_shutdown()
    await runner.cleanup()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description="The floor of the benchmarks; the variables FLOOR_… have its services."
    )
    parser.add_argument("--port", type=int, required=True)
    asyncio.run(main(parser.parse_args().port, Floor(Services.read(os.environ))))
