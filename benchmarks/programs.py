"""The programs that are measured, and those around them: the emulators, the model, the floor, the product's host."""

import contextlib
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import requests
from azure.storage.blob import AccountSasPermissions, ResourceTypes, generate_account_sas

from local import config, functions_host, nextauth
from local.emulators import AZURITE_ACCOUNT, AZURITE_KEY, COSMOS_KEY, azurite, cosmosdb
from local.processes import running, wait_for_port
from local.provision import provision

LOGS = config.ROOT / ".local" / "benchmarks"


@dataclass(frozen=True, slots=True)
class Subject:
    """A server that is measured."""

    name: str
    url: str
    pid: int


def email(user: int) -> str:
    """Of one of many users."""
    return f"user-{user}@example.com"


@dataclass(frozen=True, slots=True)
class Services:
    """What stands around a subject."""

    configuration: config.Config
    model: str

    def set_latency(self, seconds: float) -> None:
        """Of every call of the model from now on."""
        requests.post(f"{self.model}/latency", data=str(seconds), timeout=10).raise_for_status()

    def cookie(self, user: int) -> str:
        """The session of one of many users."""
        named = {"name": f"User {user}", "email": email(user), "sub": str(user)}
        secret = self.configuration.environment["NEXTAUTH_SECRET"]
        return nextauth.cookie_header(nextauth.session_cookies(secret, named, datetime.now(UTC)))


@contextlib.contextmanager
def services(latency: float = 0.0, settings: Mapping[str, str] | None = None) -> Iterator[Services]:
    """Emulators and model, empty. `settings` are the product's beside those of the local stack."""
    LOGS.mkdir(parents=True, exist_ok=True)
    # A developer's local.settings.json may lead to services that cost real money.
    os.environ["LOCAL_SETTINGS"] = os.devnull
    given = {"FETCH_ALLOW_HOSTS": "127.0.0.1", "RECOVERY_INTERVAL": "0 0 0 1 1 *", **(settings or {})}
    configuration = config.read(config.reserve_ports(), given)
    ports = configuration.ports
    with contextlib.ExitStack() as stack:
        command = [sys.executable, "-m", "benchmarks.model", "--port", str(ports["GEMINI_PORT"])]
        model = stack.enter_context(running([*command, "--latency", str(latency)], log=LOGS / "model.log"))
        stack.enter_context(cosmosdb(ports["COSMOS_PORT"], log=LOGS / "cosmos.log"))
        stack.enter_context(azurite(configuration.azurite, log=LOGS / "azurite.log"))
        environment = configuration.environment
        provision(environment["AZURE_COSMOS_CONNECTION_STRING"], environment["AZURE_STORAGE_CONNECTION_STRING"])
        wait_for_port(ports["GEMINI_PORT"], model, "the model", LOGS / "model.log")
        yield Services(configuration, f"http://127.0.0.1:{ports['GEMINI_PORT']}")


ELSEWHERE = {f"AzureWebJobs.{name}.Disabled": "true" for name in ("ledger", "recovery", "resume", "poison")}
"""In Azure these functions run on instances of their own: an instance that answers HTTP does nothing of them (Flex
Consumption, per-function scaling)."""


@contextlib.contextmanager
def product(around: Services, settings: Mapping[str, str] | None = None) -> Iterator[Subject]:
    """Our Functions host with the product in it, as an instance of the HTTP functions, its parts loaded."""
    port = around.configuration.ports["PORT"]
    command = functions_host.command(port, config.ROOT)
    with _served(
        "product", command, port, {**around.configuration.environment, **ELSEWHERE, **(settings or {})}
    ) as subject:
        requests.get(f"{subject.url}/api/health?deep=1", timeout=30)
        yield subject


def whole(around: Services) -> contextlib.AbstractContextManager[Subject]:
    """The same with the ledger, the queue and the recovery in the one process, as on a developer's machine."""
    return product(around, dict.fromkeys(ELSEWHERE, "false"))


@contextlib.contextmanager
def watched(around: Services, samples: Path) -> Iterator[Subject]:
    """The whole function app, which writes down what it has."""
    port = around.configuration.ports["PORT"]
    command = [sys.executable, "-m", "benchmarks.watched", "--port", str(port), "--samples", str(samples)]
    with _served("watched", command, port, around.configuration.environment) as subject:
        yield subject


@contextlib.contextmanager
def floor(around: Services) -> Iterator[Subject]:
    port = around.configuration.ports["FRONT_PORT"]
    now = datetime.now(UTC)
    sas = generate_account_sas(
        AZURITE_ACCOUNT,
        AZURITE_KEY,
        ResourceTypes(object=True),
        AccountSasPermissions(read=True, write=True, create=True),
        expiry=now + timedelta(hours=5),
        start=now - timedelta(minutes=5),
    )
    ports = around.configuration.ports
    environment = {
        "FLOOR_MODEL": around.model,
        "FLOOR_BLOBS": f"http://127.0.0.1:{ports['AZURITE_BLOB_PORT']}/{AZURITE_ACCOUNT}",
        "FLOOR_SAS": sas,
        "FLOOR_COSMOS": f"http://127.0.0.1:{ports['COSMOS_PORT']}",
        "FLOOR_COSMOS_KEY": COSMOS_KEY,
    }
    with _served(
        "floor", [sys.executable, "-m", "benchmarks.floor", "--port", str(port)], port, environment
    ) as subject:
        yield subject


@contextlib.contextmanager
def _served(name: str, command: list[str], port: int, environment: Mapping[str, str]) -> Iterator[Subject]:
    log = LOGS / f"{name}.log"
    with running(command, log=log, environment=environment) as process:
        wait_for_port(port, process, name, log)
        yield Subject(name, f"http://127.0.0.1:{port}", process.pid)
