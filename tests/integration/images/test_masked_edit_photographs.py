"""Masked edits of real photographs in the sandbox change nothing outside the mask."""

import io

import pi_heif
import PIL.Image
import pytest
from PIL import ImageChops, ImageDraw, ImageOps

from image_core.images.image import Target
from image_core.images.masked_edit import compose_in_sandbox, prepare_in_sandbox
from tests.support.image_files import count_differences, in_eight_bits, saved
from tests.support.paths import IMAGES

PNG = Target(None, "png")


EOI = b"\xff\xd9"
"""The end mark of a JPEG, without which Pillow refuses a file."""


@pytest.mark.parametrize(
    "name",
    [
        "coffee.jpg", "cat.png", "rocket.webp", "unusual/photo.avif", "unusual/cat.heic", "heif/alpha.heic",
        "unusual/rotated-by-exif.jpg", "unusual/palette.png", "unusual/alpha.png", "unusual/sixteen-bit.png",
        "unusual/photo.bmp", "unusual/photo.tiff", "unusual/animated.gif", "unusual/animated.webp",
        "real/uint16-rgb-planar.tif", "real/zero-bytes-between-segments.jpg", "real/no-eoi.jpg", "real/no-iend.png",
    ],
)  # fmt: skip
async def test_masked_edit_changes_nothing_outside_the_mask(name: str) -> None:
    data = (IMAGES / name).read_bytes()
    if name.endswith(".heic"):
        upright = in_eight_bits(pi_heif.HeifFile(data).to_pillow())
    else:
        whole = data + EOI if name == "real/no-eoi.jpg" else data
        upright = in_eight_bits(ImageOps.exif_transpose(PIL.Image.open(io.BytesIO(whole))))
    mask = PIL.Image.new("L", upright.size)
    width, height = upright.size
    ImageDraw.Draw(mask).ellipse((0.3 * width, 0.3 * height, 0.6 * width, 0.6 * height), fill=255)
    shapes = {"1:1": (1024, 1024), "3:2": (1264, 848), "2:3": (848, 1264)}
    limits = (100_000_000, 40_000_000)
    prepared = await prepare_in_sandbox(data, *limits, mask=saved(mask, "PNG"), shapes=shapes, max_side=2048)
    assert prepared is not None
    made = PIL.Image.open(io.BytesIO(prepared.sent.data)).convert("RGB").resize(shapes[prepared.crop.aspect_ratio])
    composed = await compose_in_sandbox(
        data, *limits, mask=prepared.mask.data, answer=saved(made, "PNG"), box=prepared.crop.box, target=PNG
    )
    result = PIL.Image.open(io.BytesIO(composed.image.data))
    assert composed.aligned
    assert count_differences(result, upright, ImageChops.invert(mask)) == 0
