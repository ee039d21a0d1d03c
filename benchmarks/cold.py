"""Milliseconds of a fresh process until its first answer: a cold start without the platform's part.

- `GET /api/health`. Floor: a process that imports asyncio and azure.functions.
- `POST /api/image` with a PNG of 500 KB. Floor: a process that imports the SDKs of Gemini, Blob Storage and Cosmos DB.
- The first `POST /api/image` of a process whose health was requested 2 s before, which has imported the SDKs since.

Read the ratio: goal 1.2. Figures are medians of nine rounds in which all take turns.
"""

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from statistics import median

from benchmarks import images, programs
from benchmarks.table import InvalidMeasurement, Pair, Row
from local import config

ROUNDS = 9
READY_SECONDS = 2.0
"""From the health check to the first image request."""

ANSWER = """
import asyncio, os, sys
import function_app
from image_core.api.http import Request
method, path, cookie, ready = sys.argv[1:]
headers = {"content-type": "application/json", "cookie": cookie}
async def main():
    if ready:
        await function_app.product.handle(Request("GET", "health"))
        await asyncio.sleep(float(ready))
    answer = await function_app.product.handle(Request(method, path, {}, headers, sys.stdin.buffer.read()))
    sys.stdout.write(str(answer.status))
    sys.stdout.flush()
    os._exit(0)
asyncio.run(main())
"""
"""A program that calls the function app as the worker does and ends with its answer."""

BARE = "import asyncio, azure.functions"
SDKS = "import asyncio, azure.functions, google.genai, azure.storage.blob.aio, azure.cosmos.aio"


def _milliseconds(
    program: str, *arguments: str, body: bytes = b"", environment: Mapping[str, str] | None = None
) -> float:
    began = time.perf_counter()
    done = subprocess.run(  # noqa: S603 - this interpreter
        [sys.executable, "-c", program, *arguments],
        input=body,
        capture_output=True,
        check=True,
        cwd=config.ROOT,
        env={**os.environ, **(environment or {})},
    )
    took = (time.perf_counter() - began) * 1000
    if done.stdout not in {b"", b"200"}:
        raise InvalidMeasurement(done.stdout.decode())
    return took


def rows() -> list[Row]:
    """Return the medians of all rounds."""
    body = images.request(images.data_url(images.noise(images.INPUT_BYTES)))
    measured: dict[str, list[float]] = {name: [] for name in ("bare", "health", "sdks", "first", "ready")}
    with programs.services() as around:
        given, cookie = around.configuration.environment, around.cookie(1)
        for _ in range(ROUNDS):
            measured["bare"].append(_milliseconds(BARE))
            measured["health"].append(_milliseconds(ANSWER, "GET", "health", "", ""))
            measured["sdks"].append(_milliseconds(SDKS))
            measured["first"].append(_milliseconds(ANSWER, "POST", "image", cookie, "", body=body, environment=given))
            measured["ready"].append(
                _milliseconds(ANSWER, "POST", "image", cookie, str(READY_SECONDS), body=body, environment=given)
            )
    at = {name: median(values) for name, values in measured.items()}
    return [
        *Pair("cold start to GET /api/health", at["health"], at["bare"], "ms").rows(1.2),
        *Pair("cold start to POST /api/image", at["first"], at["sdks"], "ms").rows(1.2),
        Row(
            "first POST /api/image after a health check",
            at["ready"] - at["health"] - READY_SECONDS * 1000,
            "ms",
            note=f"{READY_SECONDS:g} s after it",
        ),
    ]
