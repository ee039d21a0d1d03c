"""Processor time and memory of a masked edit in the sandbox, for photographs of 12, 24 and 48 megapixels.

- "cut out" prepares the crop for the model, "compose" puts the model's answer into the photograph.
- Floor: a process that decodes the same photograph and writes it as a PNG. Goal: composing takes at most twice as long.
- "address space" must stay below the sandbox's limit.

Times are medians of the rounds, memory is the highest of all rounds.
"""

import asyncio
import io
import random
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import TypeVar

import PIL.Image
from PIL import ImageChops, ImageDraw

from benchmarks.table import Row
from image_core.images.image import Target
from image_core.images.masked_edit import compose_in_sandbox, prepare_in_sandbox
from image_core.images.masked_edit_pixels import PNG_LEVEL
from image_core.images.sandbox import PROGRAM
from image_core.images.sandbox_memory import most_memory_bytes
from image_core.models.catalog import shapes
from image_core.settings import DEFAULT_CHAIN, Settings
from local import config

MEGAPIXELS = (12, 24, 48)
MEBIBYTE = 2**20
MAX_RATIO = 2.0
"""The goal for the time of composing / floor."""
SENT_SIDE = 2048

FLOOR = (
    "import io, sys, PIL.Image; PIL.Image.MAX_IMAGE_PIXELS = None;"
    "image = PIL.Image.open(io.BytesIO(sys.stdin.buffer.read()));"
    f"image.load(); image.save(sys.stdout.buffer, 'PNG', compress_level={PNG_LEVEL});"
    "import time; print(time.process_time(), file=sys.stderr)"
)

T = TypeVar("T")


def photograph(megapixels: int, orientation: int = 1) -> bytes:
    """Return a JPEG as a phone makes it, with sensor noise."""
    size = round((megapixels * 1e6 * 4 / 3) ** 0.5), round((megapixels * 1e6 * 3 / 4) ** 0.5)
    image = PIL.Image.open(config.ROOT / "local" / "samples" / "coffee.jpg").convert("RGB")
    tile = PIL.Image.frombytes("RGB", (512, 512), random.Random(1).randbytes(512 * 512 * 3))  # noqa: S311 - noise, no secret
    noise = PIL.Image.new("RGB", size)
    for left in range(0, size[0], 512):
        for top in range(0, size[1], 512):
            noise.paste(tile, (left, top))
    image = ImageChops.blend(image.resize(size, PIL.Image.Resampling.BICUBIC), noise, 0.08)
    exif = PIL.Image.Exif()
    exif[0x112] = orientation
    out = io.BytesIO()
    image.save(out, "JPEG", quality=90, exif=exif)
    return out.getvalue()


def mask(data: bytes) -> bytes:
    """Return a mask with an ellipse of a tenth of the image, at a quarter of its size, as the playground draws it."""
    with PIL.Image.open(io.BytesIO(data)) as image:
        size = (image.height, image.width) if image.getexif().get(0x112, 1) > 4 else image.size  # noqa: PLR2004 - 5 to 8 are rotations by a quarter
    drawn = PIL.Image.new("L", (size[0] // 4, size[1] // 4))
    box = (0.3 * drawn.width, 0.3 * drawn.height, 0.66 * drawn.width, 0.66 * drawn.height)
    ImageDraw.Draw(drawn).ellipse(box, fill=255)
    out = io.BytesIO()
    drawn.save(out, "PNG")
    return out.getvalue()


def run_in_sandbox(call: Callable[..., Awaitable[T]]) -> tuple[T, float, float, float]:
    """Return the result of `call`, and its sandbox's milliseconds and highest MiB, resident and of address space."""
    with tempfile.TemporaryDirectory() as folder:
        status, took = Path(folder) / "status", Path(folder) / "took"
        program = (
            f"{PROGRAM}; import shutil, time; shutil.copyfile('/proc/self/status', {str(status)!r});"
            f"open({str(took)!r}, 'w').write(str(time.process_time()))"
        )
        made = asyncio.run(_awaited(call(program=program)))
        lines = dict(line.split(":", 1) for line in status.read_text(encoding="ascii").splitlines())
        milliseconds = float(took.read_text(encoding="ascii")) * 1000
    return made, milliseconds, int(lines["VmHWM"].split()[0]) / 1024, int(lines["VmPeak"].split()[0]) / 1024


async def _awaited(call: Awaitable[T]) -> T:
    return await call


def floor(data: bytes) -> float:
    """Return the milliseconds of decoding and encoding."""
    done = subprocess.run((sys.executable, "-c", FLOOR), input=data, capture_output=True, check=True, timeout=120)  # noqa: S603 - a fixed command
    return float(done.stderr) * 1000


def _rows(megapixels: int, orientation: int, rounds: int) -> list[Row]:
    settings = Settings.read({})
    data, made = photograph(megapixels, orientation), shapes(DEFAULT_CHAIN)
    drawn, limits = mask(data), (settings.max_image_pixels, settings.max_decoded_pixels)
    took: dict[str, list[float]] = {"floor": [], "prepare": [], "compose": []}
    most: dict[str, float] = {}
    for _ in range(rounds):
        took["floor"].append(floor(data))
        prepare = partial(prepare_in_sandbox, data, *limits, mask=drawn, shapes=made, max_side=SENT_SIDE)
        prepared, milliseconds, resident, space = run_in_sandbox(prepare)
        assert prepared is not None  # noqa: S101 - the mask is not full
        took["prepare"].append(milliseconds)
        most["prepare"] = max(most.get("prepare", 0), resident)
        answer = PIL.Image.open(io.BytesIO(prepared.sent.data)).convert("RGB").resize(made[prepared.crop.aspect_ratio])
        out = io.BytesIO()
        answer.save(out, "PNG")
        compose = partial(
            compose_in_sandbox,
            data,
            *limits,
            mask=prepared.mask.data,
            answer=out.getvalue(),
            box=prepared.crop.box,
            target=Target(None, "png"),
        )
        composed, milliseconds, resident, space = run_in_sandbox(compose)
        took["compose"].append(milliseconds)
        most["compose"], most["space"] = max(most.get("compose", 0), resident), max(most.get("space", 0), space)
    name = f"{megapixels} megapixels{', turned' if orientation > 1 else ''}"
    composing, reading = median(took["compose"]), median(took["floor"])
    allowed = most_memory_bytes(settings.max_decoded_pixels) / MEBIBYTE
    return [
        Row(f"{name}: the photograph", len(data) / 1e6, "MB"),
        Row(f"{name}: the composed PNG", len(composed.image.data) / 1e6, "MB"),
        Row(f"{name}: floor, decode and encode", reading, "ms"),
        Row(f"{name}: cut out", median(took["prepare"]), "ms"),
        Row(f"{name}: compose", composing, "ms"),
        Row(f"{name}: compose / floor", composing / reading, "x", MAX_RATIO),
        Row(f"{name}: memory to cut out", most["prepare"], "MiB"),
        Row(f"{name}: memory to compose", most["compose"], "MiB"),
        Row(f"{name}: address space to compose", most["space"], "MiB", allowed),
    ]


def rows(rounds: int) -> list[Row]:
    """Measure each size, and the largest with an EXIF orientation."""
    found = [row for megapixels in MEGAPIXELS for row in _rows(megapixels, 1, rounds)]
    return [*found, *_rows(MEGAPIXELS[-1], 6, rounds)]
