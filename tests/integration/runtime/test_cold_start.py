"""A new process answers at once: what a health check does not need is loaded behind its answer."""

import subprocess
import sys

from tests.support.paths import ROOT

HEAVY = (
    "pydantic",
    "aiohttp",
    "PIL",
    "opentelemetry",
    "azure.core",
    "azure.cosmos",
    "azure.storage.blob",
    "google.genai",
)

PROGRAM = """
import asyncio, json, sys
import function_app
from image_core.api.http import Request
from tests.support.eventually import eventually

HEAVY = sys.argv[1].split(",")
loaded = lambda: [name for name in HEAVY if name in sys.modules]

async def main():
    answer = await function_app.product.handle(Request("GET", "health"))
    at_once = loaded()
    await eventually(lambda: len(loaded()) == len(HEAVY))
    print(json.dumps([answer.status, at_once]))

asyncio.run(main())
"""


def test_a_health_check_loads_nothing_heavy_and_what_a_generation_needs_is_loaded_behind_its_answer() -> None:
    command = [sys.executable, "-c", PROGRAM, ",".join(HEAVY)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "[200, []]\n", done.stderr
