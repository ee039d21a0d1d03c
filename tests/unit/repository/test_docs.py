"""Every error code, setting, test, file and link that the documentation names exists."""

import re
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

from image_core import __version__
from image_core.errors import STATUS_BY_CODE
from image_core.settings import Settings
from tests.support.paths import ROOT

PAGES = [*sorted((ROOT / "docs").glob("*.md")), *sorted(ROOT.glob("*.md"))]

FAULT_TESTS = "".join(path.read_text() for path in sorted((ROOT / "tests" / "faults").glob("test_*.py")))


def test_every_code_is_in_the_contract_with_its_status() -> None:
    contract = (ROOT / "docs" / "api.md").read_text()
    missing = [code for code in STATUS_BY_CODE if f"`{code}`" not in contract]
    assert missing == []


def test_version_is_that_of_the_project_and_of_the_changelog() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    released = re.findall(
        r"(?m)^## (\d[\d.]*) - (\d{4}-\d\d-\d\d)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    )
    assert __version__ == project["version"] == released[0][0]
    assert [date for _, date in released] == sorted((date for _, date in released), reverse=True)


def test_every_test_in_reliability_exists() -> None:
    named = re.findall(r"`(?:…)?(test_\w+)", (ROOT / "docs" / "reliability.md").read_text())
    known = "".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    assert len(named) >= 15
    assert [name for name in named if f"def {name.rstrip('_')}" not in known] == []


def test_every_crash_point_is_in_the_table() -> None:
    tests = re.findall(r"def (test_\w+)", FAULT_TESTS)
    table = (ROOT / "docs" / "reliability.md").read_text()
    assert [name for name in tests if name not in table] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_named_setting_exists(page: Path) -> None:
    known = {field.alias for field in Settings.model_fields.values()}
    platform = {
        *("PORT", "FRONT_PORT", "COSMOS_PORT", "GEMINI_PORT", "IMAGE_API", "SIGKILL", "SIGTERM", "FIX", "PYTHON"),
        *("AZURITE_BLOB_PORT", "AZURITE_QUEUE_PORT", "AZURITE_TABLE_PORT", "PAGE_PORT", "IMAGE", "PROMPT"),
        *("IMAGE_ORIGIN", "IMAGE_COOKIE", "SMOKE_COOKIE", "SESSION_COOKIE"),
        *("RANDOM_OPERATIONS", "RANDOM_SEED", "EVENT_LOOP", "HYPOTHESIS_PROFILE"),  # settings of the tests
        *("AZURE_CLIENT_ID", "AZURE_TENANT_ID", "AZURE_SUBSCRIPTION_ID", "AZURE_PRINCIPAL_OBJECT_ID", "ALERT_EMAIL"),
        "SO_REUSEADDR",
        *("FAILED_PRECONDITION", "PUP_LIMITED_DISABLED", "MAX_TOKENS"),  # names of the Gemini API
        *("COSMOS__accountEndpoint", "PYTHON_APPLICATIONINSIGHTS_ENABLE_TELEMETRY"),
    }
    named = set(re.findall(r"`([A-Z][A-Z0-9]*_[A-Z0-9_]+)(?:=[^`]*)?`", page.read_text()))
    assert named - known - platform == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_has_a_target(page: Path) -> None:
    links = re.findall(r"\]\(([^)#:]*)(?:#([^)]*))?\)", page.read_text(encoding="utf-8"))
    targets = [(page.parent / path if path else page, anchor) for path, anchor in links]
    assert [str(path) for path, _ in targets if not path.exists()] == []
    assert [f"{path}#{anchor}" for path, anchor in targets if anchor and anchor not in anchors(path)] == []


def anchors(page: Path) -> set[str]:
    """Return the anchors that a page's headings have on GitHub."""
    headings = re.findall(r"(?m)^#+ (.+)$", page.read_text(encoding="utf-8"))
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_file_in_where_to_change_what_exists() -> None:
    section = (ROOT / "docs" / "design.md").read_text(encoding="utf-8").partition("## Where to change what")[2]
    table = section.partition("\n## ")[0]
    named = re.findall(r"`([\w./-]+/[\w./-]*|\w+\.py)`", table)
    assert [name for name in named if not (ROOT / name).exists()] == []
    assert len([line for line in table.splitlines() if line.startswith("| ")]) >= 2 + 12
    assert len(named) >= 30


def test_every_limit_in_the_table_of_inputs_names_existing_code() -> None:
    """A row's last column names what enforces the limit: a file, or a name in a module of `image_core`."""
    section = (ROOT / "docs" / "inputs.md").read_text(encoding="utf-8").partition("## Limits")[2]
    rows = [line.rstrip(" |").rpartition(" | ")[2] for line in section.splitlines() if line.startswith("| ")]
    named = [word for where in rows for word in re.findall(r"`([^`]+)`", where)]
    for word in named:
        if "/" in word or word.endswith(".py"):
            assert (ROOT / "image_core" / word).exists() or (ROOT / word).exists(), word
        else:
            module, _, name = word.rpartition(".")
            assert hasattr(import_module(f"image_core.{module}"), name), word
    assert len(named) > 25
