"""Masks: which pixels of an image are to be edited.

A mask is an image of the input's shape, in any size. Where it has transparency, its transparent pixels are edited,
otherwise its white ones. Values in between are rounded: a pixel is edited or it is not.
"""

import math

import PIL.Image
from PIL import ImageChops, ImageFilter

from image_core.errors import InvalidImage
from image_core.images.fault import MaskFault
from image_core.images.region import Box

EDITED = 255
"""The value of an edited pixel in a mask of mode L; all others have 0."""
OPAQUE = 255
MIDDLE = 128
"""A pixel is edited if its transparency or brightness is at least this."""
MOST_STRETCHED = 0.01
"""Permitted deviation from the input's aspect ratio: programs round sizes to multiples of 8 or 16."""


def edited_pixels(mask: PIL.Image.Image) -> PIL.Image.Image:
    """Return the mask in its own size, in mode L: EDITED and 0."""
    if mask.has_transparency_data:
        alpha = mask.convert("RGBA").getchannel("A")
        if alpha.getextrema() != (OPAQUE, OPAQUE):
            return alpha.point(lambda value: EDITED if value < MIDDLE else 0)
    return mask.convert("L").point(lambda value: EDITED if value >= MIDDLE else 0)


def check_shape(mask: tuple[int, int], size: tuple[int, int]) -> None:
    """Raise MaskFault where a mask of one size has another shape than an image of `size`: over 1 % or a pixel apart."""
    across, down = mask[0] * size[1], mask[1] * size[0]
    if abs(across - down) > max(MOST_STRETCHED * across, *size):
        shapes = (
            f"{mask[0]} x {mask[1]} pixels, which is another shape than the {size[0]} x {size[1]} of the first image"
        )
        raise MaskFault(InvalidImage, f"it has {shapes}")


def region_of(mask: PIL.Image.Image, size: tuple[int, int]) -> Box:
    """Return the smallest box of an image of `size` that holds all its edited pixels. `mask` is of `edited_pixels`.

    Raises MaskFault where there are none.
    """
    found = mask.getbbox()
    if found is None:
        raise MaskFault(InvalidImage, "it leaves nothing to edit: it has no transparent pixels, and no white ones")
    across, down = size[0] / mask.width, size[1] / mask.height
    rough = Box(
        math.floor(found[0] * across), math.floor(found[1] * down),
        math.ceil(found[2] * across), math.ceil(found[3] * down),
    ).within(size)  # fmt: skip
    if mask.size == size:
        return rough
    exact = _bounds(mask, size, rough)
    if exact is None:
        raise MaskFault(InvalidImage, "its regions are too small: nothing of them is left in the size of the image")
    return exact


BAND_ROWS = 512
"""Number of rows that are read at once: a mask is never in memory in the size of a large image."""


def _bounds(mask: PIL.Image.Image, size: tuple[int, int], rough: Box) -> Box | None:
    boxes = []
    for top in range(rough.top, rough.bottom, BAND_ROWS):
        band = Box(rough.left, top, rough.right, min(top + BAND_ROWS, rough.bottom))
        found = at_size(mask, size, band).getbbox()
        if found is not None:
            boxes.append((found[0] + band.left, found[1] + band.top, found[2] + band.left, found[3] + band.top))
    if not boxes:
        return None
    lefts, tops, rights, bottoms = zip(*boxes, strict=True)
    return Box(min(lefts), min(tops), max(rights), max(bottoms))


def at_size(mask: PIL.Image.Image, size: tuple[int, int], box: Box) -> PIL.Image.Image:
    """Return the part of the mask that lies on `box` of an image of `size`: EDITED and 0.

    Its outlines are smooth, and inside of those of the mask: a pixel is edited only where the nearest of the mask is.
    """
    if mask.size == size:
        return mask.crop(box.edges)
    across, down = mask.width / size[0], mask.height / size[1]
    edges = (
        box.left * across,
        box.top * down,
        min(box.right * across, mask.width),
        min(box.bottom * down, mask.height),
    )
    smooth = mask.resize(box.size, PIL.Image.Resampling.BILINEAR, edges)
    nearest = mask.resize(box.size, PIL.Image.Resampling.NEAREST, edges)
    return ImageChops.darker(smooth.point(lambda value: EDITED if value >= MIDDLE else 0), nearest)


def feathered(edited: PIL.Image.Image, radius: int) -> PIL.Image.Image:
    """Return the opacity of the new image: 0 outside, 255 inside, and less within `radius` pixels of the edge.

    The edge is softened on its inside only. Parts that are too thin are not softened, nor are the edges of the image.
    """
    if radius < 1:
        return edited
    softened = edited.filter(ImageFilter.BoxBlur(radius))
    inner = softened.point(lambda value: EDITED if value == EDITED else 0)
    wide = inner.filter(ImageFilter.BoxBlur(radius + 1)).point(lambda value: EDITED if value else 0)
    # A pixel at a straight edge has half of its surroundings inside.
    ramp = softened.point(lambda value: min(EDITED, max(0, 2 * value - EDITED)))
    return ImageChops.darker(PIL.Image.composite(ramp, edited, wide), edited)
