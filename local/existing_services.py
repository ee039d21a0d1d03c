"""Services that the local stack uses instead of starting emulators: configured ones, and emulators that already run.

Each kind is recognised by its answer to a request without a key.
"""

import re
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, urlsplit

import requests

from local import config
from local.config import Config, connection_parts
from local.emulators import AZURITE_ACCOUNT, AZURITE_KEY, COSMOS_KEY
from local.processes import is_port_taken

TIMEOUT_SECONDS = 5.0
THIS_MACHINE = {"localhost", "127.0.0.1", "::1"}
GEMINI, STORAGE, COSMOS = "fake Gemini", "Azurite", "Cosmos DB emulator"


class ServiceUnusable(RuntimeError):
    """A service is missing, or another program has its port; the message says what to do."""


@dataclass(frozen=True, slots=True)
class ExistingService:
    """A service that the stack uses and does not start."""

    name: str
    address: str
    setting: str = ""
    """The setting that configures it; empty for an emulator that already ran."""

    @property
    def description(self) -> str:
        """One line for a person."""
        return f"{self.name} at {self.address} ({f'set by {self.setting}' if self.setting else 'already running'})"


def find_running(configuration: Config) -> Iterator[ExistingService]:
    """Yield the needed emulators that already run. Raises ServiceUnusable if another program has their port."""
    ports = configuration.ports
    if configuration.emulate_storage:
        yield from _azurite(ports["AZURITE_BLOB_PORT"], ports["AZURITE_QUEUE_PORT"], ports["AZURITE_TABLE_PORT"])
    for wanted, variable, name, is_it in (
        (configuration.emulate_cosmos, "COSMOS_PORT", COSMOS, is_cosmos),
        (configuration.emulate_gemini, "GEMINI_PORT", GEMINI, is_gemini),
    ):
        if wanted and is_port_taken(ports[variable]):
            url = f"http://127.0.0.1:{ports[variable]}"
            if not is_it(url):
                raise ServiceUnusable(_port_taken(variable, ports[variable], f"the {name}"))
            yield ExistingService(name, url)


def find_configured(configuration: Config) -> Iterator[ExistingService]:
    """Yield the configured services. Raises ServiceUnusable if one on this machine does not answer as it should."""
    azurite = configuration.azurite.connection_string()
    storage, queues = configuration.setting(config.STORAGE), configuration.setting(config.HOST_STORAGE)
    if storage != azurite:
        setting = config.STORAGE if storage else config.STORAGE_URL
        address = _endpoint(setting, storage, "blob") if storage else configuration.setting(setting)
        yield _checked(setting, "Blob Storage", address, lambda url: is_storage(url, "Blob"))
    if queues and queues != azurite:
        setting = config.STORAGE if queues == storage else config.HOST_STORAGE
        address = _endpoint(setting, queues, "queue")
        found = _checked(setting, "Queue Storage", address, lambda url: is_storage(url, "Queue"))
        if queues != storage:
            yield found
    if not configuration.emulate_cosmos:
        cosmos = configuration.setting(config.COSMOS)
        setting = config.COSMOS if cosmos else config.COSMOS_URL
        address = connection_parts(cosmos).get("AccountEndpoint", "") if cosmos else configuration.setting(setting)
        yield _checked(setting, "Cosmos DB", address, is_cosmos)
    if not configuration.emulate_gemini:
        address = configuration.setting("GOOGLE_GEMINI_BASE_URL", "https://generativelanguage.googleapis.com")
        # A gateway may serve nothing that could be requested for free.
        yield _checked("GEMINI_API_KEY", "Gemini", address, lambda _: True)


def has_published_key(connection_string: str) -> bool:
    """Return whether a connection string has an emulator's key, which no real account accepts."""
    return connection_parts(connection_string).get("AccountKey") in {AZURITE_KEY.rstrip("/"), COSMOS_KEY.rstrip("/")}


