"""`make run` uses services that already run, and rejects a port that another kind of service has taken.

A model that does not answer is only a warning.
"""

import asyncio
import contextlib
import re
import socket
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path

import pytest
import requests
from azure.cosmos.aio import CosmosClient
from azure.storage.blob.aio import BlobServiceClient

from local import config, existing_services
from local.emulators import AzuritePorts, azurite, cosmos_connection_string
from local.gemini.server import FakeGemini
from local.processes import reserve_port
from local.provision import Names, provision_storage
from local.stack import CannotStart, started


@contextlib.contextmanager
def listening() -> Iterator[int]:
    """Listen on a port and never answer."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        yield int(silent.getsockname()[1])


def read(ports: Mapping[str, int] | None = None, given: Mapping[str, str] | None = None) -> config.Config:
    return config.read({**config.reserve_ports(), **(ports or {})}, {"GEMINI_LATENCY": "0", **(given or {})})


def azurite_at(ports: AzuritePorts) -> dict[str, int]:
    return {"AZURITE_BLOB_PORT": ports.blob, "AZURITE_QUEUE_PORT": ports.queue, "AZURITE_TABLE_PORT": ports.table}


def port_of(url: str) -> int:
    return int(url.rsplit(":", 1)[1])


@pytest.fixture
async def fake_gemini() -> AsyncIterator[str]:
    server = FakeGemini()
    yield await server.start()
    await server.stop()


async def test_running_emulators_are_used(azurite_ports: AzuritePorts, cosmos_url: str, fake_gemini: str) -> None:
    ports = {**azurite_at(azurite_ports), "COSMOS_PORT": port_of(cosmos_url), "GEMINI_PORT": port_of(fake_gemini)}
    configuration = read(ports)
    used = await asyncio.to_thread(lambda: [each.name for each in existing_services.find_running(configuration)])
    assert used == [existing_services.STORAGE, existing_services.COSMOS, existing_services.GEMINI]


def test_nothing_is_used_if_nothing_runs() -> None:
    assert list(existing_services.find_running(read())) == []
    assert list(existing_services.find_configured(read())) == []


OTHERS = {
    "AZURITE_BLOB_PORT": "cosmos",
    "AZURITE_QUEUE_PORT": "blob",
    "AZURITE_TABLE_PORT": "cosmos",
    "COSMOS_PORT": "blob",
    "GEMINI_PORT": "cosmos",
}


@pytest.mark.parametrize("variable", OTHERS)
def test_port_taken_by_another_service_is_an_error_that_names_the_variable(
    variable: str, azurite_ports: AzuritePorts, cosmos_url: str
) -> None:
    port = {"blob": azurite_ports.blob, "cosmos": port_of(cosmos_url)}[OTHERS[variable]]
    with pytest.raises(existing_services.ServiceUnusable, match=f"port {port} is taken.*{variable}"):
        list(existing_services.find_running(read({variable: port})))


@pytest.mark.parametrize("missing", ["Blob", "Queue"])
def test_azurite_without_one_of_its_services_is_an_error(missing: str, azurite_ports: AzuritePorts) -> None:
    running = "Queue" if missing == "Blob" else "Blob"
    port = azurite_ports.queue if running == "Queue" else azurite_ports.blob
    with pytest.raises(existing_services.ServiceUnusable, match=f"without its {missing} service"):
        list(existing_services.find_running(read({f"AZURITE_{running.upper()}_PORT": port})))


def faults(blob: int, cosmos: int) -> dict[str, tuple[dict[str, str], str]]:
    unused = 1
    storage = AzuritePorts(blob, blob, blob)
    return {
        "nothing listens": (
            {config.STORAGE: AzuritePorts(unused, 2, 3).connection_string()},
            "127.0.0.1:1, where nothing",
        ),
        "no blobs": ({config.STORAGE: AzuritePorts(cosmos, 2, 3).connection_string()}, "not Blob Storage"),
        "no queues": ({config.STORAGE: storage.connection_string()}, "not Queue Storage"),
        "no queues for the host": (
            {config.HOST_STORAGE: storage.connection_string()},
            f"{config.HOST_STORAGE} .*not Queue",
        ),
        "no database": ({config.COSMOS: cosmos_connection_string(f"http://127.0.0.1:{blob}")}, "not Cosmos DB"),
        "connection string of a database": (
            {config.STORAGE: cosmos_connection_string("http://127.0.0.1:1")},
            "is not a connection string",
        ),
        "connection string of a storage": ({config.COSMOS: storage.connection_string()}, "no address of Cosmos DB"),
        "no gateway": (
            {"GEMINI_API_KEY": "x", "GOOGLE_GEMINI_BASE_URL": "http://localhost:1"},
            "where nothing listens",
        ),
    }


@pytest.mark.parametrize("name", faults(1, 2))
def test_unusable_configured_service_is_an_error(name: str, azurite_ports: AzuritePorts, cosmos_url: str) -> None:
    given, words = faults(azurite_ports.blob, port_of(cosmos_url))[name]
    with pytest.raises(existing_services.ServiceUnusable, match=words):
        list(existing_services.find_configured(read(given=given)))


async def test_stack_runs_on_configured_services_with_a_warning_about_its_model(
    azurite_ports: AzuritePorts, cosmos_url: str, tmp_path: Path
) -> None:
    """A gateway may serve no GET models/NAME. Missing databases and containers of an emulator are created."""
    given = {
        config.STORAGE: azurite_ports.connection_string(),
        config.COSMOS: cosmos_connection_string(cosmos_url),
        "GEMINI_API_KEY": "a-key",
        "GOOGLE_GEMINI_BASE_URL": f"http://127.0.0.1:{azurite_ports.blob}",
        "AZURE_COSMOS_DATABASE": "of-a-developer",
        "AZURE_STORAGE_CONTAINER": "images-of-a-developer",
    }

    def run() -> tuple[list[str], tuple[str, ...], int]:
        with started(read(given=given), tmp_path) as stack:
            answer = requests.get(f"{stack.front}/api/generations", headers={"Cookie": stack.cookie()}, timeout=30)
            return [used.name for used in stack.used], stack.warnings, answer.status_code

    used, (warning,), status = await asyncio.to_thread(run)
    assert used == ["Blob Storage", "Cosmos DB", "Gemini"]
    assert re.search("the model is (unknown|degraded|down) .*gemini-3-pro-image", warning)
    assert status == 200
    async with CosmosClient.from_connection_string(given[config.COSMOS]) as client:
        assert "of-a-developer" in [each["id"] async for each in client.list_databases()]
    assert existing_services.is_storage(f"http://127.0.0.1:{azurite_ports.blob}/x", "Blob"), (
        "the emulator still runs after the stack"
    )


def test_model_that_the_fake_gemini_does_not_know_is_a_warning(
    azurite_ports: AzuritePorts, cosmos_url: str, tmp_path: Path
) -> None:
    ports = {**azurite_at(azurite_ports), "COSMOS_PORT": port_of(cosmos_url)}
    with started(read(ports, {"GEMINI_MODELS": "gemini-99-image"}), tmp_path) as stack:
        (warning,) = stack.warnings
        assert "gemini-99-image" in warning
        assert [used.name for used in stack.used] == [existing_services.STORAGE, existing_services.COSMOS]


def test_azurite_that_rejects_the_sdks_api_version_is_an_error_with_its_fix(cosmos_url: str, tmp_path: Path) -> None:
    """A developer may start Azurite without the option."""
    own = AzuritePorts(reserve_port(), reserve_port(), reserve_port())
    ports = {**azurite_at(own), "COSMOS_PORT": port_of(cosmos_url)}
    with azurite(own, check_api_version=True), pytest.raises(CannotStart) as words, started(read(ports), tmp_path):
        pass
    assert "--skipApiVersionCheck" in str(words.value)
    assert len(str(words.value).splitlines()) == 1


def test_taken_port_of_the_stack_is_an_error_that_names_the_variable(tmp_path: Path) -> None:
    with listening() as port, pytest.raises(CannotStart, match=f"port {port} is taken: set FRONT_PORT"):  # noqa: SIM117
        with started(read({"FRONT_PORT": port}), tmp_path):
            pass


async def test_emulator_allows_the_configured_origins_to_read_images(
    azurite_ports: AzuritePorts, azurite_connection_string: str
) -> None:
    origin = "http://localhost:14280"
    names = Names.read(
        {
            "NEXTAUTH_URL": f"{origin}/api/auth",
            "ALLOWED_ORIGINS": "https://www.example.com",
            "AZURE_STORAGE_CONTAINER": "read-by-pages",
        }
    )
    for _ in range(2):  # a second start adds no second rule
        await provision_storage(azurite_connection_string, public=True, names=names)
    async with BlobServiceClient.from_connection_string(azurite_connection_string) as client:
        rules = (await client.get_service_properties())["cors"]
        assert [rule.allowed_origins for rule in rules].count(f"{origin},https://www.example.com") == 1
        await client.get_blob_client("read-by-pages", "x.png").upload_blob(b"x", overwrite=True)
    url = f"http://127.0.0.1:{azurite_ports.blob}/devstoreaccount1/read-by-pages/x.png"

    def allowed(origin: str, method: str = "GET", **more: str) -> str | None:
        answer = requests.request(method, url, headers={"Origin": origin, **more}, timeout=10)
        return answer.headers.get("Access-Control-Allow-Origin")

    preflight = {"Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "range"}
    assert await asyncio.to_thread(allowed, origin) == origin
    assert await asyncio.to_thread(lambda: allowed(origin, "OPTIONS", **preflight)) == origin
    assert await asyncio.to_thread(allowed, "https://evil.example") is None
