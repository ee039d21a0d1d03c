"""A decoded image, and its conversion to 8 bits and a smaller size."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from PIL import Image

from image_core.images.exif import UPRIGHT
from image_core.images.passthrough import MAX_SIDE

BAND_ROWS = 256
"""Rows of a large image that are processed at a time."""
LANCZOS_SUPPORT = 3
"""Radius of the filter, in pixels of the smaller image."""


@dataclass(frozen=True, slots=True)
class Frame:
    """Pixels of any mode, their colour profile, and EXIF's orientation."""

    size: tuple[int, int]
    rows: Callable[[int, int], Image.Image]
    """Return the rows from the first number to before the second."""
    profile: bytes | None = None
    orientation: int = UPRIGHT

    @classmethod
    def of(cls, image: Image.Image, profile: bytes | None = None, orientation: int = UPRIGHT) -> "Frame":
        """Return the frame of an image that is in memory."""

        def rows(first: int, last: int) -> Image.Image:
            return image if last - first == image.height else image.crop((0, first, image.width, last))

        return cls(image.size, rows, profile, orientation)

    def small(self) -> Image.Image:
        """Return the image in 8 bits of gray, RGB, RGBA or CMYK, with at most MAX_SIDE pixels on each side."""
        width, height = self.size
        scale = max(1.0, max(width, height) / MAX_SIDE)
        return self.scaled((max(1, round(width / scale)), max(1, round(height / scale))))

    def scaled(self, size: tuple[int, int]) -> Image.Image:
        """Return the image in 8 bits of gray, RGB, RGBA or CMYK, in `size`, which is not larger than its own.

        It is converted in bands, so that no second image of its full size is in memory.
        """
        width, height = self.size
        if size == self.size:
            return _usual(self.rows(0, height))
        ratio = height / size[1]
        margin = LANCZOS_SUPPORT * ratio + 1
        made: Image.Image | None = None
        for top in range(0, size[1], BAND_ROWS):
            bottom = min(top + BAND_ROWS, size[1])
            first = max(0, math.floor(top * ratio - margin))
            last = min(height, math.ceil(bottom * ratio + margin))
            box = (0, top * ratio - first, width, min(bottom * ratio, height) - first)
            band = _usual(self.rows(first, last)).resize((size[0], bottom - top), Image.Resampling.LANCZOS, box)
            if made is None:
                made = Image.new(band.mode, size)
            made.paste(band, (0, top))
        assert made is not None  # noqa: S101 - it has at least one row
        return made


def _usual(image: Image.Image) -> Image.Image:
    """Return the image in the mode L, RGB, RGBA or CMYK."""
    if image.mode.startswith("I"):
        # 16-bit integers: Pillow's own conversion would clip them at 255. A transparent value has 16 bits too.
        image = image.convert("I").point(lambda value: value * (1 / 256)).convert("L")
        image.info.pop("transparency", None)
    if image.mode in {"P", "PA", "LA", "La", "RGBa", "1"} or "transparency" in image.info:
        opaque = "L" if image.mode == "1" else "RGB"
        return image.convert("RGBA" if image.has_transparency_data else opaque)
    return image if image.mode in {"L", "RGB", "RGBA", "CMYK"} else image.convert("RGB")
