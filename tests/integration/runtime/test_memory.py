"""Eight requests with an image of twenty megabytes each, at once, use no more than the memory budget has for them."""

import json
import subprocess
import sys

from tests.support.paths import ROOT

SCRIPT = """
import asyncio, base64, io, json, os, resource, sys
from image_core.api.handlers.generate import PARSED_COPIES
from image_core.runtime.memory_budget import MemoryBudget
from tests.support.input_loaders import make_loader
from image_core.runtime.allocator import return_large_blocks
from image_core.inputs.owned_urls import OwnedUrls
from image_core.auth.user import User
from PIL import Image

def rss():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()

async def main(limit):
    return_large_blocks()  # as the application does
    out = io.BytesIO()
    Image.frombytes("RGB", (2550, 2550), os.urandom(2550 * 2550 * 3)).save(out, "PNG", compress_level=0)
    text = base64.b64encode(out.getvalue()).decode()
    size = len(out.getvalue())
    del out
    loader = make_loader(OwnedUrls("https://a.blob.core.windows.net", "c", "p", False), None)
    memory_budget = MemoryBudget(limit)
    peak = before = rss()
    done = False

    async def watch():
        nonlocal peak
        while not done:
            peak = max(peak, rss())
            await asyncio.sleep(0.005)

    async def request(number):
        async with memory_budget.entered(User(f"u{number}"), PARSED_COPIES * len(text)) as claim:
            mine = text[:-8] + text[-8:]  # as parsed: a string of its own for each request
            loaded = await loader.load_all([mine], User(f"u{number}"), claim)
            return len(loaded[0].image.data)

    watching = asyncio.create_task(watch())
    results = await asyncio.gather(*(request(number) for number in range(8)))
    done = True
    await watching
    print(json.dumps({"size": size, "growth": peak - before, "results": results, "held": memory_budget.held}))

asyncio.run(main(int(sys.argv[1])))
"""


def run(limit: int) -> dict[str, object]:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(limit)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    measured: dict[str, object] = json.loads(done.stdout)
    return measured


def test_eight_large_images_use_the_working_memory_of_the_budget_and_no_more() -> None:
    measured = run(10**9)
    size, growth = measured["size"], measured["growth"]
    assert isinstance(size, int)
    assert isinstance(growth, int)
    assert 19_000_000 < size < 20_000_000
    assert measured["results"] == [size] * 8
    assert growth <= 0.4 * 10**9
    assert measured["held"] == 0


def test_with_a_small_budget_they_run_one_after_another() -> None:
    measured = run(200_000_000)
    size, growth = measured["size"], measured["growth"]
    assert isinstance(size, int)
    assert isinstance(growth, int)
    assert measured["results"] == [size] * 8
    assert growth <= 5 * size
    assert measured["held"] == 0
