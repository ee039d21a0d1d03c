"""The lock files install the same packages every day, and Azure's lock installs on Azure's Python only."""

import re
from importlib.metadata import distributions

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.paths import ROOT

PIN = re.compile(r"^([A-Za-z0-9._-]+)(?:\[([a-z0-9,._-]+)\])?==", re.MULTILINE)


@pytest.mark.parametrize("name", ["requirements.txt", "requirements/local.txt", "requirements/dev.txt"])
def test_required_extra_is_pinned_with_its_package(name: str) -> None:
    """A pin of `package[extra]` names the extra: otherwise pip may install a newer release for it."""
    text = (ROOT / name).read_text(encoding="utf-8")
    pinned = {canonicalize_name(found[1]): set((found[2] or "").split(",")) for found in PIN.finditer(text)}
    required = {
        (canonicalize_name(requirement.name), extra)
        for distribution in distributions()
        if canonicalize_name(distribution.name) in pinned
        for requirement in map(Requirement, distribution.requires or ())
        if requirement.extras and (requirement.marker is None or requirement.marker.evaluate({"extra": ""}))
        for extra in requirement.extras
    }
    assert required, "some packages require extras"
    assert [(package, extra) for package, extra in sorted(required) if extra not in pinned.get(package, {extra})] == []


def requirements(name: str) -> list[Requirement]:
    """Return the pins of a lock file, without their hashes."""
    text = re.sub(r"\\\n", " ", (ROOT / name).read_text(encoding="utf-8"))
    lines = (re.sub(r"--hash=\S+", "", line).strip() for line in text.splitlines() if not line.startswith("#"))
    return [Requirement(line) for line in lines if line]


def installed(name: str, version: str) -> dict[str, str]:
    """Return what pip installs from a lock file on Linux with a version of Python."""
    environment = {"python_version": version, "python_full_version": f"{version}.1", "sys_platform": "linux"}
    return {
        canonicalize_name(each.name): str(each.specifier)
        for each in requirements(name)
        if each.marker is None or each.marker.evaluate({**environment, "platform_python_implementation": "CPython"})
    }


def test_azure_gets_the_versions_that_the_tests_run_with() -> None:
    deployed = installed("requirements.txt", "3.13")
    tested = installed("requirements/dev.txt", "3.13")
    assert deployed.items() <= tested.items()
    assert "azure-functions" in deployed


def test_lock_file_is_for_the_runtime_of_the_templates() -> None:
    assert "runtime: { name: 'python', version: '3.13' }" in (ROOT / "infra/modules/functions.bicep").read_text()
    unconditional = [each for each in requirements("requirements.txt") if each.marker is None]
    assert len(unconditional) == len(requirements("requirements.txt")) - 1


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.14"])
def test_build_on_another_python_fails(version: str) -> None:
    """It requires a package that does not exist, with a hash that no file has."""
    packages = installed("requirements.txt", version)
    assert packages["needs-python-3-13"] == "==0"
    text = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    assert re.search(r"needs-python-3-13==0 ; [^\n]*\\\n    --hash=sha256:0{64}\n", text)
