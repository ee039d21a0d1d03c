"""What already answers on this machine: services that a developer has started, and which may be used instead of emulators of our own.

Each kind is known by what it says of itself to a request without a key.
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
from local.emulators import AZURITE_ACCOUNT, AZURITE_KEY, COSMOS_KEY, taken

SECONDS = 5.0
THIS_MACHINE = {"localhost", "127.0.0.1", "::1"}
GEMINI, STORAGE, COSMOS = "the Gemini stand-in", "Azurite", "the Cosmos DB emulator"


class Unusable(RuntimeError):
    """Something is in the way, or not there, and the message says what to do."""


@dataclass(frozen=True, slots=True)
class Used:
    """A service that is used as it is: which, where, and the setting that leads to it, if one was made."""

    name: str
    address: str
    setting: str = ""

    @property
    def line(self) -> str:
        return f"{self.name} at {self.address} ({self.setting or 'it was already running'})"


def running_already(configuration: Config) -> Iterator[Used]:
    """The emulators that this stack would start, and that answer at their ports already. Raises Unusable where another program does."""
    ports = configuration.ports
    if configuration.emulate_storage:
        yield from _azurite(ports["AZURITE_BLOB_PORT"], ports["AZURITE_QUEUE_PORT"], ports["AZURITE_TABLE_PORT"])
    for wanted, variable, name, is_it in (
        (configuration.emulate_cosmos, "COSMOS_PORT", COSMOS, is_cosmos),
        (configuration.emulate_gemini, "GEMINI_PORT", GEMINI, is_gemini),
    ):
        if wanted and taken(ports[variable]):
            url = f"http://127.0.0.1:{ports[variable]}"
            if not is_it(url):
                raise Unusable(_in_the_way(variable, ports[variable], name))
            yield Used(name, url)


def _azurite(blob: int, queue: int, table: int) -> Iterator[Used]:
    services = (("AZURITE_BLOB_PORT", blob, "Blob"), ("AZURITE_QUEUE_PORT", queue, "Queue"))
    there = [service for service in services if taken(service[1])]
    for variable, port, kind in there:
        if not is_storage(f"http://127.0.0.1:{port}/{AZURITE_ACCOUNT}", kind):
            raise Unusable(_in_the_way(variable, port, f"Azurite's {kind} service"))
    if len(there) == 1:
        (variable, port, kind) = next(service for service in services if service not in there)
        raise Unusable(
            f"Azurite runs without its {kind} service, which is looked for on port {port} ({variable}): start all of it, or end it"
        )
    if there:
        yield Used(STORAGE, f"http://127.0.0.1:{blob}")
    elif taken(table):
        raise Unusable(_in_the_way("AZURITE_TABLE_PORT", table, STORAGE))


def _in_the_way(variable: str, port: int, name: str) -> str:
    return (
        f"port {port} is taken, and not by {name}: set {variable} to another, as in `make run {variable}={port + 10}`"
    )


def configured(configuration: Config) -> Iterator[Used]:
    """The services that are configured. Raises Unusable where one is on this machine and does not answer as what it should be."""
    azurite = configuration.azurite.connection_string()
    storage, queues = configuration.setting(config.STORAGE), configuration.setting(config.HOST_STORAGE)
    if storage != azurite:
        setting = config.STORAGE if storage else config.STORAGE_URL
        address = _endpoint(setting, storage, "blob") if storage else configuration.setting(setting)
        yield _used(setting, "Blob Storage", address, lambda url: is_storage(url, "Blob"))
    if queues and queues != azurite:
        setting = config.STORAGE if queues == storage else config.HOST_STORAGE
        found = _used(
            setting, "Queue Storage", _endpoint(setting, queues, "queue"), lambda url: is_storage(url, "Queue")
        )
        if queues != storage:
            yield found
    if not configuration.emulate_cosmos:
        cosmos = configuration.setting(config.COSMOS)
        setting = config.COSMOS if cosmos else config.COSMOS_URL
        address = connection_parts(cosmos).get("AccountEndpoint", "") if cosmos else configuration.setting(setting)
        yield _used(setting, "Cosmos DB", address, is_cosmos)
    if not configuration.emulate_gemini:
        address = configuration.setting("GOOGLE_GEMINI_BASE_URL", "https://generativelanguage.googleapis.com")
        # A gateway may serve nothing that could be asked for free.
        yield _used("GEMINI_API_KEY", "Gemini", address, lambda _: True)


def _endpoint(setting: str, connection_string: str, service: str) -> str:
    """Where a storage account's service answers, as the SDKs read a connection string."""
    parts = connection_parts(connection_string)
    if explicit := parts.get(f"{service.capitalize()}Endpoint"):
        return explicit
    if "AccountName" not in parts:
        raise Unusable(f"{setting} is not a connection string of a storage account")
    suffix = parts.get("EndpointSuffix", "core.windows.net")
    return f"{parts.get('DefaultEndpointsProtocol', 'https')}://{parts['AccountName']}.{service}.{suffix}"


def _used(setting: str, name: str, address: str, is_it: Callable[[str], bool]) -> Used:
    parts = urlsplit(address)
    if not parts.hostname:
        raise Unusable(f"{setting} has no address of {name}: correct it")
    if parts.hostname in THIS_MACHINE:
        if not _listens(parts):
            raise Unusable(
                f"{setting} leads to {parts.netloc}, where nothing listens: start it, or remove the setting and make run starts one"
            )
        if parts.scheme == "http" and not is_it(address):
            raise Unusable(
                f"{setting} leads to {parts.netloc}, and what answers there is not {name}: correct the setting"
            )
    return Used(name, f"{parts.scheme}://{parts.netloc}", setting)


def is_published(connection_string: str) -> bool:
    """Whether a connection string has an emulator's key, which Microsoft has published: no real account takes it."""
    return connection_parts(connection_string).get("AccountKey") in {AZURITE_KEY.rstrip("/"), COSMOS_KEY.rstrip("/")}


def _listens(address: SplitResult) -> bool:
    try:
        port = address.port or (443 if address.scheme == "https" else 80)
        with socket.create_connection((address.hostname or "", port), SECONDS):
            return True
    except (OSError, ValueError):
        return False


def is_storage(url: str, service: str) -> bool:
    """Whether the service (`Blob`, `Queue`) answers at `url`: the real one and Azurite name themselves."""
    answer = _get(url)
    return (
        answer is not None
        and re.match(rf"(Azurite|Windows-Azure)-{service}/", answer.headers.get("Server", "")) is not None
    )


def is_cosmos(url: str) -> bool:
    """Whether a Cosmos DB account, real or emulated, answers at `url`."""
    answer = _get(url)
    return answer is not None and ("x-ms-activity-id" in answer.headers or "readableLocations" in _json(answer))


def is_gemini(url: str) -> bool:
    """Whether `url` lists models as the Gemini API does."""
    answer = _get(f"{url}/v1beta/models")
    return answer is not None and isinstance(_json(answer).get("models"), list)


def _get(url: str) -> requests.Response | None:
    with requests.Session() as session:
        session.trust_env = False  # no proxy is on the way to this machine
        try:
            return session.get(url, timeout=SECONDS, headers={"x-goog-api-key": "none"}, allow_redirects=False)
        except requests.RequestException:
            return None


def _json(answer: requests.Response) -> dict[str, Any]:
    try:
        body = answer.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}
