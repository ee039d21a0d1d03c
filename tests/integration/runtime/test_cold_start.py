"""What a new process imports: heavy packages after its first health check, the OpenAPI document at its request."""

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


DOCUMENT = """
import asyncio, os, sys
sys.path.insert(0, {root!r})
os.environ["NEXTAUTH_SECRET"] = "x"
import function_app
from image_core.api.http import Request

def loaded():
    return [name for name in sys.modules if name.startswith(("openapi_pydantic", "image_core.api.openapi"))]

async def main():
    await function_app.product.handle(Request("GET", "health"))
    assert not {{"pydantic", "image_core.api.wire", "image_core.settings"}} & set(sys.modules)
    for path in ("health", "generations"):
        await function_app.product.handle(Request("GET", path))
        assert not loaded(), (path, loaded())
    for path in ("openapi.json", "docs"):
        assert (await function_app.product.handle(Request("GET", path))).status == 200
    assert loaded()

asyncio.run(main())
"""


def test_document_is_not_imported_before_it_is_requested() -> None:
    done = subprocess.run(
        [sys.executable, "-c", DOCUMENT.format(root=str(ROOT))], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
