"""Eight concurrent requests with a 20 MB image each stay within the memory budget."""

import json
import subprocess
import sys

from tests.support.paths import ROOT

SCRIPT = """
import asyncio, base64, io, json, os, sys
from pathlib import Path
from image_core.api.handlers.generate import PARSED_COPIES
from image_core.runtime.memory_budget import MemoryBudget
from tests.support.input_loaders import make_loader
from image_core.runtime.allocator import return_large_blocks
from image_core.inputs.owned_urls import OwnedUrls
from image_core.auth.user import User
from PIL import Image

def resident(field):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))

async def main(limit):
    return_large_blocks()  # as in the application
    out = io.BytesIO()
    Image.frombytes("RGB", (2550, 2550), os.urandom(2550 * 2550 * 3)).save(out, "PNG", compress_level=0)
    text = base64.b64encode(out.getvalue()).decode()
    size = len(out.getvalue())
    del out
    loader = make_loader(OwnedUrls("https://a.blob.core.windows.net", "c", "p", False), None)
    memory_budget = MemoryBudget(limit)
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    before = resident("VmRSS")

    async def request(number):
        async with memory_budget.entered(User(f"u{number}"), PARSED_COPIES * len(text)) as claim:
            copy = text[:-8] + text[-8:]  # a separate string for each request, as parsing makes
            loaded = await loader.load_all([copy], User(f"u{number}"), claim)
            return len(loaded[0].image.data)

    results = await asyncio.gather(*(request(number) for number in range(8)))
    growth = resident("VmHWM") - before
    print(json.dumps({"size": size, "growth": growth, "results": results, "held": memory_budget.held}))

asyncio.run(main(int(sys.argv[1])))
"""


def run(limit: int) -> dict[str, object]:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(limit)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    measured: dict[str, object] = json.loads(done.stdout)
    return measured


def test_eight_large_images_stay_within_the_working_memory() -> None:
    measured = run(10**9)
    size, growth = measured["size"], measured["growth"]
    assert isinstance(size, int)
    assert isinstance(growth, int)
    assert 19_000_000 < size < 20_000_000
    assert measured["results"] == [size] * 8
    assert growth <= 0.4 * 10**9
    assert measured["held"] == 0


def test_requests_run_one_after_another_with_a_small_budget() -> None:
    measured = run(200_000_000)
    size, growth = measured["size"], measured["growth"]
    assert isinstance(size, int)
    assert isinstance(growth, int)
    assert measured["results"] == [size] * 8
    assert growth <= 5 * size
    assert measured["held"] == 0
