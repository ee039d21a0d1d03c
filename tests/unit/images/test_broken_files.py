"""Files that are cut off, changed or made to break decoders: one of our errors, and no other process ends."""

import random
import subprocess
import sys
from pathlib import Path

import pytest

from image_core.images.fault import Fault
from image_core.images.metadata import Broken, cleaned
from image_core.images.sandbox import convert_in_sandbox
from tests.support.awkward_files import AWKWARD
from tests.support.harness import picture
from tests.support.image_files import LIMITS, awkward, opened, prepared, prepared_apart
from tests.support.paths import IMAGES, ROOT

SEEDS = [
    "cat.png",
    "coffee.jpg",
    "rocket.webp",
    *(f"awkward/{name}" for name, end in AWKWARD.items() if end == "image"),
    *("real/bigtiff.tif", "real/dng-like-thumbnail-first.tif", "real/float-0-1.tif", "real/primary-is-second.heic"),
]


FUZZ = """
import random, sys
from image_core.images.passthrough import as_it_is
from image_core.images.convert import converted
from image_core.images.fault import Fault
data = open(sys.argv[1], "rb").read()
for number in range(int(sys.argv[2]), 80):
    dice = random.Random(f"{sys.argv[1].rsplit('/', 1)[-1]} {number}")
    broken = bytearray(data[: dice.randrange(len(data))] if dice.random() < 0.4 else data)
    for _ in range(dice.randrange(1, 12) if broken else 0):
        broken[dice.randrange(min(len(broken), 400) if dice.random() < 0.6 else len(broken))] = dice.randrange(256)
    print(number, flush=True)
    try:
        as_it_is(bytes(broken), 4_000_000) or converted(bytes(broken), 4_000_000, 4_000_000)
    except Fault:
        pass
print("end")
"""
CRASHING = {"cat.heic", "photo.avif", "primary-is-second.heic"}
"""Kinds whose decoders broken files have crashed: that is why they run in a process of their own."""


@pytest.mark.parametrize("name", SEEDS)
def test_cut_and_changed_files_end_in_pictures_or_errors_of_our_tree(name: str) -> None:
    """Whatever decoders raise for broken files, callers get one of our codes."""
    begin, crashes = 0, 0
    while True:
        command = [sys.executable, "-c", FUZZ, str(IMAGES / name), str(begin)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            assert done.stdout.endswith("end\n")
            break
        assert done.returncode < 0, done.stderr  # a signal: no exception but a Fault may come out
        assert Path(name).name in CRASHING
        crashes += 1
        begin = int(done.stdout.split()[-1]) + 1
    assert crashes < 80


async def test_a_file_that_crashes_its_decoder_is_an_invalid_image_and_nothing_else() -> None:
    """Found by the test above: a HEIC with one byte changed ends the process that opens it."""
    dice = random.Random(0)
    data = awkward("cat.heic")
    for _ in range(12):
        broken = bytearray(data)
        for _ in range(8):
            broken[dice.randrange(400)] = dice.randrange(256)
        try:
            made = await prepared_apart(bytes(broken), *LIMITS)
        except Fault as fault:
            caught = fault
        else:
            opened(made)
    assert caught.kind.code in {"invalid_image", "image_too_large"}


async def test_a_conversion_apart_gives_what_it_gives_here() -> None:
    assert await prepared_apart(awkward("cat.heic"), *LIMITS) == prepared(awkward("cat.heic"), *LIMITS)


async def test_no_secret_reaches_the_process_that_decodes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEXTAUTH_SECRET", "hush")
    told = "import json, os; print(json.dumps({'fault': 'InvalidImage', 'details': ' '.join(os.environ)}))"
    with pytest.raises(Fault) as caught:
        await convert_in_sandbox(awkward("photo.bmp"), *LIMITS, program=told)
    assert "PYTHONPATH" in caught.value.details
    assert "NEXTAUTH_SECRET" not in caught.value.details


@pytest.mark.parametrize("name", ["cat.png", "coffee.jpg", "rocket.webp"])
def test_a_file_that_is_cut_off_anywhere_is_no_image(name: str) -> None:
    data = picture(name)
    mime_type = {"png": "image/png", "jpg": "image/jpeg", "webp": "image/webp"}[name.rsplit(".", maxsplit=1)[-1]]
    for length in (*range(0, 2000, 7), len(data) // 2, len(data) - 1, len(data) - 3):
        with pytest.raises(Broken):
            cleaned(data[:length], mime_type)
