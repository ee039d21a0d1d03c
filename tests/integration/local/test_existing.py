"""`make run` beside services that already run uses the right kind and rejects the wrong kind with one line.

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
    """Listen on a port without ever answering."""
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


async def test_emulators_that_answer_already_are_used(
    azurite_ports: AzuritePorts, cosmos_url: str, fake_gemini: str
) -> None:
    ports = {**azurite_at(azurite_ports), "COSMOS_PORT": port_of(cosmos_url), "GEMINI_PORT": port_of(fake_gemini)}
    configuration = read(ports)
    used = await asyncio.to_thread(lambda: [each.name for each in existing_services.find_running(configuration)])
    assert used == [existing_services.STORAGE, existing_services.COSMOS, existing_services.GEMINI]


def test_nothing_is_used_where_nothing_runs() -> None:
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
def test_another_program_at_the_port_is_one_line_that_names_the_variable(
    variable: str, azurite_ports: AzuritePorts, cosmos_url: str
) -> None:
    port = {"blob": azurite_ports.blob, "cosmos": port_of(cosmos_url)}[OTHERS[variable]]
    with pytest.raises(existing_services.ServiceUnusable, match=f"port {port} is taken.*{variable}"):
        list(existing_services.find_running(read({variable: port})))


@pytest.mark.parametrize("missing", ["Blob", "Queue"])
def test_half_of_azurite_is_told(missing: str, azurite_ports: AzuritePorts) -> None:
    there = "Queue" if missing == "Blob" else "Blob"
    port = azurite_ports.queue if there == "Queue" else azurite_ports.blob
    with pytest.raises(existing_services.ServiceUnusable, match=f"without its {missing} service"):
        list(existing_services.find_running(read({f"AZURITE_{there.upper()}_PORT": port})))


def faults(blob: int, cosmos: int) -> dict[str, tuple[dict[str, str], str]]:
    nobody = 1
    storage = AzuritePorts(blob, blob, blob)
    return {
        "nothing listens": (
            {config.STORAGE: AzuritePorts(nobody, 2, 3).connection_string()},
            "127.0.0.1:1, where nothing",
        ),
        "no blobs": ({config.STORAGE: AzuritePorts(cosmos, 2, 3).connection_string()}, "not Blob Storage"),
        "no queues": ({config.STORAGE: storage.connection_string()}, "not Queue Storage"),
        "the host has no queues": (
            {config.HOST_STORAGE: storage.connection_string()},
            f"{config.HOST_STORAGE} .*not Queue",
        ),
        "no database": ({config.COSMOS: cosmos_connection_string(f"http://127.0.0.1:{blob}")}, "not Cosmos DB"),
        "a database's string": (
            {config.STORAGE: cosmos_connection_string("http://127.0.0.1:1")},
            "is not a connection string",
        ),
        "a storage's string": ({config.COSMOS: storage.connection_string()}, "no address of Cosmos DB"),
        "no gateway": (
            {"GEMINI_API_KEY": "x", "GOOGLE_GEMINI_BASE_URL": "http://localhost:1"},
            "where nothing listens",
        ),
    }


@pytest.mark.parametrize("name", faults(1, 2))
def test_a_configured_service_that_is_not_there_is_told_at_once(
    name: str, azurite_ports: AzuritePorts, cosmos_url: str
) -> None:
    given, said = faults(azurite_ports.blob, port_of(cosmos_url))[name]
    with pytest.raises(existing_services.ServiceUnusable, match=said):
        list(existing_services.find_configured(read(given=given)))


async def test_a_stack_on_configured_services_and_with_a_model_that_does_not_answer_runs_and_says_so(
    azurite_ports: AzuritePorts, cosmos_url: str, tmp_path: Path
) -> None:
    """A gateway may serve no GET models/NAME. What an emulator lacks is created, under the configured names."""
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
        "it is not ended with the stack"
    )


def test_a_model_that_the_local_painter_does_not_know_is_a_warning(
    azurite_ports: AzuritePorts, cosmos_url: str, tmp_path: Path
) -> None:
    ports = {**azurite_at(azurite_ports), "COSMOS_PORT": port_of(cosmos_url)}
    with started(read(ports, {"GEMINI_MODELS": "gemini-99-image"}), tmp_path) as stack:
        (warning,) = stack.warnings
        assert "gemini-99-image" in warning
        assert [used.name for used in stack.used] == [existing_services.STORAGE, existing_services.COSMOS]


def test_an_azurite_that_does_not_know_the_sdks_version_is_told_with_what_to_do(
    cosmos_url: str, tmp_path: Path
) -> None:
    """As a developer starts it, without our option."""
    own = AzuritePorts(reserve_port(), reserve_port(), reserve_port())
    ports = {**azurite_at(own), "COSMOS_PORT": port_of(cosmos_url)}
    with azurite(own, check_api_version=True), pytest.raises(CannotStart) as said, started(read(ports), tmp_path):
        pass
    assert "--skipApiVersionCheck" in str(said.value)
    assert len(str(said.value).splitlines()) == 1


def test_a_taken_port_of_the_stack_itself_is_told(tmp_path: Path) -> None:
    with listening() as port, pytest.raises(CannotStart, match=f"port {port} is taken: set FRONT_PORT"):  # noqa: SIM117
        with started(read({"FRONT_PORT": port}), tmp_path):
            pass


async def test_a_page_may_read_images_of_the_emulator_as_those_of_the_account(
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

    def allowed(who: str, method: str = "GET", **more: str) -> str | None:
        answer = requests.request(method, url, headers={"Origin": who, **more}, timeout=10)
        return answer.headers.get("Access-Control-Allow-Origin")

    preflight = {"Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "range"}
    assert await asyncio.to_thread(allowed, origin) == origin
    assert await asyncio.to_thread(lambda: allowed(origin, "OPTIONS", **preflight)) == origin
    assert await asyncio.to_thread(allowed, "https://evil.example") is None
