"""The sample Function App of the host's tests, and what it has recorded."""

import time
from dataclasses import dataclass
from pathlib import Path

import requests
from azure.cosmos import PartitionKey
from azure.cosmos.aio import CosmosClient

from tests.support.paths import ROOT

SAMPLE = ROOT / "tests" / "integration" / "functions_host" / "sample_app"


async def provision_sample(connection_string: str) -> None:
    async with CosmosClient.from_connection_string(connection_string) as client:
        database = await client.create_database_if_not_exists("sample")
        for name in ("things", "leases"):
            await database.create_container_if_not_exists(name, PartitionKey("/id"))


@dataclass(frozen=True, slots=True)
class Served:
    """Where the host listens, and the file that has what it writes."""

    port: int
    log: Path


def seen(host: str) -> list[str]:
    return requests.get(f"{host}/v1/seen", timeout=10).text.splitlines()


def until(host: str, line: str) -> list[str]:
    for _ in range(150):
        lines = seen(host)
        if line in lines:
            return lines
        time.sleep(0.1)
    raise AssertionError(f"{line} was not seen in {seen(host)}")
