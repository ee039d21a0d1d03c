"""The emulators, once for the whole run, on free ports."""

import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

from local import emulators
from local.processes import reserve_port

pytest.register_assert_rewrite("tests.support")

REAL_SERVICES = (
    *("GEMINI_API_KEY", "GOOGLE_GEMINI_BASE_URL", "AZURE_STORAGE_CONNECTION_STRING", "AZURE_STORAGE_ACCOUNT_URL"),
    *("AZURE_COSMOS_CONNECTION_STRING", "AZURE_COSMOS_ENDPOINT", "COSMOS", "AzureWebJobsStorage"),
)


settings.register_profile("quick", max_examples=60, deadline=None)
settings.register_profile("thorough", max_examples=500, deadline=None)


def pytest_configure() -> None:
    """A developer's shell and local.settings.json may lead to real services, that cost real money: no test goes there."""
    os.environ["LOCAL_SETTINGS"] = os.devnull
    for name in REAL_SERVICES:
        os.environ.pop(name, None)
    settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))


@pytest.fixture(scope="session")
def azurite_ports() -> Iterator[emulators.AzuritePorts]:
    ports = emulators.AzuritePorts(reserve_port(), reserve_port(), reserve_port())
    with emulators.azurite(ports):
        yield ports


@pytest.fixture(scope="session")
def azurite_connection_string(azurite_ports: emulators.AzuritePorts) -> str:
    return azurite_ports.connection_string()


@pytest.fixture(scope="session")
def cosmos_url() -> Iterator[str]:
    with emulators.cosmosdb(reserve_port()) as url:
        yield url


@pytest.fixture(scope="session")
def cosmos_connection_string(cosmos_url: str) -> str:
    return emulators.cosmos_connection_string(cosmos_url)
