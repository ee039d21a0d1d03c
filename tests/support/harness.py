"""The application in this process with the real SDKs: emulators behind faulty proxies, and the fake Gemini.

Every response is compared with the OpenAPI document.
"""

import asyncio
import base64
import itertools
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from azure.core.exceptions import ResourceNotFoundError
from azure.cosmos.aio import CosmosClient
from azure.storage.blob.aio import BlobServiceClient

from image_core.api.http import Request
from image_core.app import Application
from local import nextauth
from local.emulators import COSMOS_KEY, AzuritePorts, cosmos_connection_string
from local.gemini.server import FakeGemini
from local.provision import provision_cosmos, provision_storage
from tests.support.contract import violations
from tests.support.eventually import eventually
from tests.support.faulty_proxy import FaultyProxy, faulty
from tests.support.paths import IMAGES

PROMPT = "a watercolor painting"
SHRINK = 8
"""Divides the sides of the fake Gemini's images where a request names no size."""
SECRET = "a development secret, never deployed"
_users = itertools.count()


def sample_image(name: str = "coffee.jpg") -> bytes:
    """Return a file of `tests/fixtures/images`."""
    return (IMAGES / name).read_bytes()


def data_url(data: bytes, mime_type: str = "image/png") -> str:
    """Return a data URL in base64."""
    return f"data:{mime_type};base64,{base64.b64encode(data).decode()}"


@dataclass(frozen=True, slots=True)
class Answer:
    """A response. `enqueue` are the messages for the queue."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    enqueue: tuple[str, ...] = ()

    @property
    def json(self) -> dict[str, Any]:
        """The parsed body."""
        parsed: dict[str, Any] = json.loads(self.body)
        return parsed

    @property
    def image(self) -> bytes:
        """The decoded `imageBase64` of the body."""
        return base64.b64decode(self.json["imageBase64"].partition(",")[2])


@dataclass(slots=True)
class Harness:
    """One user of one instance of the application. `another` starts instances on the same storage."""

    app: Application
    fake_gemini: FakeGemini
    cosmos: FaultyProxy
    blobs: FaultyProxy
    environment: dict[str, str]
    email: str
    blob_base: str

    @property
    def cookie(self) -> str:
        """The Cookie header of the user's session."""
        user = {**nextauth.DEFAULT_USER, "email": self.email}
        return nextauth.cookie_header(nextauth.session_cookies(SECRET, user, datetime.now(UTC)))

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        *,
        signed_in: bool = True,
    ) -> Answer:
        """Call the API, compare the response with the OpenAPI document, and return it."""
        parts = urlsplit(path)
        query = dict(pair.partition("=")[::2] for pair in parts.query.split("&") if pair)
        sent = {"content-type": "application/json", **({"cookie": self.cookie} if signed_in else {})}
        sent |= {name.lower(): value for name, value in (headers or {}).items()}
        raw = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        path = parts.path.removeprefix("/api/")
        answer = await self.app.handle(Request(method, path, query, sent, raw))
        assert violations(method, path, answer.status, answer.headers, answer.body) == []
        return Answer(answer.status, answer.headers, answer.body, answer.enqueue)

    async def generate(self, *images: str, headers: Mapping[str, str] | None = None, **fields: Any) -> Answer:
        """Generate an image from `images`, by default from a photograph."""
        given = images or (data_url(sample_image(), "image/jpeg"),)
        body = {"images": list(given), "prompt": PROMPT, **fields}
        return await self.call("POST", "/api/image", body, headers)

    async def record(self, record_id: str) -> dict[str, Any] | None:
        """Return a record's document from the database, without the API."""
        direct = cosmos_connection_string(self.cosmos.target)
        async with CosmosClient.from_connection_string(direct) as client:
            container = client.get_database_client("catafract").get_container_client("generations")
            try:
                return dict(await container.read_item(record_id, self.email))
            except ResourceNotFoundError:
                return None

    async def blob_names(self, container: str, prefix: str = "") -> list[str]:
        """Return the names of a container's blobs."""
        async with BlobServiceClient.from_connection_string(self.environment["DIRECT_STORAGE"]) as client:
            return [blob.name async for blob in client.get_container_client(container).list_blobs(prefix)]

    async def blob(self, container: str, name: str) -> tuple[bytes, str]:
        """Return the bytes and the content type of a blob."""
        async with BlobServiceClient.from_connection_string(self.environment["DIRECT_STORAGE"]) as client:
            download = await client.get_blob_client(container, name).download_blob()
            return await download.readall(), str(download.properties.content_settings.content_type)

    async def called(self, times: int = 1) -> None:
        """Wait until the model has been called, `times` times in all."""
        await eventually(lambda: len(self.fake_gemini.calls) >= times)

    async def drained(self) -> None:
        """Wait until this instance runs no generation."""
        await self.app.components.background.drain()

    @asynccontextmanager
    async def another(self, email: str | None = None, **settings: str) -> AsyncIterator["Harness"]:
        """Start a second instance on the same storage, with another user if `email` is given."""
        environment = {**self.environment, **settings}
        app = Application(environment)
        try:
            yield Harness(
                app, self.fake_gemini, self.cosmos, self.blobs, environment, email or self.email, self.blob_base
            )
        finally:
            await app.close()


@asynccontextmanager
async def harness(azurite: AzuritePorts, cosmos_url: str, **settings: str) -> AsyncIterator[Harness]:
    """Start the application on the emulators with these `settings`."""
    await provision_cosmos(cosmos_connection_string(cosmos_url))
    await provision_storage(azurite.connection_string(), public=True)
    fake_gemini = FakeGemini(shrink=SHRINK)
    async with faulty(cosmos_url) as cosmos, faulty(f"http://127.0.0.1:{azurite.blob}") as blobs:
        blob_base = f"{blobs.url}/devstoreaccount1"
        environment = {
            "GEMINI_API_KEY": "a-fake-key",
            "GOOGLE_GEMINI_BASE_URL": await fake_gemini.start(),
            "NEXTAUTH_SECRET": SECRET,
            "NEXTAUTH_URL": "http://localhost:4280",
            "AZURE_STORAGE_CONNECTION_STRING": azurite.connection_string(blob_base),
            "AZURE_COSMOS_CONNECTION_STRING": f"AccountEndpoint={cosmos.url}/;AccountKey={COSMOS_KEY}",
            "DIRECT_STORAGE": azurite.connection_string(),
            **settings,
        }
        app = Application(environment)
        try:
            yield Harness(app, fake_gemini, cosmos, blobs, environment, f"user{next(_users)}@example.com", blob_base)
        finally:
            await asyncio.wait_for(app.close(), 60)
            await fake_gemini.stop()
