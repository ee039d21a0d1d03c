"""Schemathesis on the local stack finds no server error and no answer that the OpenAPI document does not have."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from image_core.api.router import ROUTES
from local import config
from local.stack import Stack, started

pytestmark = pytest.mark.timeout(400)
LEAST_CALLS = 4
"""Number of model calls at least: not all requests are refused."""
SETTINGS = Path(__file__).parent / "schemathesis.toml"


@pytest.fixture(scope="module")
def closed_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Start a stack that fetches from no usual port: a generated URL may be that of a real server."""
    given = {"GEMINI_LATENCY": "0", "FETCH_ALLOW_PORTS": "1"}
    with started(config.read(config.reserve_ports(), given), tmp_path_factory.mktemp("logs")) as running:
        yield running


def openapi_document(stack: Stack) -> dict[str, Any]:
    """Return the stack's OpenAPI document."""
    document: dict[str, Any] = requests.get(f"{stack.front}/api/openapi.json", timeout=10).json()
    return document


def schemathesis(
    stack: Stack, folder: Path, document: dict[str, Any], *arguments: str
) -> subprocess.CompletedProcess[str]:
    # Schemathesis would not test the route of the document if it read the document from there.
    (folder / "openapi.json").write_text(json.dumps(document))
    program = Path(sys.executable).with_name("schemathesis")
    session = stack.cookie("schemathesis@example.com").partition("=")[2]
    return subprocess.run(
        [str(program), "--config-file", str(SETTINGS), "run", "openapi.json", "--url", stack.front, *arguments],
        cwd=folder,
        env={**os.environ, "SESSION": session},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_every_answer_is_in_the_document(closed_stack: Stack, tmp_path: Path) -> None:
    done = schemathesis(closed_stack, tmp_path, openapi_document(closed_stack))
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"Tested: {len(ROUTES)}" in done.stdout
    calls = requests.get(
        f"http://127.0.0.1:{closed_stack.configuration.ports['GEMINI_PORT']}/__calls", timeout=10
    ).json()
    assert len(calls["calls"]) >= LEAST_CALLS


def test_answer_that_is_not_in_the_document_is_found(closed_stack: Stack, tmp_path: Path) -> None:
    document = openapi_document(closed_stack)
    document["components"]["schemas"]["Health"]["properties"]["version"]["type"] = "integer"
    done = schemathesis(closed_stack, tmp_path, document, "--include-operation-id", "getHealth")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "GET /api/health" in done.stdout
