"""An app as the host reads it: `function_app.py`, `host.json`, `local.settings.json`."""

import importlib
import json
import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

import azure.functions as func

TRIGGERS = {"httpTrigger", "timerTrigger", "queueTrigger", "cosmosDBTrigger"}
OUTPUTS = {"http", "queue", "cosmosDB"}


class CannotServe(RuntimeError):
    """The app cannot be served; the message is one line for a person."""


@dataclass(frozen=True, slots=True)
class Function:
    """One function: what starts it, what it writes, and the code."""

    name: str
    call: Callable[..., Any]
    trigger: dict[str, Any]
    outputs: tuple[dict[str, Any], ...]
    """Without the HTTP response."""
    arguments: frozenset[str]
    retry: dict[str, Any] = field(default_factory=dict)
    """Its retry policy; empty without one."""


@dataclass(frozen=True, slots=True)
class Application:
    root: Path
    functions: tuple[Function, ...]
    host: dict[str, Any] = field(default_factory=dict)
    product: Any = None
    """The module's object of that name: what the app keeps open. Azure has no last moment in which to close it; we have."""

    @property
    def route_prefix(self) -> str:
        prefix: str = self.extension("http").get("routePrefix", "api")
        return prefix.strip("/")

    def extension(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.host.get("extensions", {}).get(name, {})
        return found


def load(root: Path) -> Application:
    """The app in `root`. Its local settings go into the environment, where nothing is set by that name.

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
        module = importlib.import_module("function_app")
    except Exception as error:
        raise CannotServe(f"function_app.py does not load: {type(error).__name__}: {error}") from error
    apps = [value for value in vars(module).values() if isinstance(value, func.FunctionApp)]
    if len(apps) != 1:
        raise CannotServe(f"function_app.py must have one FunctionApp at its top level, not {len(apps)}")
    functions = tuple(function for function in map(_function, apps[0].get_functions()) if not _disabled(function.name))
    return Application(root, functions, host, getattr(module, "product", None))


def _disabled(name: str) -> bool:
    """Whether the app setting `AzureWebJobs.<name>.Disabled` says so (learn.microsoft.com/azure/azure-functions/disable-function)."""
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
            raise CannotServe(f"function {name}: this host does not know the binding {binding['type']}")
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
    """The binding as its JSON has it: names of enums, not enums."""

    def plain(value: Any) -> Any:
        if isinstance(value, list):
            return [plain(item) for item in value]
        if isinstance(value, Enum):
            return value.name.lower() if value.__class__.__name__ == "BindingDirection" else value.value
        return value

    return {name: plain(value) for name, value in binding.items()}


def resolved(text: str) -> str:
    """`%NAME%` replaced by the app setting of that name. Raises CannotServe where it is not set."""

    def setting(match: re.Match[str]) -> str:
        try:
            return os.environ[match[1]]
        except KeyError:
            raise CannotServe(f"the app setting {match[1]} is not set, which a binding needs") from None

    return re.sub(r"%([^%]+)%", setting, text)
