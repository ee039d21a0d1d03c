"""Images of the largest sizes, converted by the sandbox."""

import PIL.Image
import pytest

from image_core.images.fault import NeedsMemory
from image_core.images.image import OutputFormat, Target
from image_core.images.masked_edit import compose_in_sandbox, prepare_in_sandbox
from image_core.images.region import Box
from image_core.images.sandbox import convert_in_sandbox
from image_core.images.sandbox_memory import most_memory_bytes
from tests.support.image_files import LIMITS, saved

DEFAULT_LIMITS = (120_000_000, 65_000_000)
"""The defaults of `MAX_IMAGE_PIXELS` and `MAX_DECODED_PIXELS`."""
FORMATS: tuple[OutputFormat, ...] = ("png", "jpeg", "webp")


@pytest.mark.parametrize("format_name", FORMATS)
async def test_largest_image_of_a_model_is_converted_within_the_memory_of_a_sandbox(format_name: OutputFormat) -> None:
    """21:9 at 4K has the longest side that a model makes."""
    noise = PIL.Image.effect_noise((1584, 672), 80).resize((6336, 2688)).convert("RGB")
    data = saved(noise, "PNG" if format_name != "png" else "JPEG")
    target = Target(None, format_name)
    made = await convert_in_sandbox(data, *LIMITS, most_memory_bytes(LIMITS[1]), target=target)
    assert (made.width, made.height) == (6336, 2688)


@pytest.mark.parametrize(
    ("side", "format_name", "mime_type"),
    [
        (8000, "png", "image/png"),
        (8000, "jpeg", "image/jpeg"),
        (8000, "webp", "image/png"),
        (5400, "webp", "image/webp"),
    ],
)
async def test_large_photograph_is_edited_with_a_mask_in_every_format(
    side: int, format_name: OutputFormat, mime_type: str
) -> None:
    """Encoding a WebP of 64 megapixels takes more memory than the sandbox has: the result is a PNG."""
    size = (side, side)
    data = saved(PIL.Image.linear_gradient("L").convert("RGB").resize(size), "JPEG")
    mask = PIL.Image.new("L", (80, 80))
    mask.paste(255, (40, 40, 44, 44))
    limits = (*DEFAULT_LIMITS, most_memory_bytes(DEFAULT_LIMITS[1]))
    shapes = {"1:1": (1024, 1024)}
    prepared = await prepare_in_sandbox(data, *limits, mask=saved(mask, "PNG"), shapes=shapes, max_side=4096)
    assert prepared is not None
    answer = saved(PIL.Image.new("RGB", (4096, 4096), "red"), "PNG")
    target = Target(None, format_name)
    composed = await compose_in_sandbox(
        data, *limits, mask=prepared.mask.data, answer=answer, box=prepared.crop.box, target=target
    )
    assert (composed.image.mime_type, composed.image.width, composed.image.height) == (mime_type, *size)


async def test_masked_edit_whose_webp_takes_too_much_memory_becomes_a_png() -> None:
    """Noise with transparency in the highest quality takes the most memory."""
    size, limits = (5500, 5500), (*DEFAULT_LIMITS, most_memory_bytes(DEFAULT_LIMITS[1]))
    image = PIL.Image.effect_noise((500, 500), 90).resize(size, PIL.Image.Resampling.NEAREST).convert("RGBA")
    image.putalpha(PIL.Image.linear_gradient("L").resize(size))
    mask = PIL.Image.new("L", (55, 55))
    mask.paste(255, (20, 20, 24, 24))
    composed = await compose_in_sandbox(
        saved(image, "PNG"),
        *limits,
        mask=saved(mask, "PNG"),
        answer=saved(PIL.Image.new("RGB", (64, 64), "red"), "PNG"),
        box=Box(1900, 1900, 2500, 2500),
        target=Target(None, "webp", 100),
    )
    assert (composed.image.mime_type, composed.image.width, composed.image.height) == ("image/png", *size)


async def test_mask_that_leaves_too_little_memory_for_composing_is_refused_before_the_model_is_called() -> None:
    size = (8000, 8000)
    exif = PIL.Image.Exif()
    exif[0x112] = 6  # rotated
    data = saved(PIL.Image.new("RGB", size), "JPEG", exif=exif)
    mask = PIL.Image.new("L", size)
    mask.paste(255, (4000, 4000, 4100, 4100))
    limits = (*DEFAULT_LIMITS, most_memory_bytes(DEFAULT_LIMITS[1]))
    with pytest.raises(NeedsMemory):
        await prepare_in_sandbox(data, *limits, mask=saved(mask, "PNG"), shapes={"1:1": (64, 64)}, max_side=64)
