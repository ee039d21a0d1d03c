"""The local stack's ports and settings: the environment first, then local.settings.json, then what suits development."""

import json
import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from local.emulators import AzuritePorts, cosmos_connection_string, free_port

ROOT = Path(__file__).parent.parent
SECRET = "a development secret, never deployed"  # noqa: S105 - it signs sessions of this machine only

PORTS = {
    "PORT": 7071,
    "FRONT_PORT": 4280,
    "PAGE_PORT": 4281,
    "AZURITE_BLOB_PORT": 10000,
    "AZURITE_QUEUE_PORT": 10001,
    "AZURITE_TABLE_PORT": 10002,
    "COSMOS_PORT": 8081,
    "GEMINI_PORT": 8790,
}
"""Each variable and its default: those that `func` and the emulators have too."""


SWA = "swa"
"""`FRONT` where Microsoft's Static Web Apps emulator is wanted."""


class WrongSetting(ValueError):
    """A setting cannot be used; the message names it."""


@dataclass(frozen=True, slots=True)
class Config:
    """What is started, where, and with which environment. A service that is set by hand is not emulated."""

    ports: Mapping[str, int]
    environment: Mapping[str, str]
    """For the Functions host, beside this process's own."""
    emulate_site: bool
    """Whether Microsoft's Static Web Apps emulator is the browser's origin, with our front behind it."""
    emulate_storage: bool
    emulate_cosmos: bool
    emulate_gemini: bool
    latency: float
    """Seconds that the Gemini stand-in takes."""

    @property
    def azurite(self) -> AzuritePorts:
        return AzuritePorts(*(self.ports[f"AZURITE_{name}_PORT"] for name in ("BLOB", "QUEUE", "TABLE")))

    @property
    def page_port(self) -> int:
        """Where our own front listens: the browser's origin, or behind it."""
        return self.ports["PAGE_PORT" if self.emulate_site else "FRONT_PORT"]

    @property
    def used_ports(self) -> dict[str, int]:
        """The ports that have to be free, by their variables."""
        wanted = {
            "PORT": True,
            "FRONT_PORT": True,
            "PAGE_PORT": self.emulate_site,
            "COSMOS_PORT": self.emulate_cosmos,
            "GEMINI_PORT": self.emulate_gemini,
        }
        wanted |= {name: self.emulate_storage for name in PORTS if name.startswith("AZURITE")}
        return {name: self.ports[name] for name, used in wanted.items() if used}


def free_ports() -> dict[str, int]:
    """Ports for a stack beside another one."""
    return {name: free_port() for name in PORTS}


def read(ports: Mapping[str, int] | None = None, given: Mapping[str, str] | None = None) -> Config:
    """The configuration from `given` (this process's environment) and local.settings.json. Raises WrongSetting."""
    settings = {**_local_settings(), **{name: value for name, value in (given or os.environ).items() if value}}
    chosen = dict(ports) if ports is not None else {name: _port(name, settings, PORTS[name]) for name in PORTS}
    azurite = AzuritePorts(*(chosen[f"AZURITE_{name}_PORT"] for name in ("BLOB", "QUEUE", "TABLE")))
    storage, cosmos = (
        settings.get("AZURE_STORAGE_CONNECTION_STRING", ""),
        settings.get("AZURE_COSMOS_CONNECTION_STRING", ""),
    )
    emulate_storage = _is_here(storage, "BlobEndpoint") and not settings.get("AZURE_STORAGE_ACCOUNT_URL")
    emulate_cosmos = _is_here(cosmos, "AccountEndpoint") and not settings.get("AZURE_COSMOS_ENDPOINT")
    emulate_gemini = not settings.get("GEMINI_API_KEY")
    if (chosen_front := settings.get("FRONT", "")) not in {"", SWA}:
        raise WrongSetting(
            f"FRONT is {chosen_front!r}: set it to {SWA}, Microsoft's Static Web Apps emulator, or leave it out"
        )
    emulate_site = chosen_front == SWA
    front = f"http://localhost:{chosen['FRONT_PORT']}"
    environment = {
        "NEXTAUTH_SECRET": settings.get("NEXTAUTH_SECRET", SECRET),
        "NEXTAUTH_URL": settings.get("NEXTAUTH_URL", front),
        "RECOVERY_INTERVAL": settings.get("RECOVERY_INTERVAL", "*/20 * * * * *"),
        "FUNCTIONS_WORKER_RUNTIME": "python",
    }
    if emulate_storage:
        environment["AZURE_STORAGE_CONNECTION_STRING"] = azurite.connection_string()
    if emulate_storage or not settings.get("AzureWebJobsStorage"):
        environment["AzureWebJobsStorage"] = azurite.connection_string() if emulate_storage else storage
    if emulate_cosmos:
        environment["AZURE_COSMOS_CONNECTION_STRING"] = cosmos_connection_string(
            f"http://127.0.0.1:{chosen['COSMOS_PORT']}"
        )
    # The connection of the change feed's trigger and of the ledger's binding.
    if emulate_cosmos or not settings.get("COSMOS"):
        environment["COSMOS"] = environment.get("AZURE_COSMOS_CONNECTION_STRING", cosmos)
    if emulate_gemini:
        environment["GEMINI_API_KEY"] = "the-stand-in-takes-any"
        environment["GOOGLE_GEMINI_BASE_URL"] = f"http://127.0.0.1:{chosen['GEMINI_PORT']}"
    # What was handed in goes on to the host, wherever it came from.
    environment = {**(given or {}), **environment}
    latency = float(settings.get("GEMINI_LATENCY", "2"))
    return Config(chosen, environment, emulate_site, emulate_storage, emulate_cosmos, emulate_gemini, latency)


def _local_settings() -> dict[str, str]:
    """The file's values. `LOCAL_SETTINGS` names another file: the tests', so that they never meet a developer's real keys."""
    path = Path(os.environ.get("LOCAL_SETTINGS") or ROOT / "local.settings.json")
    if not path.is_file():  # os.devnull is none
        return {}
    try:
        values = json.loads(path.read_text(encoding="utf-8")).get("Values", {})
    except (ValueError, AttributeError):
        raise WrongSetting("local.settings.json is not valid JSON") from None
    return {name: str(value) for name, value in values.items() if value != ""}


def _port(name: str, settings: Mapping[str, str], default: int) -> int:
    value = settings.get(name, str(default))
    if not value.isdigit() or not 0 < int(value) < 65536:  # noqa: PLR2004 - what a port can be
        raise WrongSetting(f"{name} is {value!r}, which is not a port")
    return int(value)


def _is_here(connection_string: str, endpoint: str) -> bool:
    """Whether a connection string is absent, or leads to this machine's emulator, as the example's do."""
    parts = dict(part.partition("=")[::2] for part in connection_string.split(";") if part)
    if not parts or parts.get("UseDevelopmentStorage", "").lower() == "true":
        return True
    return urlsplit(parts.get(endpoint, "")).hostname in {"127.0.0.1", "localhost"}


if __name__ == "__main__":
    # For a shell: what the local stack gives its host, where nothing else is set.
    for _name, _value in read().environment.items():
        if _name not in os.environ:
            print(f"export {_name}={shlex.quote(_value)}")
