"""A new process answers a health check before it imports the heavy packages."""

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


def test_heavy_packages_are_imported_after_the_first_health_check() -> None:
    command = [sys.executable, "-c", PROGRAM, ",".join(HEAVY)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "[200, []]\n", done.stderr
