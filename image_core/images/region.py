"""Choose the part of an image that a model is asked to edit: around the mask, with context, in a shape that it makes.

Pure arithmetic on pixels of the upright image.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

CONTEXT_SHARE = Fraction(1, 4)
"""Of the region's longer side: how much of its surroundings the model sees on each side."""
CONTEXT_PIXELS = 48
"""The least of it."""
CONTEXT_STEPS = (Fraction(1), Fraction(1, 2), Fraction(1, 4), Fraction(0))
"""Parts of the context that are tried in turn, where the image is too small for all of it in any shape."""

Shapes = Mapping[str, tuple[int, int]]
"""Aspect ratios by their names on the wire, each with the pixels of an image of the model's smallest size."""


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
    """What the model edits: `box` in a shape that it makes.

    The box reaches beyond the image only where the region itself fits into no shape inside of it.
    """

    box: Box
    aspect_ratio: str


def choose_crop(region: Box, size: tuple[int, int], shapes: Shapes) -> Crop:
    """Return the crop around `region` of an image of `size`, in the one of `shapes` that needs the fewest pixels.

    It is inside the image, at least as large as what the model makes (as far as the image is), and centered on the
    region as far as the image's edges allow. Where the region with its context does not fit, the context is made
    smaller. Where the region alone fits into no shape, the crop reaches equally far beyond the image on both sides.
    """
    context = max(CONTEXT_PIXELS, math.ceil(CONTEXT_SHARE * max(region.size)))
    for step in CONTEXT_STEPS:
        wanted = region.grown(math.ceil(step * context)).within(size)
        fitting = [(crop_size, name) for name, crop_size in _sizes(wanted, size, shapes) if _fits(crop_size, size)]
        if fitting:
            crop_size, name = min(fitting, key=lambda each: each[0][0] * each[0][1])
            return Crop(_placed(wanted, crop_size, size), name)
    sizes = _sizes(region, size, shapes)
    name, crop_size = min(sizes, key=lambda each: each[1][0] * each[1][1])
    return Crop(_placed(region, crop_size, size), name)


def _fits(crop_size: tuple[int, int], size: tuple[int, int]) -> bool:
    return crop_size[0] <= size[0] and crop_size[1] <= size[1]


def _sizes(wanted: Box, size: tuple[int, int], shapes: Shapes) -> list[tuple[str, tuple[int, int]]]:
    """Return the smallest size in each shape that holds `wanted`; at least what the model makes, where the image is."""
    found = []
    for name, (width, height) in shapes.items():
        inside = min(Fraction(size[0], width), Fraction(size[1], height), Fraction(1))
        scale = max(Fraction(wanted.width, width), Fraction(wanted.height, height), inside)
        found.append((name, (math.ceil(scale * width), math.ceil(scale * height))))
    return found


def _placed(wanted: Box, crop_size: tuple[int, int], size: tuple[int, int]) -> Box:
    """Place a box of `crop_size` around `wanted` and inside the image; around the image where it is larger."""
    left = _start(wanted.left + wanted.right, crop_size[0], size[0])
    top = _start(wanted.top + wanted.bottom, crop_size[1], size[1])
    return Box(left, top, left + crop_size[0], top + crop_size[1])


def _start(twice_center: int, length: int, most: int) -> int:
    if length > most:
        return -((length - most) // 2)
    return min(max(0, (twice_center - length) // 2), most - length)