def is_storage(url: str, service: str) -> bool:
    """Return whether the service (`Blob`, `Queue`) answers at `url`. Azurite and Azure are named in the answer."""
    answer = _get(url)
    return (
        answer is not None
        and re.match(rf"(Azurite|Windows-Azure)-{service}/", answer.headers.get("Server", "")) is not None
    )


def is_cosmos(url: str) -> bool:
    """Return whether a Cosmos DB account, real or emulated, answers at `url`."""
    answer = _get(url)
    return answer is not None and ("x-ms-activity-id" in answer.headers or "readableLocations" in _json(answer))


def is_gemini(url: str) -> bool:
    """Return whether `url` lists models as the Gemini API does."""
    answer = _get(f"{url}/v1beta/models")
    return answer is not None and isinstance(_json(answer).get("models"), list)


def _azurite(blob: int, queue: int, table: int) -> Iterator[ExistingService]:
    services = (("AZURITE_BLOB_PORT", blob, "Blob"), ("AZURITE_QUEUE_PORT", queue, "Queue"))
    found = [service for service in services if is_port_taken(service[1])]
    for variable, port, kind in found:
        if not is_storage(f"http://127.0.0.1:{port}/{AZURITE_ACCOUNT}", kind):
            raise ServiceUnusable(_port_taken(variable, port, f"Azurite's {kind} service"))
    if len(found) == 1:
        (variable, port, kind) = next(service for service in services if service not in found)
        raise ServiceUnusable(
            f"Azurite runs without its {kind} service, expected on port {port} ({variable}): start all of Azurite, or "
            "end it and make run starts one"
        )
    if found:
        yield ExistingService(STORAGE, f"http://127.0.0.1:{blob}")
    elif is_port_taken(table):
        raise ServiceUnusable(_port_taken("AZURITE_TABLE_PORT", table, STORAGE))


def _port_taken(variable: str, port: int, name: str) -> str:
    return (
        f"port {port} is taken by another program than {name}: set {variable} to another port, "
        f"as in `make run {variable}={port + 10}`"
    )


def _endpoint(setting: str, connection_string: str, service: str) -> str:
    """Return the address of a storage account's service, read from the connection string as the SDKs do."""
    parts = connection_parts(connection_string)
    if explicit := parts.get(f"{service.capitalize()}Endpoint"):
        return explicit
    if "AccountName" not in parts:
        raise ServiceUnusable(f"{setting} is not a connection string of a storage account: correct it")
    suffix = parts.get("EndpointSuffix", "core.windows.net")
    return f"{parts.get('DefaultEndpointsProtocol', 'https')}://{parts['AccountName']}.{service}.{suffix}"


def _checked(setting: str, name: str, address: str, is_it: Callable[[str], bool]) -> ExistingService:
    parts = urlsplit(address)
    if not parts.hostname:
        raise ServiceUnusable(f"{setting} has no address of {name}: correct it")
    if parts.hostname in THIS_MACHINE:
        if not _listens(parts):
            raise ServiceUnusable(
                f"{setting} points to {parts.netloc}, where nothing listens: start {name} there, or remove the setting "
                "and make run starts an emulator"
            )
        if parts.scheme == "http" and not is_it(address):
            raise ServiceUnusable(
                f"{setting} points to {parts.netloc}, and what answers there is not {name}: correct the setting"
            )
    return ExistingService(name, f"{parts.scheme}://{parts.netloc}", setting)


def _listens(address: SplitResult) -> bool:
    try:
        port = address.port or (443 if address.scheme == "https" else 80)
        with socket.create_connection((address.hostname or "", port), TIMEOUT_SECONDS):
            return True
    except (OSError, ValueError):
        return False


def _get(url: str) -> requests.Response | None:
    with requests.Session() as session:
        session.trust_env = False  # requests to this machine do not go through a proxy
        try:
            return session.get(url, timeout=TIMEOUT_SECONDS, headers={"x-goog-api-key": "none"}, allow_redirects=False)
        except requests.RequestException:
            return None


def _json(answer: requests.Response) -> dict[str, Any]:
    try:
        body = answer.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}
