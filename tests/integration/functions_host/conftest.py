"""The local Functions host with the sample app."""

import asyncio
from collections.abc import Iterator

import pytest

from local import functions_host
from local.emulators import AzuritePorts, cosmos_connection_string
from local.processes import reserve_port, running, wait_for_port
from tests.support.paths import ROOT
from tests.support.sample_app import SAMPLE, Served, provision_sample


@pytest.fixture(scope="module")
def served(azurite_ports: AzuritePorts, cosmos_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    port = reserve_port()
    cosmos = cosmos_connection_string(cosmos_url)
    asyncio.run(provision_sample(cosmos))
    command = functions_host.command(port, SAMPLE)
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
