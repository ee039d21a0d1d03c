"""The sandbox: whatever a damaged file does to its decoder, the caller gets a `Fault`."""

import random
import subprocess
import sys
from pathlib import Path

import PIL.Image
import pytest

from image_core.images.fault import Fault, NeedsMemory
from image_core.images.sandbox import convert_in_sandbox
from tests.support.image_files import LIMITS, opened, prepared, prepared_in_sandbox, saved, turned, unusual_image
from tests.support.paths import IMAGES, ROOT
from tests.support.unusual_files import UNUSUAL

SEEDS = [
    "cat.png",
    "coffee.jpg",
    "rocket.webp",
    *(f"unusual/{name}" for name, expected in UNUSUAL.items() if expected == "image"),
    *("real/bigtiff.tif", "real/dng-like-thumbnail-first.tif", "real/float-0-1.tif", "real/primary-is-second.heic"),
]


FUZZ = """
import random, sys
from image_core.images.passthrough import as_it_is
from image_core.images.convert import converted
from image_core.images.fault import Fault
data = open(sys.argv[1], "rb").read()
for number in range(int(sys.argv[2]), 80):
    generator = random.Random(f"{sys.argv[1].rsplit('/', 1)[-1]} {number}")
    broken = bytearray(data[: generator.randrange(len(data))] if generator.random() < 0.4 else data)
    for _ in range(generator.randrange(1, 12) if broken else 0):
        end = min(len(broken), 400) if generator.random() < 0.6 else len(broken)
        broken[generator.randrange(end)] = generator.randrange(256)
    print(number, flush=True)
    try:
        as_it_is(bytes(broken), 4_000_000) or converted(bytes(broken), 4_000_000, 4_000_000)
    except Fault:
        pass
print("end")
"""
PIXELS = 65_000_000
MEBIBYTE = 2**20
CRASHING = {"cat.heic", "photo.avif", "primary-is-second.heic"}
"""Files whose decoders have crashed for some of their damaged variants."""


@pytest.mark.parametrize("name", SEEDS)
def test_damaged_file_is_converted_or_raises_a_fault(name: str) -> None:
    begin, crashes = 0, 0
    while True:
        command = [sys.executable, "-c", FUZZ, str(IMAGES / name), str(begin)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            assert done.stdout.endswith("end\n")
            break
        assert done.returncode < 0, done.stderr  # ended by a signal: every exception but a Fault would give 1
        assert Path(name).name in CRASHING
        crashes += 1
        begin = int(done.stdout.split()[-1]) + 1
    assert crashes < 80


async def test_file_that_crashes_its_decoder_is_an_invalid_image() -> None:
    """The test above found a HEIC with changed bytes that crashes the process that opens it."""
    generator = random.Random(0)
    data = unusual_image("cat.heic")
    for _ in range(12):
        broken = bytearray(data)
        for _ in range(8):
            broken[generator.randrange(400)] = generator.randrange(256)
        try:
            made = await prepared_in_sandbox(bytes(broken), *LIMITS)
        except Fault as fault:
            caught = fault
        else:
            opened(made)
    assert caught.kind.code in {"invalid_image", "image_too_large"}


async def test_conversion_in_the_sandbox_equals_conversion_in_this_process() -> None:
    assert await prepared_in_sandbox(unusual_image("cat.heic"), *LIMITS) == prepared(unusual_image("cat.heic"), *LIMITS)


async def test_environment_of_the_sandbox_has_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEXTAUTH_SECRET", "hush")
    program = "import json, os; print(json.dumps({'fault': 'InvalidImage', 'details': ' '.join(os.environ)}))"
    with pytest.raises(Fault) as caught:
        await convert_in_sandbox(unusual_image("photo.bmp"), *LIMITS, program=program)
    assert "PYTHONPATH" in caught.value.details
    assert "NEXTAUTH_SECRET" not in caught.value.details


@pytest.mark.skipif(sys.platform != "linux", reason="processor time is limited on Linux only")
async def test_process_that_takes_too_much_processor_time_is_ended() -> None:
    with pytest.raises(Fault) as caught:
        await convert_in_sandbox(b"x", *LIMITS, program="while True: pass", cpu_seconds=1)
    assert "more than 1 seconds of processor time" in caught.value.details


@pytest.mark.skipif(sys.platform != "linux", reason="the memory limit works on Linux only")
@pytest.mark.parametrize("megabytes", [70, 90, 110, 130])
async def test_image_is_complete_or_needs_more_memory(megabytes: int) -> None:
    data = turned(3000)
    for image in (data, saved(PIL.Image.linear_gradient("L").resize((2500, 2500)).convert("RGB"), "AVIF", speed=10)):
        try:
            made = await convert_in_sandbox(image, PIXELS, PIXELS, megabytes * MEBIBYTE)
        except NeedsMemory:
            continue
        assert made.width in {3000, 2500}
