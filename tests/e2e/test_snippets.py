"""The code examples of docs/clients.md work unchanged."""

import json
import os
import re
import shutil
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
import requests
from PIL import Image

from local.stack import Stack
from tests.support.paths import ROOT
from tests.support.typescript import faults


def snippet(language: str) -> str:
    found = re.findall(rf"```{language}\n(.*?)```", (ROOT / "docs" / "clients.md").read_text(), re.DOTALL)
    assert len(found) == 1
    return str(found[0])


def run_snippet(stack: Stack, folder: Path, email: str, *command: str, origin: str = "") -> str:
    """Run the command in a folder with a photograph and return what it prints."""
    shutil.copy(ROOT / "local" / "samples" / "coffee.jpg", folder / "photo.jpg")
    environment = {**os.environ, "IMAGE_ORIGIN": origin or stack.front, "IMAGE_COOKIE": stack.cookie(email)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=90)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def history(stack: Stack, email: str) -> list[dict[str, Any]]:
    answer = requests.get(f"{stack.front}/api/generations", headers={"Cookie": stack.cookie(email)}, timeout=10)
    found: list[dict[str, Any]] = answer.json()["items"]
    return found


def test_python_snippet_generates_an_image(stack: Stack, tmp_path: Path) -> None:
    printed = run_snippet(stack, tmp_path, "python@example.com", sys.executable, "-c", snippet("python"))
    (made,) = history(stack, "python@example.com")
    assert printed.split()[0] == made["imageUrl"]
    Image.open(tmp_path / "sketch.png").load()


def script(stack: Stack, *replies: dict[str, Any]) -> None:
    fake_gemini = f"http://127.0.0.1:{stack.configuration.ports['GEMINI_PORT']}/__script"
    assert requests.post(fake_gemini, json=list(replies), timeout=10).status_code == 200


def test_python_snippet_retries_a_retryable_failure_and_raises_another(stack: Stack, tmp_path: Path) -> None:
    empty = {"body": {"candidates": [{"content": {"parts": []}, "finishReason": "STOP"}]}, "times": 6}
    script(stack, empty)
    run_snippet(stack, tmp_path, "again@example.com", sys.executable, "-c", snippet("python"))
    (made,) = history(stack, "again@example.com")
    assert made["status"] == "succeeded"
    refusal = {"body": {"candidates": [{"content": {"parts": [{"text": "No."}]}, "finishReason": "SAFETY"}]}}
    script(stack, refusal)
    with pytest.raises(AssertionError, match="RuntimeError: refused: No image was generated"):
        run_snippet(stack, tmp_path, "never@example.com", sys.executable, "-c", snippet("python"))


class Faulty(BaseHTTPRequestHandler):
    """A proxy that replaces the first response of each URL by its own 502 page and forwards all others."""

    target = ""
    answered: ClassVar[list[str]] = []

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name in the standard library
        """Log nothing."""

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        first = f"{self.command} {self.path}" not in self.answered
        self.answered.append(f"{self.command} {self.path}")
        sent = {name: value for name, value in self.headers.items() if name not in {"Host", "Content-Length"}}
        answer = requests.request(self.command, self.target + self.path, headers=sent, data=body, timeout=30)
        status, data = (502, b"<html>Bad gateway</html>") if first else (answer.status_code, answer.content)
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def test_python_snippet_retries_after_a_proxys_error_page_and_pays_once(stack: Stack, tmp_path: Path) -> None:
    """The proxy replaces the first response, so that only the key prevents a second payment."""
    fake_gemini = f"http://127.0.0.1:{stack.configuration.ports['GEMINI_PORT']}/__calls"
    before = len(requests.get(fake_gemini, timeout=10).json()["calls"])
    Faulty.target = stack.front
    server = ThreadingHTTPServer(("127.0.0.1", 0), Faulty)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        origin = f"http://127.0.0.1:{server.server_port}"
        printed = run_snippet(
            stack, tmp_path, "proxy@example.com", sys.executable, "-c", snippet("python"), origin=origin
        )
    finally:
        server.shutdown()
        server.server_close()
    (made,) = history(stack, "proxy@example.com")
    assert printed.split()[0] == made["imageUrl"]
    assert len(requests.get(fake_gemini, timeout=10).json()["calls"]) == before + 1


def test_curl_snippet_generates_uploads_lists_and_deletes(stack: Stack, tmp_path: Path) -> None:
    printed = run_snippet(stack, tmp_path, "curl@example.com", "bash", "-euo", "pipefail", "-c", snippet("sh"))
    decoder = json.JSONDecoder()
    made, end = decoder.raw_decode(printed)
    uploaded, after = decoder.raw_decode(printed[end:])
    listed, _ = decoder.raw_decode(printed[end + after :])
    assert made["status"] == "succeeded"
    assert requests.get(uploaded["url"], timeout=10).content == (tmp_path / "photo.jpg").read_bytes()
    assert [item["id"] for item in listed["items"]] == [made["id"]]
    assert history(stack, "curl@example.com") == []


def test_typescript_snippet_compiles(tmp_path: Path) -> None:
    assert faults(snippet("ts"), tmp_path) == []
