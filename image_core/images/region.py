"""Choose the crop of a masked edit: the masked region with its surroundings, in a shape that the models can make.

A shape is an aspect ratio that the models can make. All numbers are pixels of the upright image.
"""

from collections.abc import Mapping
from dataclasses import dataclass

CONTEXT_SHARE = 4
"""On each side, the surroundings are as wide as the region's longer side divided by this."""
CONTEXT_PIXELS = 48
"""The least width of the surroundings on each side, in pixels."""
CONTEXT_STEPS = (1, 2, 4)
"""If the image is too small for the surroundings in any shape, they are divided by each of these, and then left out."""

Shapes = Mapping[str, tuple[int, int]]
"""Aspect ratios by name, each with the size in pixels of the smallest image that the model makes of it."""


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle of pixels: from `left`, `top` up to `right`, `bottom`."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def width(self) -> int:
        """Pixels from left to right."""
        return self.right - self.left

    @property
    def height(self) -> int:
        """Pixels from top to bottom."""
        return self.bottom - self.top

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return self.width, self.height

    @property
    def edges(self) -> tuple[int, int, int, int]:
        """Left, top, right and bottom, as Pillow takes a box."""
        return self.left, self.top, self.right, self.bottom

    def within(self, size: tuple[int, int]) -> "Box":
        """Return the part inside an image of `size`."""
        width, height = size
        return Box(max(0, self.left), max(0, self.top), min(width, self.right), min(height, self.bottom))

    def grown(self, pixels: int) -> "Box":
        """Return the box with `pixels` more on each side."""
        return Box(self.left - pixels, self.top - pixels, self.right + pixels, self.bottom + pixels)


@dataclass(frozen=True, slots=True)
class Crop:
    """The part of an image that the model edits.

    Its box is inside the image, unless the region fits into no shape inside the image.
    """

    box: Box
    aspect_ratio: str


def choose_crop(region: Box, size: tuple[int, int], shapes: Shapes) -> Crop:
    """Return the crop around `region` of an image of `size`, in the one of `shapes` that needs the fewest pixels.

    It is inside the image, at least as large as what the model makes (as far as the image is), and centered on the
    region as far as the image's edges allow. Where the region with its context does not fit, the context is made
    smaller. Where the region alone fits into no shape, the crop reaches equally far beyond the image on both sides.
    """
    context = max(CONTEXT_PIXELS, -(-max(region.size) // CONTEXT_SHARE))
    for pixels in (*(context // step for step in CONTEXT_STEPS), 0):
        wanted = region.grown(pixels).within(size)
        sizes = {name: _smallest(wanted.size, size, shape) for name, shape in shapes.items()}
        fitting = {name: made for name, made in sizes.items() if made[0] <= size[0] and made[1] <= size[1]}
        if fitting:
            break
    name, crop_size = min((fitting or sizes).items(), key=lambda each: each[1][0] * each[1][1])
    return Crop(_placed(wanted, crop_size, size), name)


def _smallest(wanted: tuple[int, int], size: tuple[int, int], shape: tuple[int, int]) -> tuple[int, int]:
    """Return the smallest size in a shape that holds `wanted`, and at least the model's, as far as the image has it."""
    width, height = shape
    holding = _sides(wanted, shape, longer=True)
    inside = shape if width <= size[0] and height <= size[1] else _sides(size, shape, longer=False)
    return max(holding[0], inside[0]), max(holding[1], inside[1])


def _sides(size: tuple[int, int], shape: tuple[int, int], *, longer: bool) -> tuple[int, int]:
    """Return the smallest size in a shape that holds `size` (`longer`), or the largest one that `size` holds."""
    width, height = shape
    across = size[0] * height >= size[1] * width
    if across == longer:
        return size[0], -(-size[0] * height // width) if longer else size[0] * height // width
    return -(-size[1] * width // height) if longer else size[1] * width // height, size[1]


def _placed(wanted: Box, crop_size: tuple[int, int], size: tuple[int, int]) -> Box:
    """Place a box of `crop_size` around `wanted` inside the image. A larger box is centered on the image."""
    left = _start(wanted.left + wanted.right, crop_size[0], size[0])
    top = _start(wanted.top + wanted.bottom, crop_size[1], size[1])
    return Box(left, top, left + crop_size[0], top + crop_size[1])


def _start(twice_center: int, length: int, most: int) -> int:
    if length > most:
        return -((length - most) // 2)
    return min(max(0, (twice_center - length) // 2), most - length)
