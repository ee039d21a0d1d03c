"""The programs that are measured, and the services that they use."""

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import requests
from azure.storage.blob import AccountSasPermissions, ResourceTypes, generate_account_sas

from benchmarks import fake_gemini, floor, sampled_host
from local import config, functions_host, nextauth
from local.emulators import AZURITE_ACCOUNT, AZURITE_KEY, COSMOS_KEY, azurite, cosmosdb
from local.processes import running, wait_for_port
from local.provision import provision

LOGS = config.ROOT / ".local" / "benchmarks"


@dataclass(frozen=True, slots=True)
class Subject:
    """A server that is measured, as a process of its own."""

    name: str
    url: str
    pid: int


def email(user: int) -> str:
    """Return the address of one of many users."""
    return f"user-{user}@example.com"


@dataclass(frozen=True, slots=True)
class Services:
    """The services of a subject."""

    configuration: config.Config
    gemini: str
    """The fake Gemini's address."""

    def set_latency(self, seconds: float) -> None:
        """Set the latency of every later model call, in seconds."""
        requests.post(f"{self.gemini}/latency", data=str(seconds), timeout=10).raise_for_status()

    def cookie(self, user: int) -> str:
        """Return the session of one of many users, as a `Cookie` header."""
        named = {"name": f"User {user}", "email": email(user), "sub": str(user)}
        secret = self.configuration.environment["NEXTAUTH_SECRET"]
        return nextauth.cookie_header(nextauth.session_cookies(secret, named, datetime.now(UTC)))


@contextlib.contextmanager
def services(latency: float = 0.0, settings: Mapping[str, str] | None = None) -> Iterator[Services]:
    """Run empty emulators and the fake Gemini. `settings` are added to the local stack's."""
    LOGS.mkdir(parents=True, exist_ok=True)
    # A developer's local.settings.json may configure services that cost money.
    os.environ["LOCAL_SETTINGS"] = os.devnull
    given = {"FETCH_ALLOW_HOSTS": "127.0.0.1", "RECOVERY_INTERVAL": "0 0 0 1 1 *", **(settings or {})}
    configuration = config.read(config.reserve_ports(), given)
    ports = configuration.ports
    with contextlib.ExitStack() as stack:
        command, log = fake_gemini.command(ports["GEMINI_PORT"], latency), LOGS / "gemini.log"
        gemini = stack.enter_context(running(command, log=log))
        stack.enter_context(cosmosdb(ports["COSMOS_PORT"], log=LOGS / "cosmos.log"))
        stack.enter_context(azurite(configuration.azurite, log=LOGS / "azurite.log"))
        environment = configuration.environment
        provision(environment["AZURE_COSMOS_CONNECTION_STRING"], environment["AZURE_STORAGE_CONNECTION_STRING"])
        wait_for_port(ports["GEMINI_PORT"], gemini, "the fake Gemini", log)
        yield Services(configuration, f"http://127.0.0.1:{ports['GEMINI_PORT']}")


HTTP_ONLY = {f"AzureWebJobs.{name}.Disabled": "true" for name in ("ledger", "recovery", "resume", "poison")}
"""In Azure, these functions run on other instances than HTTP functions (Flex Consumption, per-function scaling)."""


@contextlib.contextmanager
def product(around: Services, settings: Mapping[str, str] | None = None) -> Iterator[Subject]:
    """Run the product in our Functions host as an instance of the HTTP functions, with everything imported."""
    port = around.configuration.ports["PORT"]
    command = functions_host.command(port, config.ROOT)
    with _served(
        "product", command, port, {**around.configuration.environment, **HTTP_ONLY, **(settings or {})}
    ) as subject:
        requests.get(f"{subject.url}/api/health?deep=1", timeout=30)
        yield subject


def whole_app(around: Services) -> contextlib.AbstractContextManager[Subject]:
    """Run the product with ledger, queue and recovery in the same process, as on a developer's machine."""
    return product(around, dict.fromkeys(HTTP_ONLY, "false"))


@contextlib.contextmanager
def sampled(around: Services, samples: Path) -> Iterator[Subject]:
    """Run the whole function app in a host that writes `samples` (see sampled_host)."""
    port = around.configuration.ports["PORT"]
    command = sampled_host.command(port, samples)
    with _served("sampled", command, port, around.configuration.environment) as subject:
        yield subject


@contextlib.contextmanager
def bare_server(around: Services) -> Iterator[Subject]:
    """Run the floor."""
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
    blobs = f"http://127.0.0.1:{ports['AZURITE_BLOB_PORT']}/{AZURITE_ACCOUNT}"
    used = floor.Services(around.gemini, blobs, sas, f"http://127.0.0.1:{ports['COSMOS_PORT']}", COSMOS_KEY)
    with _served("floor", floor.command(port), port, used.environment()) as subject:
        yield subject


@contextlib.contextmanager
def _served(name: str, command: list[str], port: int, environment: Mapping[str, str]) -> Iterator[Subject]:
    log = LOGS / f"{name}.log"
    with running(command, log=log, environment=environment) as process:
        wait_for_port(port, process, name, log)
        yield Subject(name, f"http://127.0.0.1:{port}", process.pid)
