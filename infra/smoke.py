"""Test a deployment: `python infra/smoke.py URL`. With SMOKE_COOKIE (NAME=VALUE) it also makes one image.

Each step prints a line. The first that fails says what to do, and the exit code is 1. The cookie is never printed.
"""

import base64
import os
import struct
import sys
import time
import zlib
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

import requests

if TYPE_CHECKING:
    from collections.abc import Callable

SECONDS = 60
"""Maximum time of one response, in seconds. A generation may take longer: each request waits for it as WAIT says."""

WAIT = "wait=20"

FINISH_SECONDS = 300


class Failed(Exception):
    """A step failed; the message says what to do."""


def main(url: str, cookie: str | None) -> int:
    """Run the steps; return the exit code."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.netloc:
        print(
            f"smoke: {url!r} is not the address of an API, for example https://func-prod-….azurewebsites.net",
            file=sys.stderr,
        )
        return 2
    base = url.rstrip("/") + "/"
    steps: list[Callable[[str], str]] = [_health, _dependencies, _unauthorized]
    if cookie:
        steps.append(lambda base: _generation(base, cookie))
    for step in steps:
        try:
            print(f"ok    {step(base)}", flush=True)
        except Failed as failed:
            print(f"FAIL  {failed}", file=sys.stderr)
            return 1
        except requests.RequestException as error:
            print(f"FAIL  {parts.netloc} did not answer ({type(error).__name__}): check the address", file=sys.stderr)
            return 1
    if not cookie:
        print("      to make one image too, set SMOKE_COOKIE to a session cookie (NAME=VALUE)")
    return 0


def _health(base: str) -> str:
    answer = requests.get(urljoin(base, "api/health"), timeout=SECONDS)
    if answer.status_code != HTTPStatus.OK:
        raise Failed(
            f"api/health answered {answer.status_code}: check that the code is published and that the app starts"
        )
    return f"api/health: version {_json(answer).get('version')}"


def _dependencies(base: str) -> str:
    answer = requests.get(urljoin(base, "api/health?deep=1"), timeout=SECONDS)
    states = _json(answer).get("dependencies", {})
    down = [
        f"{name} ({state.get('code', state['status'])})" for name, state in states.items() if state["status"] == "down"
    ]
    for name, state in states.items():
        if state["status"] not in {"ok", "down"}:  # an outage of the model is not a fault of the deployment
            print(f"      {name} is {state['status']}: run make doctor for the reason", flush=True)
    if answer.status_code != HTTPStatus.OK or down or not states:
        raise Failed(f"not healthy: {', '.join(down) or answer.status_code}: run make doctor for what to do")
    return f"dependencies: {', '.join(states)}"


def _unauthorized(base: str) -> str:
    answer = requests.post(urljoin(base, "api/image"), json={"images": [PIXEL], "prompt": "a test"}, timeout=SECONDS)
    if answer.status_code != HTTPStatus.UNAUTHORIZED:
        raise Failed(
            f"a call without a session was answered {answer.status_code} instead of 401: anybody can use this API, "
            "so stop the app and check NEXTAUTH_SECRET"
        )
    return "a call without a session is refused"


def _generation(base: str, cookie: str) -> str:
    headers = {"Cookie": cookie, "Idempotency-Key": f"smoke-{time.time_ns()}", "Prefer": WAIT}
    began = time.monotonic()
    prompt = "Turn this into a watercolor of a lighthouse"
    answer = requests.post(
        urljoin(base, "api/image"), json={"images": [PIXEL], "prompt": prompt}, headers=headers, timeout=SECONDS
    )
    body = _json(answer)
    if answer.status_code == HTTPStatus.UNAUTHORIZED:
        raise Failed(
            "the session cookie was refused: check that it has not expired, and that its front end has the same "
            "NEXTAUTH_SECRET"
        )
    while answer.status_code == HTTPStatus.ACCEPTED or body.get("status") == "running":
        if time.monotonic() - began > FINISH_SECONDS:
            raise Failed(f"the generation {body.get('id')} did not finish within {FINISH_SECONDS} s")
        status_url = urljoin(base, f"api/generations/{body['id']}")
        answer = requests.get(status_url, headers={"Cookie": cookie, "Prefer": WAIT}, timeout=SECONDS)
        body = _json(answer)
    if body.get("status") != "succeeded":
        code = body.get("code") or (body.get("error") or {}).get("code")
        raise Failed(f"the generation failed: {answer.status_code} {code}: run make doctor for what to do")
    address = urljoin(base, body["imageUrl"])
    own = urlsplit(address).netloc == urlsplit(base).netloc
    image = requests.get(address, headers={"Cookie": cookie} if own else {}, timeout=SECONDS)
    kind = image.headers.get("Content-Type", "")
    if image.status_code != HTTPStatus.OK or not kind.startswith("image/"):
        raise Failed(
            f"the image's URL answered {image.status_code} {kind}: check that IMAGE_ACCESS and the container's public "
            "access agree"
        )
    deleted = requests.delete(
        urljoin(base, f"api/generations/{body['id']}"), headers={"Cookie": cookie}, timeout=SECONDS
    )
    if deleted.status_code != HTTPStatus.NO_CONTENT:
        raise Failed(f"the generation {body['id']} could not be deleted: {deleted.status_code}")
    seconds = time.monotonic() - began
    return f"one generation by {body['model']}: {body['width']} x {body['height']}, {seconds:.0f} s, then deleted"


def _json(answer: requests.Response) -> dict[str, Any]:
    try:
        body = answer.json()
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise Failed(f"{urlsplit(answer.url).path} answered {answer.status_code} without JSON: check the API's address")
    return body


def _png(size: int) -> bytes:
    """Return a gray square as a PNG, the input of the generation."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = zlib.compress((b"\0" + b"\x80" * size) * size)
    header = struct.pack(">IIBBBBB", size, size, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


PIXEL = "data:image/png;base64," + base64.b64encode(_png(64)).decode()


if __name__ == "__main__":
    if len(sys.argv) != 2:  # noqa: PLR2004 - the program and its one argument
        print("usage: SMOKE_COOKIE=NAME=VALUE python infra/smoke.py URL", file=sys.stderr)
        sys.exit(2)
    sys.exit(main(sys.argv[1], os.environ.get("SMOKE_COOKIE") or None))
