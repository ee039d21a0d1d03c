"""A loader with the usual limits, and servers on loopback that it may or may not be let to."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from aiohttp import web

from image_core.inputs.fetch import Fetcher
from image_core.inputs.load import Loader
from image_core.inputs.own import OwnAddresses, OwnBlob, OwnResult, missing
from image_core.settings import Settings
from image_core.store.blobs import Reserve
from image_core.user import User

ACCOUNT = "https://acct.blob.core.windows.net"
OWN = OwnAddresses(ACCOUNT, "catafract", "catafract-private", private=False, site_origins=("https://app.example.com",))
PRIVATE = OwnAddresses(
    ACCOUNT, "catafract", "catafract-private", private=True, site_origins=("https://app.example.com",)
)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Shelf:
    """Our own images: blobs by container and path. What was asked for is written down."""

    def __init__(self) -> None:
        self.blobs: dict[tuple[str, str], bytes] = {}
        self.asked: list[tuple[str, str]] = []

    async def read_input(self, user: User, own: OwnBlob | OwnResult, max_bytes: int, reserve: Reserve) -> bytes:
        for place in own.places if isinstance(own, OwnBlob) else ():
            self.asked.append((place.container, place.path))
            if (place.container, place.path) in self.blobs:
                data = self.blobs[place.container, place.path]
                await reserve(len(data))
                return data
        raise missing()


class Canary:
    """A server that notes every connection. One that must see none proves that nothing was sent."""

    def __init__(self) -> None:
        self.connections = 0
        self.paths: list[str] = []
        self.targets: list[str] = []
        """The request targets, byte for byte."""
        self.handler: Handler | None = None
        self.port = 0

    async def serve(self, request: web.BaseRequest) -> web.StreamResponse:
        self.paths.append(str(request.rel_url))
        self.targets.append(request._message.path)
        assert self.handler is not None
        return await self.handler(request)  # type: ignore[arg-type] # a low-level server's request has what is used here


@pytest.fixture
async def canary() -> AsyncIterator[Canary]:
    made = Canary()
    runner = web.ServerRunner(web.Server(made.serve), shutdown_timeout=0.1)
    await runner.setup()
    loop = asyncio.get_running_loop()

    def connected() -> asyncio.Protocol:
        made.connections += 1
        assert runner.server is not None
        return runner.server()

    server = await loop.create_server(connected, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    yield made
    server.close()
    await runner.cleanup()


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
async def make(shelf: Shelf) -> AsyncIterator[Callable[..., Loader]]:
    """Makes loaders, and closes them."""
    made: list[Loader] = []

    def loader(own: OwnAddresses = OWN, fetcher: Fetcher | None = None, **settings: str) -> Loader:
        made.append(Loader(Settings.read(settings), own, shelf, fetcher))
        return made[-1]

    yield loader
    for each in made:
        await each.close()
