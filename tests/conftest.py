"""The environment of all tests, and the emulators: one pair for each process that runs tests.

Two variables change how tests run:

- `EVENT_LOOP=uvloop` runs asynchronous tests on uvloop, as newer versions of Azure's worker do where it is installed.
- `HYPOTHESIS_PROFILE=thorough` makes more examples of each property.
"""

import asyncio
import gc
import os
from collections.abc import Callable, Generator, Iterator, Mapping

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


class Uvloop:
    """Makes the event loops of asynchronous tests."""

    def pytest_asyncio_loop_factories(self) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
        """Return the only factory: its name is no part of a test's id."""
        import uvloop  # noqa: PLC0415 - not installed on Windows

        return {"uvloop": uvloop.new_event_loop}


def pytest_configure(config: pytest.Config) -> None:
    """Remove what leads to real services, which cost money: a developer's settings and environment variables."""
    os.environ["LOCAL_SETTINGS"] = os.devnull
    for name in REAL_SERVICES:
        os.environ.pop(name, None)
    if os.environ.get("EVENT_LOOP") == "uvloop":
        config.pluginmanager.register(Uvloop())
    settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Exempt modules and tests from garbage collection: each full one would traverse all of these objects."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


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
