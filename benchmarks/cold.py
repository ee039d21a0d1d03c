"""What a cold start costs: a fresh process until its first answers, beside the imports that no answer can do without."""

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from statistics import median

from benchmarks import pictures, programs
from benchmarks.table import Row, Worthless, ratio
from local import config

ROUNDS = 9
READY_SECONDS = 2.0
"""After a health check, before the first picture is asked for."""

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
"""The function app as the worker calls it. What the process does after its answer is not waited for."""

BARE = "import asyncio, azure.functions"
SDKS = "import asyncio, azure.functions, google.genai, azure.storage.blob.aio, azure.cosmos.aio"


def _milliseconds(
    program: str, *arguments: str, body: bytes = b"", environment: Mapping[str, str] | None = None
) -> float:
    began = time.perf_counter()
    done = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-c", program, *arguments],
        input=body,
        capture_output=True,
        check=True,
        cwd=config.ROOT,
        env={**os.environ, **(environment or {})},
    )
    took = (time.perf_counter() - began) * 1000
    if done.stdout not in {b"", b"200"}:
        raise Worthless(done.stdout.decode())
    return took


def rows() -> list[Row]:
    """The table's lines: medians of rounds in which all take turns."""
    body = pictures.request(pictures.data_url(pictures.noise(pictures.INPUT_BYTES)))
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
        *ratio("cold start to GET /api/health", at["health"], at["bare"], "ms", 1.2),
        *ratio("cold start to POST /api/image", at["first"], at["sdks"], "ms", 1.2),
        Row(
            "first POST /api/image of a process whose health was asked",
            at["ready"] - at["health"] - READY_SECONDS * 1000,
            "ms",
            note=f"{READY_SECONDS:g} s before",
        ),
    ]
