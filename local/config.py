"""The local stack's configuration: from the environment, then `local.settings.json`, then defaults for development.

`python -m local.config` prints the settings of the Functions host as `export` lines for a shell.
"""

import json
import os
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from local.emulators import AzuritePorts, cosmos_connection_string
from local.processes import reserve_port

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
"""The default of each port's variable; Core Tools and the emulators have the same defaults."""
MAX_PORT = 65535

SWA = "swa"
"""The value of `FRONT` that selects Microsoft's Static Web Apps emulator."""

EXAMPLE = ROOT / "local.settings.json.example"
STORAGE = "AZURE_STORAGE_CONNECTION_STRING"
STORAGE_URL = "AZURE_STORAGE_ACCOUNT_URL"
COSMOS = "AZURE_COSMOS_CONNECTION_STRING"
COSMOS_URL = "AZURE_COSMOS_ENDPOINT"
HOST_STORAGE = "AzureWebJobsStorage"
HOST_COSMOS = "COSMOS"
"""The connection of the change feed's trigger."""


class WrongSetting(ValueError):
    """A setting cannot be used; the message names it and says what to do."""


@dataclass(frozen=True, slots=True)
class Config:
    """What is started, on which ports, with which environment. A configured service is used instead of an emulator."""

    ports: Mapping[str, int]
    environment: Mapping[str, str]
    """Variables of the Functions host and the front. An empty value hides one of local.settings.json."""
    emulate_static_web_apps: bool
    """Whether the browser's origin is Microsoft's Static Web Apps emulator, with our front behind it."""
    emulate_storage: bool
    """Whether Azurite is needed, for the product or for the Functions host."""
    emulate_cosmos: bool
    emulate_gemini: bool
    latency: float
    """Seconds that the fake Gemini takes for an image."""

    @property
    def azurite(self) -> AzuritePorts:
        """Azurite's ports."""
        return _azurite_ports(self.ports)

    @property
    def page_port(self) -> int:
        """The port of our own front, which may be behind the Static Web Apps emulator."""
        return self.ports["PAGE_PORT" if self.emulate_static_web_apps else "FRONT_PORT"]

    @property
    def used_ports(self) -> dict[str, int]:
        """The ports of this stack, its emulators included, by variable."""
        wanted = {
            "PORT": True,
            "FRONT_PORT": True,
            "PAGE_PORT": self.emulate_static_web_apps,
            "COSMOS_PORT": self.emulate_cosmos,
            "GEMINI_PORT": self.emulate_gemini,
        }
        wanted |= {name: self.emulate_storage for name in PORTS if name.startswith("AZURITE")}
        return {name: self.ports[name] for name, used in wanted.items() if used}

    def setting(self, name: str, default: str = "") -> str:
        """Return a setting as the Functions host reads it."""
        return self.environment.get(name, os.environ.get(name)) or default


def reserve_ports() -> dict[str, int]:
    """Reserve ports for a stack that runs beside another one."""
    return {name: reserve_port() for name in PORTS}


def read(ports: Mapping[str, int] | None = None, given: Mapping[str, str] | None = None) -> Config:
    """Read the configuration from `given` (by default the environment) and local.settings.json. Raises WrongSetting."""
    file = _local_settings()
    settings = {**file, **{name: value for name, value in (given or os.environ).items() if value}}
    chosen = dict(ports) if ports is not None else {name: _port(name, settings, PORTS[name]) for name in PORTS}
    if (front := settings.get("FRONT", "")) not in {"", SWA}:
        raise WrongSetting(f"FRONT is {front!r}: set it to {SWA} for Microsoft's emulator, or leave it out")
    environment = {name: settings[name] for name in (*file, *(given or {})) if name in settings}
    environment |= {
        "NEXTAUTH_SECRET": settings.get("NEXTAUTH_SECRET", SECRET),
        "NEXTAUTH_URL": settings.get("NEXTAUTH_URL", f"http://localhost:{chosen['FRONT_PORT']}"),
        "RECOVERY_INTERVAL": settings.get("RECOVERY_INTERVAL", "*/20 * * * * *"),
        "FUNCTIONS_WORKER_RUNTIME": "python",
    }
    storage, emulate_storage = _storage(settings, _azurite_ports(chosen).connection_string())
    cosmos, emulate_cosmos = _cosmos(settings, cosmos_connection_string(f"http://127.0.0.1:{chosen['COSMOS_PORT']}"))
    gemini, emulate_gemini = _gemini(settings, f"http://127.0.0.1:{chosen['GEMINI_PORT']}")
    environment |= {**storage, **cosmos, **gemini}
    latency = float(settings.get("GEMINI_LATENCY", "2"))
    return Config(chosen, environment, front == SWA, emulate_storage, emulate_cosmos, emulate_gemini, latency)


