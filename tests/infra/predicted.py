"""Predictions of what a deployment creates: the Bicep compiler evaluates the templates without Azure."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.paths import ROOT

INFRA = ROOT / "infra"

SUBSCRIPTION = "00000000-0000-0000-0000-00000000000b"
TARGET = [
    *("--tenant-id", "00000000-0000-0000-0000-00000000000a", "--subscription-id", SUBSCRIPTION),
    *("--resource-group", "rg", "--location", "westeurope"),
]

# The compiler leaves these functions of the public cloud unevaluated.
CLOUD = {"environment().suffixes.storage": "core.windows.net", "environment().suffixes.keyvaultDns": ".vault.azure.net"}


@dataclass(frozen=True, slots=True)
class Prediction:
    """The resources of one deployment, with every `format(…)` of known arguments evaluated."""

    resources: tuple[Mapping[str, Any], ...]

    def of(self, kind: str) -> list[Mapping[str, Any]]:
        return [resource for resource in self.resources if resource["type"] == kind]

    def one(self, kind: str, name: str = "") -> Mapping[str, Any]:
        """Return the only resource of `kind` whose name begins or ends with `name`."""
        found = [
            resource
            for resource in self.of(kind)
            if resource["name"].startswith(name) or resource["name"].endswith("/" + name)
        ]
        assert len(found) == 1, f"{len(found)} resources are {kind} {name}"
        return found[0]

    @property
    def settings(self) -> Mapping[str, str]:
        """The function app's environment."""
        properties: Mapping[str, str] = self.one("Microsoft.Web/sites/config", "appsettings")["properties"]
        return properties


def predict(
    base: str = "dev",
    parameters: Mapping[str, object] | None = None,
    mutations: Iterable[tuple[str, str, str]] = (),
    *,
    folder: Path,
) -> Prediction:
    """Predict what `base`.bicepparam with `parameters` creates from the templates with `mutations` (file, old, new)."""
    infra = folder / "infra"
    shutil.copytree(INFRA, infra)
    for file, old, new in mutations:
        (infra / "bicepconfig.json").unlink(missing_ok=True)  # the linter would reject some of them first
        text = (infra / file).read_text(encoding="utf-8")
        assert old in text, f"{file} does not contain the text to be changed: {old}"
        (infra / file).write_text(text.replace(old, new), encoding="utf-8")
    source = (infra / f"{base}.bicepparam").read_text(encoding="utf-8")
    for name, value in (parameters or {}).items():
        source = re.sub(rf"(?m)^param {name} = .*\n", "", source)
        source += f"param {name} = {_literal(value)}\n"
    (infra / "test.bicepparam").write_text(source, encoding="utf-8")
    done = subprocess.run(
        ["bicep", "snapshot", str(infra / "test.bicepparam"), *TARGET],
        capture_output=True,
        text=True,
        check=False,
        # The templates must not read the environment of the person who runs the tests.
        env={name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    snapshot = json.loads((infra / "test.snapshot.json").read_text(encoding="utf-8"))
    assert not snapshot["diagnostics"], snapshot["diagnostics"]
    return Prediction(tuple(_resolved(resource) for resource in snapshot["predictedResources"]))


def _literal(value: object) -> str:
    if isinstance(value, str):
        return f"'{value}'"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return "[" + ", ".join(map(_literal, value)) + "]"
    return str(value)


def _resolved(value: Any) -> Any:
    """Evaluate the expressions `[format('…{0}…', …)]` in `value` whose arguments are known."""
    if isinstance(value, dict):
        return {name: _resolved(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_resolved(inner) for inner in value]
    if isinstance(value, str) and value.startswith("[format("):
        text = value[1:-1]
        for expression, meaning in CLOUD.items():
            text = text.replace(expression, f"'{meaning}'")
        while (inner := re.search(r"format\('([^']*)'((?:, '[^']*')*)\)", text)) is not None:
            arguments = re.findall(r"'([^']*)'", inner[2])
            text = text.replace(inner[0], f"'{inner[1].format(*arguments)}'")
        if re.fullmatch(r"'[^']*'", text):
            return text[1:-1]
        return f"[{text}]"
    return value


Predict = Callable[..., Prediction]
