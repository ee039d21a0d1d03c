"""Loaders with the default limits, owned images in memory, and a server on loopback."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from aiohttp import web

from image_core.inputs.fetcher import Fetcher
from image_core.inputs.loader import Loader
from image_core.inputs.owned_urls import OwnedUrls
from tests.support.input_loaders import make_loader
from tests.support.loopback_server import RecordingServer
from tests.support.owned_images import OWN, FakeOwnImages


@pytest.fixture
async def recording_server() -> AsyncIterator[RecordingServer]:
    made = RecordingServer()
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
def own_images() -> FakeOwnImages:
    return FakeOwnImages()


@pytest.fixture
async def make(own_images: FakeOwnImages) -> AsyncIterator[Callable[..., Loader]]:
    """Make loaders, and close them after the test."""
    made: list[Loader] = []

    def loader(own: OwnedUrls = OWN, fetcher: Fetcher | None = None, **settings: str) -> Loader:
        made.append(make_loader(own, own_images, settings, fetcher=fetcher))
        return made[-1]

    yield loader
    for each in made:
        await each.close()