def connection_parts(connection_string: str) -> dict[str, str]:
    """Split a connection string into its parts by name; a value's trailing slash is removed."""
    pairs = (part.partition("=")[::2] for part in connection_string.split(";") if part.strip())
    return {name.strip(): value.strip().rstrip("/") for name, value in pairs}


def _azurite_ports(ports: Mapping[str, int]) -> AzuritePorts:
    return AzuritePorts(*(ports[f"AZURITE_{name}_PORT"] for name in ("BLOB", "QUEUE", "TABLE")))


def _storage(settings: Mapping[str, str], azurite: str) -> tuple[dict[str, str], bool]:
    """Return the settings of Blob Storage and of the Functions host's storage, and whether either needs Azurite."""
    configured = _configured(settings, STORAGE)
    by_identity = not configured and STORAGE_URL in settings
    found = {STORAGE: configured or ("" if by_identity else azurite)}
    if not any(name.startswith(f"{HOST_STORAGE}__") for name in settings):
        found[HOST_STORAGE] = _configured(settings, HOST_STORAGE) or configured or azurite
    return found, azurite in found.values()


def _cosmos(settings: Mapping[str, str], emulator: str) -> tuple[dict[str, str], bool]:
    """Return the settings of Cosmos DB for the product and the trigger, and whether either needs the emulator."""
    configured = _configured(settings, COSMOS)
    by_identity = not configured and COSMOS_URL in settings
    if _configured(settings, HOST_COSMOS) and not configured and not by_identity:
        raise WrongSetting(
            f"{HOST_COSMOS} is set and {COSMOS} is not: the change feed would read another database than the product "
            "writes; set both"
        )
    found = {COSMOS: configured or ("" if by_identity else emulator)}
    if any(name.startswith(f"{HOST_COSMOS}__") for name in settings):
        return found, emulator in found.values()
    found[HOST_COSMOS] = _configured(settings, HOST_COSMOS) or found[COSMOS]
    if not found[HOST_COSMOS]:
        found[f"{HOST_COSMOS}__accountEndpoint"] = settings[COSMOS_URL]
    return found, emulator in found.values()


def _gemini(settings: Mapping[str, str], fake: str) -> tuple[dict[str, str], bool]:
    """Return the settings of Gemini, and whether the fake one is needed."""
    if "GEMINI_API_KEY" in settings:
        return {}, False
    if "GOOGLE_GEMINI_BASE_URL" in settings:
        raise WrongSetting(
            "GOOGLE_GEMINI_BASE_URL is set and GEMINI_API_KEY is not: set both, or neither for the fake Gemini"
        )
    return {"GEMINI_API_KEY": "any-key-will-do", "GOOGLE_GEMINI_BASE_URL": fake}, True


def _configured(settings: Mapping[str, str], name: str) -> str:
    """Return a connection string, or an empty one where it is missing or means the emulator, as the example's does."""
    value = settings.get(name, "")
    parts = connection_parts(value)
    if parts.get("UseDevelopmentStorage", "").lower() == "true":
        return ""
    return "" if parts == connection_parts(_values(EXAMPLE).get(name, "")) else value


def _local_settings() -> dict[str, str]:
    """Read local.settings.json, or the file that `LOCAL_SETTINGS` names: os.devnull in tests, to keep real keys out."""
    path = Path(os.environ.get("LOCAL_SETTINGS") or ROOT / "local.settings.json")
    return _values(path) if path.is_file() else {}


def _values(path: Path) -> dict[str, str]:
    """Return the `Values` of a settings file that are not empty. Raises WrongSetting."""
    try:
        values = json.loads(path.read_text(encoding="utf-8")).get("Values", {})
        return {name: str(value) for name, value in values.items() if value != ""}
    except (ValueError, AttributeError):
        raise WrongSetting(f"{path} is not a JSON object with `Values`: correct it, or delete it") from None


def _port(name: str, settings: Mapping[str, str], default: int) -> int:
    value = settings.get(name, str(default))
    if not value.isdigit() or not 0 < int(value) <= MAX_PORT:
        raise WrongSetting(f"{name} is {value!r}: set it to a port from 1 to {MAX_PORT}")
    return int(value)


if __name__ == "__main__":
    try:
        _environment = read().environment
    except WrongSetting as _error:
        sys.exit(str(_error))
    for _name, _value in _environment.items():
        if os.environ.get(_name) != _value:
            print(f"export {_name}={shlex.quote(_value)}")
