"""The sample app in our Functions host."""

import asyncio
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from azure.cosmos import PartitionKey
from azure.cosmos.aio import CosmosClient

from local.emulators import AzuritePorts, cosmos_connection_string, free_port, running, wait_for_port
from tests.support.paths import ROOT

SAMPLE = Path(__file__).parent / "sample_app"


async def provision_sample(connection_string: str) -> None:
    async with CosmosClient.from_connection_string(connection_string) as client:
        database = await client.create_database_if_not_exists("sample")
        for name in ("things", "copies", "leases"):
            await database.create_container_if_not_exists(name, PartitionKey("/id"))


@dataclass(frozen=True, slots=True)
class Served:
    """Where the host listens, and the file that has what it writes."""

    port: int
    log: Path


@pytest.fixture(scope="module")
def served(azurite_ports: AzuritePorts, cosmos_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    port = free_port()
    cosmos = cosmos_connection_string(cosmos_url)
    asyncio.run(provision_sample(cosmos))
    command = [sys.executable, "-m", "local.functions_host", "--port", str(port), "--root", str(SAMPLE)]
    environment = {
        "AzureWebJobsStorage": azurite_ports.connection_string(),
        "COSMOS": cosmos,
        "PYTHONPATH": str(ROOT),
    }
    log = tmp_path_factory.mktemp("host") / "log"
    with running(command, log=log, environment=environment) as process:
        wait_for_port(port, process, "the host", log)
        yield Served(port, log)


@pytest.fixture(scope="module")
def host(served: Served) -> str:
    return f"http://127.0.0.1:{served.port}"
