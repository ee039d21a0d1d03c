"""The sample Function App of the host's tests, and the lines that it has recorded."""

from dataclasses import dataclass
from pathlib import Path

import requests
from azure.cosmos import PartitionKey
from azure.cosmos.aio import CosmosClient

from tests.support.eventually import wait_until
from tests.support.paths import ROOT

SAMPLE = ROOT / "tests" / "integration" / "functions_host" / "sample_app"


async def provision_sample(connection_string: str) -> None:
    """Create the database and the containers of the sample app."""
    async with CosmosClient.from_connection_string(connection_string) as client:
        database = await client.create_database_if_not_exists("sample")
        for name in ("things", "leases"):
            await database.create_container_if_not_exists(name, PartitionKey("/id"))


@dataclass(frozen=True, slots=True)
class Served:
    """The host's port and its log file."""

    port: int
    log: Path


def recorded(host: str) -> list[str]:
    """Return the lines that the sample app has recorded."""
    return requests.get(f"{host}/v1/recorded", timeout=10).text.splitlines()


def wait_for_line(host: str, line: str) -> list[str]:
    """Wait until the sample app has recorded a line, and return all lines."""
    try:
        wait_until(lambda: line in recorded(host))
    except TimeoutError:
        raise AssertionError(f"{line} is not among {recorded(host)}") from None
    return recorded(host)
