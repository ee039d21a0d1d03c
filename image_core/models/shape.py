"""The finished image against what was asked for: is it as large, and of that shape?"""

import math

from image_core.models.generated import Options

PIXELS_OF_1K = 1024 * 1024
FACTORS = {"1K": 1, "2K": 2, "4K": 4}
"""By how much a side of each size is longer than one of 1K."""

SMALLEST_SHARE = 0.8
"""Of the pixels of a size. The documented images have 0.98 to 1.13 of them (ai.google.dev/gemini-api/docs/image-generation)."""
LARGEST_DEVIATION = 0.05
"""Of an aspect ratio. The documented images deviate by up to 0.02; the nearest two ratios are 0.065 apart."""


def reduction(width: int, height: int, options: Options) -> str | None:
    """What the image has and what was asked for, where it is smaller or of another shape; else None."""
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
