"""Images of the largest sizes, converted by the sandbox."""

import PIL.Image
import pytest

from image_core.images.image import OutputFormat, Target
from image_core.images.sandbox import convert_in_sandbox
from image_core.images.sandbox_memory import most_memory_bytes
from tests.support.image_files import LIMITS, saved

FORMATS: tuple[OutputFormat, ...] = ("png", "jpeg", "webp")


@pytest.mark.parametrize("format_name", FORMATS)
async def test_largest_image_of_a_model_is_converted_within_the_memory_of_a_sandbox(format_name: OutputFormat) -> None:
    """21:9 at 4K, the longest side that a model makes."""
    noise = PIL.Image.effect_noise((1584, 672), 80).resize((6336, 2688)).convert("RGB")
    data = saved(noise, "PNG" if format_name != "png" else "JPEG")
    target = Target(None, format_name)
    made = await convert_in_sandbox(data, *LIMITS, most_memory_bytes(LIMITS[1]), target=target)
    assert (made.width, made.height) == (6336, 2688)
