"""Load an app: `function_app.py`, `host.json`, `local.settings.json` and the app settings."""

import importlib
import json
import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum
from pathlib import Path
from typing import Any, Protocol

import azure.functions as func

TRIGGERS = {"httpTrigger", "timerTrigger", "queueTrigger", "cosmosDBTrigger"}
OUTPUTS = {"http", "queue"}
_TIME_SPAN = re.compile(r"(?:(\d+)\.)?(\d{1,2}):(\d{2}):(\d{2})")


class CannotServe(RuntimeError):
    """The app cannot be served; the message is one line that says why."""


class Closable(Protocol):
    """An object that has to be closed when the app ends."""

    async def close(self) -> None:
        """Close it."""


@dataclass(frozen=True, slots=True)
class Function:
    """One function: its code, what starts it, and what it writes."""

    name: str
    call: Callable[..., Any]
    trigger: dict[str, Any]
    outputs: tuple[dict[str, Any], ...]
    """Output bindings, without the HTTP response."""
    arguments: frozenset[str]
    retry: dict[str, Any] = field(default_factory=dict)
    """Its retry policy; empty without one."""


@dataclass(frozen=True, slots=True)
class LoadedApp:
    """A function app, imported and read."""

    root: Path
    functions: tuple[Function, ...]
    host: dict[str, Any] = field(default_factory=dict)
    """The contents of host.json."""
    product: Closable | None = None
    """The module's variable `product`, if it has one: closed when the host ends. Azure's host never does this."""

    @property
    def route_prefix(self) -> str:
        """The part of every path before a function's route, without slashes around it."""
        prefix: str = self.extension("http").get("routePrefix", "api")
        return prefix.strip("/")

    def extension(self, name: str) -> dict[str, Any]:
        """Return `extensions.<name>` of host.json."""
        found: dict[str, Any] = self.host.get("extensions", {}).get(name, {})
        return found


def load(root: Path) -> LoadedApp:
    """Import the app in `root`; copy its local settings into the environment where that has no value.

    Raises CannotServe.
    """
    host = _json(root / "host.json")
    if not (root / "function_app.py").is_file():
        raise CannotServe(f"function_app.py is missing in {root}")
    settings = root / "local.settings.json"
    for name, value in (_json(settings).get("Values", {}) if settings.exists() else {}).items():
        os.environ.setdefault(name, str(value))
    sys.path.insert(0, str(root))
    try:
        module = importlib.import_module("function_app")  # by name: any folder's app can be served
    except Exception as error:
        raise CannotServe(f"function_app.py cannot be imported: {type(error).__name__}: {error}") from error
    apps = [value for value in vars(module).values() if isinstance(value, func.FunctionApp)]
    if len(apps) != 1:
        raise CannotServe(f"function_app.py must have one FunctionApp at its top level, not {len(apps)}")
    functions = tuple(function for function in map(_function, apps[0].get_functions()) if not _disabled(function.name))
    return LoadedApp(root, functions, host, getattr(module, "product", None))


def resolve_settings(text: str) -> str:
    """Replace each `%NAME%` by the app setting of that name. Raises CannotServe where it is not set."""

    def setting(match: re.Match[str]) -> str:
        try:
            return os.environ[match[1]]
        except KeyError:
            raise CannotServe(f"a binding needs the app setting {match[1]}, which is not set") from None

    return re.sub(r"%([^%]+)%", setting, text)


def parse_time_span(text: str) -> timedelta | None:
    """Parse `[days.]hours:minutes:seconds` as .NET writes it; None for any other text."""
    match = _TIME_SPAN.fullmatch(text.strip())
    if match is None:
        return None
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)


def _disabled(name: str) -> bool:
    """Return whether the app setting `AzureWebJobs.<name>.Disabled` is true.

    See learn.microsoft.com/azure/azure-functions/disable-function.
    """
    return os.environ.get(f"AzureWebJobs.{name}.Disabled", "").lower() in {"true", "1"}


def _json(path: Path) -> dict[str, Any]:
    try:
        parsed = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CannotServe(f"{path.name} is missing in {path.parent}") from None
    except ValueError as error:
        raise CannotServe(f"{path.name} is not valid JSON: {error}") from None
    if not isinstance(parsed, dict):
        raise CannotServe(f"{path.name} is not a JSON object")
    return parsed


def _function(declared: Any) -> Function:
    bindings = [_plain(binding.get_dict_repr()) for binding in declared.get_bindings()]
    triggers = [binding for binding in bindings if binding["type"].endswith("Trigger")]
    outputs = [binding for binding in bindings if binding not in triggers]
    name: str = declared.get_function_name()
    for binding in bindings:
        if binding["type"] not in TRIGGERS | OUTPUTS:
            raise CannotServe(f"function {name}: this host does not support the binding {binding['type']}")
    call = declared.get_user_function()
    code = call.__code__
    return Function(
        name,
        call,
        triggers[0],
        tuple(binding for binding in outputs if binding["type"] != "http"),
        frozenset(code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]),
        dict(declared.get_settings_dict("retry_policy") or {}),
    )


def _plain(binding: dict[str, Any]) -> dict[str, Any]:
    """Return the binding as its JSON form has it: enum members replaced by their names or values."""

    def plain(value: Any) -> Any:
        if isinstance(value, list):
            return [plain(item) for item in value]
        if isinstance(value, Enum):
            return value.name.lower() if value.__class__.__name__ == "BindingDirection" else value.value
        return value

    return {name: plain(value) for name, value in binding.items()}
