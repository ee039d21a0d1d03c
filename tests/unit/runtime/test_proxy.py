"""A proxy that the environment names is used for every service."""

from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest
from aiohttp import web

from image_core.clock import Clock
from image_core.errors import StorageUnavailable
from image_core.models.build import build_models
from image_core.models.probe import State
from image_core.runtime.proxy import proxied
from image_core.settings import Settings
from image_core.storage.azure_blobs import AzureBlobs
from image_core.storage.cosmos import Cosmos

VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
KEY = "c2VjcmV0"
SETTINGS = {
    "GEMINI_API_KEY": "key",
    "GOOGLE_GEMINI_BASE_URL": "http://gemini.invalid",
    "AZURE_STORAGE_CONNECTION_STRING": f"BlobEndpoint=http://blobs.invalid/x;AccountName=x;AccountKey={KEY}",
    "AZURE_COSMOS_CONNECTION_STRING": f"AccountEndpoint=http://cosmos.invalid:80/;AccountKey={KEY}",
}


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.mark.parametrize(
    ("name", "expected"), [("HTTPS_PROXY", True), ("http_proxy", True), ("ALL_PROXY", True), ("NO_PROXY", False)]
)
def test_proxy_is_configured_by_the_environment(name: str, expected: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not proxied()
    monkeypatch.setenv(name, "http://proxy.invalid:3128")
    assert proxied() is expected


@pytest.fixture
async def proxied_hosts(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[set[str]]:
    """Serve a proxy that only records which hosts it was asked for."""
    hosts: set[str] = set()

    async def handle(request: web.BaseRequest) -> web.Response:
        hosts.add(urlsplit(request.raw_path).hostname or request.host)
        return web.Response(status=404, headers={"x-ms-error-code": "ContainerNotFound"})

    runner = web.ServerRunner(web.Server(handle))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{runner.addresses[0][1]}")
    yield hosts
    await runner.cleanup()


async def test_every_service_is_called_through_the_proxy(proxied_hosts: set[str]) -> None:
    settings = Settings.read(SETTINGS)
    blobs = AzureBlobs(connection_string=SETTINGS["AZURE_STORAGE_CONNECTION_STRING"])
    cosmos = Cosmos("catafract", Clock(), connection_string=SETTINGS["AZURE_COSMOS_CONNECTION_STRING"])
    models = build_models(settings)
    assert set((await blobs.probe("catafract")).values()) == {"missing"}
    with pytest.raises(StorageUnavailable):
        await cosmos.probe("generations")
    assert {each.state for each in await models.describe(10)} == {State.UNKNOWN}
    for each in (blobs, cosmos, models):
        await each.close()
    assert proxied_hosts == {"blobs.invalid", "cosmos.invalid", "gemini.invalid"}
