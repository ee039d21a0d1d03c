"""Compare the size and aspect ratio of an image with those that were requested."""

import math

from image_core.models.generated import Options

PIXELS_OF_1K = 1024 * 1024
FACTORS = {"1K": 1, "2K": 2, "4K": 4}
"""Factors by which the sides of each size are longer than those of 1K."""

SMALLEST_SHARE = 0.8
"""Minimum share of a size's pixels. Documented images have 0.98 to 1.13
(ai.google.dev/gemini-api/docs/image-generation)."""
LARGEST_DEVIATION = 0.05
"""Maximum deviation of an aspect ratio. Documented images deviate by up to 0.02; the closest ratios by 0.065."""


def reduction(width: int, height: int, options: Options) -> str | None:
    """Return a description of the difference where the image is smaller or has another shape; else None."""
    too_small = options.image_size is not None and width * height < (
        SMALLEST_SHARE * PIXELS_OF_1K * FACTORS.get(options.image_size, 1) ** 2
    )
    other_shape = False
    if options.aspect_ratio is not None:
        across, _, down = options.aspect_ratio.partition(":")
        other_shape = abs(math.log(width / height * int(down) / int(across))) > LARGEST_DEVIATION
    if not too_small and not other_shape:
        return None
    asked = " at ".join(part for part in (options.image_size, options.aspect_ratio) if part)
    return f"the image has {width} x {height} pixels, which is not {asked}"
