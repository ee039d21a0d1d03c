"""The emulators, once for the whole run, on free ports."""

from collections.abc import Iterator

import pytest

from local import emulators


@pytest.fixture(scope="session")
def azurite_ports() -> Iterator[emulators.AzuritePorts]:
    ports = emulators.AzuritePorts(emulators.free_port(), emulators.free_port(), emulators.free_port())
    with emulators.azurite(ports):
        yield ports


@pytest.fixture(scope="session")
def azurite_connection_string(azurite_ports: emulators.AzuritePorts) -> str:
    return azurite_ports.connection_string()


@pytest.fixture(scope="session")
def cosmos_url() -> Iterator[str]:
    with emulators.cosmosdb(emulators.free_port()) as url:
        yield url


@pytest.fixture(scope="session")
def cosmos_connection_string(cosmos_url: str) -> str:
    return emulators.cosmos_connection_string(cosmos_url)
