"""What docs/clients.md tells people to paste works as it stands."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import requests
from PIL import Image

from local.stack import Stack
from tests.typescript import faults

pytestmark = pytest.mark.e2e
ROOT = Path(__file__).parent.parent.parent


def snippet(language: str) -> str:
    found = re.findall(rf"```{language}\n(.*?)```", (ROOT / "docs" / "clients.md").read_text(), re.DOTALL)
    assert len(found) == 1
    return str(found[0])


def pasted(stack: Stack, folder: Path, email: str, *command: str) -> str:
    """What the command prints, in a folder with a photograph."""
    shutil.copy(ROOT / "local" / "samples" / "coffee.jpg", folder / "photo.jpg")
    environment = {**os.environ, "IMAGE_ORIGIN": stack.front, "IMAGE_COOKIE": stack.cookie(email)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=90)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def history(stack: Stack, email: str) -> list[dict[str, Any]]:
    answer = requests.get(f"{stack.front}/api/generations", headers={"Cookie": stack.cookie(email)}, timeout=10)
    found: list[dict[str, Any]] = answer.json()["items"]
    return found


def test_the_python_snippet_makes_a_picture(stack: Stack, tmp_path: Path) -> None:
    printed = pasted(stack, tmp_path, "python@example.com", sys.executable, "-c", snippet("python"))
    (made,) = history(stack, "python@example.com")
    assert printed.split()[0] == made["imageUrl"]
    Image.open(tmp_path / "sketch.png").load()


def script(stack: Stack, *replies: dict[str, Any]) -> None:
    standin = f"http://127.0.0.1:{stack.configuration.ports['GEMINI_PORT']}/__script"
    assert requests.post(standin, json=list(replies), timeout=10).status_code == 200


def test_the_python_snippet_tries_again_where_that_can_help_and_says_why_where_it_cannot(
    stack: Stack, tmp_path: Path
) -> None:
    empty = {"body": {"candidates": [{"content": {"parts": []}, "finishReason": "STOP"}]}, "times": 6}
    script(stack, empty)
    pasted(stack, tmp_path, "again@example.com", sys.executable, "-c", snippet("python"))
    (made,) = history(stack, "again@example.com")
    assert made["status"] == "succeeded"
    refusal = {"body": {"candidates": [{"content": {"parts": [{"text": "No."}]}, "finishReason": "SAFETY"}]}}
    script(stack, refusal)
    with pytest.raises(AssertionError, match="RuntimeError: refused: No image was generated"):
        pasted(stack, tmp_path, "never@example.com", sys.executable, "-c", snippet("python"))


def test_the_curl_snippet_makes_a_picture_uploads_lists_and_deletes(stack: Stack, tmp_path: Path) -> None:
    printed = pasted(stack, tmp_path, "curl@example.com", "bash", "-euo", "pipefail", "-c", snippet("sh"))
    decoder = json.JSONDecoder()
    made, end = decoder.raw_decode(printed)
    uploaded, after = decoder.raw_decode(printed[end:])
    listed, _ = decoder.raw_decode(printed[end + after :])
    assert made["status"] == "succeeded"
    assert requests.get(uploaded["url"], timeout=10).content == (tmp_path / "photo.jpg").read_bytes()
    assert [item["id"] for item in listed["items"]] == [made["id"]]
    assert history(stack, "curl@example.com") == []


def test_the_typescript_snippet_compiles(tmp_path: Path) -> None:
    assert faults(snippet("ts"), tmp_path) == []
