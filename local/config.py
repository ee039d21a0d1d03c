"""The local stack's ports and settings: the environment first, then local.settings.json, then what suits development."""

import json
import os
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

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


EXAMPLE = ROOT / "local.settings.json.example"
STORAGE = "AZURE_STORAGE_CONNECTION_STRING"
STORAGE_URL = "AZURE_STORAGE_ACCOUNT_URL"
COSMOS = "AZURE_COSMOS_CONNECTION_STRING"
COSMOS_URL = "AZURE_COSMOS_ENDPOINT"
HOST_STORAGE = "AzureWebJobsStorage"
HOST_COSMOS = "COSMOS"
"""The connection of the change feed's trigger and of the ledger's binding."""


@dataclass(frozen=True, slots=True)
class Config:
    """What is started, where, and with which environment. A service that is configured is used, and not emulated."""

    ports: Mapping[str, int]
    environment: Mapping[str, str]
    """For the Functions host and the front, beside this process's own. An empty value hides one of local.settings.json."""
    emulate_site: bool
    """Whether Microsoft's Static Web Apps emulator is the browser's origin, with our front behind it."""
    emulate_storage: bool
    """Whether Azurite is needed: for the product, or for the Functions host alone."""
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
        """The ports that this stack listens on, or whose emulator it uses, by their variables."""
        wanted = {
            "PORT": True,
            "FRONT_PORT": True,
            "PAGE_PORT": self.emulate_site,
            "COSMOS_PORT": self.emulate_cosmos,
            "GEMINI_PORT": self.emulate_gemini,
        }
        wanted |= {name: self.emulate_storage for name in PORTS if name.startswith("AZURITE")}
        return {name: self.ports[name] for name, used in wanted.items() if used}

    def setting(self, name: str, default: str = "") -> str:
        """A setting of the product as the Functions host will see it."""
        return self.environment.get(name, os.environ.get(name)) or default


def free_ports() -> dict[str, int]:
    """Ports for a stack beside another one."""
    return {name: free_port() for name in PORTS}


def read(ports: Mapping[str, int] | None = None, given: Mapping[str, str] | None = None) -> Config:
    """The configuration from `given` (this process's environment) and local.settings.json. Raises WrongSetting."""
    file = _local_settings()
    settings = {**file, **{name: value for name, value in (given or os.environ).items() if value}}
    chosen = dict(ports) if ports is not None else {name: _port(name, settings, PORTS[name]) for name in PORTS}
    azurite = AzuritePorts(*(chosen[f"AZURITE_{name}_PORT"] for name in ("BLOB", "QUEUE", "TABLE")))
    if (chosen_front := settings.get("FRONT", "")) not in {"", SWA}:
        raise WrongSetting(
            f"FRONT is {chosen_front!r}: set it to {SWA}, Microsoft's Static Web Apps emulator, or leave it out"
        )
    environment = {name: settings[name] for name in (*file, *(given or {})) if name in settings}
    environment |= {
        "NEXTAUTH_SECRET": settings.get("NEXTAUTH_SECRET", SECRET),
        "NEXTAUTH_URL": settings.get("NEXTAUTH_URL", f"http://localhost:{chosen['FRONT_PORT']}"),
        "RECOVERY_INTERVAL": settings.get("RECOVERY_INTERVAL", "*/20 * * * * *"),
        "FUNCTIONS_WORKER_RUNTIME": "python",
    }
    storage, emulate_storage = _storage(settings, azurite.connection_string())
    cosmos, emulate_cosmos = _cosmos(settings, cosmos_connection_string(f"http://127.0.0.1:{chosen['COSMOS_PORT']}"))
    gemini, emulate_gemini = _gemini(settings, f"http://127.0.0.1:{chosen['GEMINI_PORT']}")
    environment |= {**storage, **cosmos, **gemini}
    latency = float(settings.get("GEMINI_LATENCY", "2"))
    return Config(chosen, environment, chosen_front == SWA, emulate_storage, emulate_cosmos, emulate_gemini, latency)


