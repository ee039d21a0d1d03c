"""Check the Bicep templates: formatted, compiled and linted without a warning, every finding of checkov explained.

`python checks/infra.py CHECKOV_PYTHON`. The compiler is `bicep` on PATH (`az bicep install` installs it). Without it
nothing is checked, and the check fails if `CI` is set.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

INFRA = Path(__file__).parent.parent / "infra"

EXPLAINED = {
    "CKV_AZURE_99": "Cosmos DB: Flex Consumption has no fixed addresses without a network; access by keys is off",
    "CKV_AZURE_101": "Cosmos DB: the public endpoint is needed (see CKV_AZURE_99); every call needs an Entra token",
    "CKV_AZURE_35": "Storage: front ends read images from anywhere; nothing is written without an Entra token",
    "CKV_AZURE_206": "Storage: LRS in development; the images of production are zone-redundant by parameter",
    "CKV_AZURE_109": "Key Vault: the app and the operator have no fixed address; roles (RBAC) decide on access",
    "CKV_AZURE_189": "Key Vault: see CKV_AZURE_109",
    "CKV_AZURE_212": "App Service plan: Flex Consumption has no fixed instances; always-ready ones are a parameter",
    "CKV_AZURE_225": "App Service plan: zone redundancy doubles the price of always-ready instances",
    "CKV_AZURE_222": "Function app: it is the public API; behind a Static Web App the link refuses direct calls",
    "CKV_AZURE_17": "Function app: callers authenticate with a session cookie, not with client certificates",
    "CKV_AZURE_13": "Function app: the session is verified in the code; Easy Auth cannot read NextAuth's cookie",
    "CKV_AZURE_63": "Function app: Flex Consumption has no HTTP logging; Application Insights has the requests",
    "CKV_AZURE_65": "Function app: as CKV_AZURE_63, for detailed errors",
    "CKV_AZURE_66": "Function app: as CKV_AZURE_63, for failed requests",
    "CKV_AZURE_213": "Function app: Flex Consumption has no health check path; an alert on 5xx replaces it",
    "CKV_AZURE_34": "Images: `Blob` in public mode is the documented contract; the private container is never public",
    "CKV_AZURE_78": "Function app: publishing by FTP is off by policy; Flex Consumption refuses `ftpsState`",
    "CKV_AZURE_88": "Function app: Flex Consumption keeps its code in a blob container, there is no file share",
    "CKV_AZURE_80": "Function app: `functionAppConfig` names the runtime, and its test the version",
}
"""Findings that are accepted, and why. A finding that no longer occurs fails the check, too."""


def main(checkov_python: str) -> int:
    """Run all checks; return the exit code."""
    if shutil.which("bicep") is None:
        print("infra: bicep is not on PATH (`az bicep install` installs it): the templates were not checked")
        return 1 if os.environ.get("CI") else 0
    for check in (_form, _build, _lint):
        if not check():
            return 1
    with tempfile.TemporaryDirectory() as folder:
        return _checkov(checkov_python, Path(folder))


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, check=False, capture_output=True, text=True)  # noqa: S603 - the compiler and checkov


def _form() -> bool:
    for path in sorted((*INFRA.rglob("*.bicep"), *INFRA.rglob("*.bicepparam"))):
        done = _run("bicep", "format", "--stdout", str(path))
        if done.returncode != 0 or done.stdout != path.read_text(encoding="utf-8"):
            print(f"infra: {path.relative_to(INFRA.parent)} is not formatted: run `make format`", file=sys.stderr)
            return False
    return True


def _quiet(done: subprocess.CompletedProcess[str]) -> bool:
    """Return whether the compiler succeeded without a warning."""
    if done.returncode == 0 and not done.stderr.strip():
        return True
    print(done.stderr, file=sys.stderr)
    return False


def _build() -> bool:
    parameters = sorted(INFRA.glob("*.bicepparam"))
    built = [_run("bicep", "build", "--stdout", str(INFRA / "main.bicep"))]
    built += [_run("bicep", "build-params", "--stdout", str(path)) for path in parameters]
    return all(map(_quiet, built))


def _lint() -> bool:
    return _quiet(_run("bicep", "lint", "--pattern", str(INFRA / "**" / "*.bicep")))


def _checkov(python: str, folder: Path) -> int:
    """Run checkov on what production with a site would create, with all expressions evaluated."""
    copy = folder / "infra"
    shutil.copytree(INFRA, copy)
    with (copy / "prod.bicepparam").open("a", encoding="utf-8") as file:
        file.write("param staticWebApp = true\n")
    where = [
        "--tenant-id",
        "0" * 8 + "-0000-0000-0000-" + "0" * 12,
        "--subscription-id",
        "0" * 8 + "-0000-0000-0000-" + "0" * 12,
    ]
    done = _run(
        "bicep", "snapshot", str(copy / "prod.bicepparam"), *where, "--resource-group", "rg", "--location", "westeurope"
    )
    if not _quiet(done):
        return 1
    predicted = json.loads((copy / "prod.snapshot.json").read_text(encoding="utf-8"))["predictedResources"]
    template = {
        "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
        "contentVersion": "1.0.0.0",
        "resources": predicted,
    }
    file_name = folder / "predicted.json"
    file_name.write_text(json.dumps(template, indent=1), encoding="utf-8")
    options = ["--framework", "arm", "--skip-download", "--quiet", "--compact", "--output", "json"]
    done = _run(python, "-m", "checkov.main", "-f", str(file_name), *options)
    try:
        report = json.loads(done.stdout)
    except ValueError:
        print(done.stdout[-2000:], done.stderr[-2000:], file=sys.stderr)
        return 1
    if not report["summary"]["passed"]:
        print("infra: checkov checked nothing: see its output with `python -m checkov.main`", file=sys.stderr)
        return 1
    failed = {finding["check_id"]: finding for finding in report["results"]["failed_checks"]}
    for code in sorted(failed.keys() - EXPLAINED.keys()):
        print(f"infra: {code} {failed[code]['check_name']}: {failed[code]['resource']}", file=sys.stderr)
    for code in sorted(EXPLAINED.keys() - failed.keys()):
        print(f"infra: {code} is explained but no longer occurs: remove it from EXPLAINED", file=sys.stderr)
    if failed.keys() != EXPLAINED.keys():
        return 1
    print(f"infra: built and linted; checkov: {report['summary']['passed']} passed, {len(failed)} explained")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
