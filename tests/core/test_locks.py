"""What the lock files promise: they install tomorrow what they install today."""

import re
from importlib.metadata import distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent.parent
PIN = re.compile(r"^([A-Za-z0-9._-]+)(?:\[([a-z0-9,._-]+)\])?==", re.MULTILINE)


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-local.txt", "requirements-dev.txt"])
def test_an_extra_that_a_package_asks_for_is_pinned_with_it(name: str) -> None:
    """pip takes `package[extra]` for pinned only where its pin has the extra: else a newer release breaks the installation."""
    text = (ROOT / name).read_text(encoding="utf-8")
    pinned = {canonicalize_name(found[1]): set((found[2] or "").split(",")) for found in PIN.finditer(text)}
    asked = {
        (canonicalize_name(requirement.name), extra)
        for distribution in distributions()
        if canonicalize_name(distribution.name) in pinned
        for requirement in map(Requirement, distribution.requires or ())
        if requirement.extras and (requirement.marker is None or requirement.marker.evaluate({"extra": ""}))
        for extra in requirement.extras
    }
    assert asked, "some packages do ask for extras"
    assert [(package, extra) for package, extra in sorted(asked) if extra not in pinned.get(package, {extra})] == []