def _storage(settings: Mapping[str, str], azurite: str) -> tuple[dict[str, str], bool]:
    """The settings of Blob Storage and of the Functions host's own storage, and whether Azurite is needed for either."""
    configured = _configured(settings, STORAGE)
    by_identity = not configured and STORAGE_URL in settings
    found = {STORAGE: configured or ("" if by_identity else azurite)}
    if not any(name.startswith(f"{HOST_STORAGE}__") for name in settings):
        found[HOST_STORAGE] = _configured(settings, HOST_STORAGE) or configured or azurite
    return found, azurite in found.values()


def _cosmos(settings: Mapping[str, str], emulator: str) -> tuple[dict[str, str], bool]:
    """The settings of Cosmos DB, for the product and for the trigger, and whether the emulator is needed for either."""
    configured = _configured(settings, COSMOS)
    by_identity = not configured and COSMOS_URL in settings
    if _configured(settings, HOST_COSMOS) and not configured and not by_identity:
        raise WrongSetting(
            f"{HOST_COSMOS} is set and {COSMOS} is not: the change feed would not see the records; set both"
        )
    found = {COSMOS: configured or ("" if by_identity else emulator)}
    if any(name.startswith(f"{HOST_COSMOS}__") for name in settings):
        return found, emulator in found.values()
    found[HOST_COSMOS] = _configured(settings, HOST_COSMOS) or found[COSMOS]
    if not found[HOST_COSMOS]:
        found[f"{HOST_COSMOS}__accountEndpoint"] = settings[COSMOS_URL]
    return found, emulator in found.values()


def _gemini(settings: Mapping[str, str], standin: str) -> tuple[dict[str, str], bool]:
    """The settings of the model's service, and whether its stand-in is needed."""
    if "GEMINI_API_KEY" in settings:
        return {}, False
    if "GOOGLE_GEMINI_BASE_URL" in settings:
        raise WrongSetting(
            "GOOGLE_GEMINI_BASE_URL is set and GEMINI_API_KEY is not: set both, or neither for the stand-in"
        )
    return {"GEMINI_API_KEY": "the-stand-in-takes-any", "GOOGLE_GEMINI_BASE_URL": standin}, True


def _configured(settings: Mapping[str, str], name: str) -> str:
    """A connection string that somebody has configured; empty where there is none, or the example's own."""
    value = settings.get(name, "")
    parts = connection_parts(value)
    if parts.get("UseDevelopmentStorage", "").lower() == "true":
        return ""  # says the same as the example's
    return "" if parts == connection_parts(_values(EXAMPLE).get(name, "")) else value


def connection_parts(connection_string: str) -> dict[str, str]:
    """A connection string's parts by their names, the addresses without the slash at their ends."""
    pairs = (part.partition("=")[::2] for part in connection_string.split(";") if part.strip())
    return {name.strip(): value.strip().rstrip("/") for name, value in pairs}


def _local_settings() -> dict[str, str]:
    """The file's values. `LOCAL_SETTINGS` names another file: the tests', so that they never meet a developer's real keys."""
    path = Path(os.environ.get("LOCAL_SETTINGS") or ROOT / "local.settings.json")
    return _values(path) if path.is_file() else {}  # os.devnull is none


def _values(path: Path) -> dict[str, str]:
    """The `Values` of a settings file that are not empty. Raises WrongSetting."""
    try:
        values = json.loads(path.read_text(encoding="utf-8")).get("Values", {})
        return {name: str(value) for name, value in values.items() if value != ""}
    except (ValueError, AttributeError):
        raise WrongSetting(f"{path.name} is not valid JSON") from None


def _port(name: str, settings: Mapping[str, str], default: int) -> int:
    value = settings.get(name, str(default))
    if not value.isdigit() or not 0 < int(value) < 65536:  # noqa: PLR2004 - what a port can be
        raise WrongSetting(f"{name} is {value!r}, which is not a port")
    return int(value)


if __name__ == "__main__":
    # For a shell: what the local stack gives its host.
    try:
        _environment = read().environment
    except WrongSetting as _error:
        sys.exit(str(_error))
    for _name, _value in _environment.items():
        if os.environ.get(_name) != _value:
            print(f"export {_name}={shlex.quote(_value)}")
