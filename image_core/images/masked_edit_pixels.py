"""Compute a masked edit, inside the sandbox: cut out what a model is to edit, and compose its answer.

`masked_edit` starts the sandbox. Pixels outside the mask come from the input and from nothing else.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import PIL.Image
from PIL import ImageChops

from image_core.images import alignment
from image_core.images.convert import Limits, encoded, faults, written
from image_core.images.fault import Fault, MaskFault
from image_core.images.image import Image, Target
from image_core.images.mask import at_size, check_shape, edited_pixels, feathered, region_of
from image_core.images.masked_edit import ComposedEdit, PreparedEdit
from image_core.images.original import Original, original
from image_core.images.region import Box, Crop, choose_crop
from image_core.images.sandbox_memory import most_memory_bytes

BAND_ROWS = 256
"""Number of rows that are composed at once: only the image itself is in memory in its full size."""
FEATHER_SHARE = 1 / 300
"""Width of the softened edge as a share of the region's longest side, within the following bounds in pixels."""
LEAST_FEATHER, MOST_FEATHER = 2, 8
MAX_PNG_BYTES = 95_000_000
"""Stored images are read back whole, up to 100 MB. Photographs of 48 megapixels have 40 to 90."""
FALLBACK_QUALITY = 95
WEBP_BYTES = 20
"""Bytes for each pixel of a WebP while it is encoded, the image included. One that needs more memory than the large
sandbox has becomes a PNG."""
PNG_LEVEL = 3
"""Level of compression: it takes half the time of the usual 6, for a few percent more bytes."""


def prepare(
    data: bytes, mask: bytes, shapes: Mapping[str, tuple[int, int]], max_side: int, limits: Limits
) -> PreparedEdit | None:
    """Check a mask for the image in `data`, choose the crop, and cut it out. None where all of the image is edited.

    `max_side`: the most pixels of a side that are sent. Raises Fault, MaskFault, NeedsMemory.
    """
    edited = _mask(mask, limits)
    with faults(limits):
        whole = original(data, limits)
        size = whole.image.size
        check_shape(edited.size, size)
        region = region_of(edited, size)
        if edited.getextrema() == (255, 255):
            return None
        crop = choose_crop(region, size, shapes)
        return PreparedEdit(
            size, crop, written(_cut_out(whole, crop, max_side), "PNG"), written(edited.convert("1"), "PNG")
        )


def compose(data: bytes, mask: bytes, answer: bytes, crop: Box, target: Target, limits: Limits) -> ComposedEdit:
    """Put the model's `answer` for `crop` into the image in `data`, where `mask` (of `PreparedEdit`) allows it.

    Raises Fault, NeedsMemory.
    """
    with faults(limits):
        edited = edited_pixels(original(mask, limits).image)
        # Before the answer, as in `prepare`: decoding it takes the most memory.
        whole = original(data, limits)
        aligned = _compose(whole, edited, _answered(answer, whole.image.mode, limits), crop)
        del edited
        most = most_memory_bytes(limits.decoded_pixels)
        if target.format == "webp" and whole.image.width * whole.image.height > most // WEBP_BYTES:
            target = Target(None, "png")
        try:
            return ComposedEdit(_encoded(whole, target), aligned)
        except (MemoryError, OSError, ValueError):
            if target.format != "webp" or limits.memory_bytes is None or limits.memory_bytes < most:
                raise
            # An image of noise in high quality takes still more memory.
            return ComposedEdit(_encoded(whole, Target(None, "png")), aligned)


def _compose(whole: Original, edited: PIL.Image.Image, answer: PIL.Image.Image, crop: Box) -> bool:
    """Change the edited pixels of `whole`. Returns whether the answer shows their surroundings where they are."""
    found = _aligned(whole, edited, answer, crop)
    _fill(whole, edited, _Answer.of(answer, crop, found.shift), region_of(edited, whole.image.size))
    return found.aligned


def _answered(data: bytes, mode: str, limits: Limits) -> PIL.Image.Image:
    """Return a model's answer in sRGB."""
    answered = original(data, limits)
    return _in_mode(answered.colours.in_srgb(answered.image), mode)


def _mask(data: bytes, limits: Limits) -> PIL.Image.Image:
    try:
        with faults(limits):
            return edited_pixels(original(data, limits).image)
    except Fault as fault:
        raise MaskFault(fault.kind, fault.details) from fault


# --- the crop for the model


def _cut_out(whole: Original, crop: Crop, max_side: int) -> PIL.Image.Image:
    """Return the crop in sRGB, at most `max_side` pixels on each side; beyond the image its edge is repeated."""
    box, inner = crop.box, crop.box.within(whole.image.size)
    scale = min(1.0, max_side / max(box.size))
    width, height = _scaled(box.size, scale)
    left, top = round((inner.left - box.left) * scale), round((inner.top - box.top) * scale)
    right, bottom = round((box.right - inner.right) * scale), round((box.bottom - inner.bottom) * scale)
    size = max(1, width - left - right), max(1, height - top - bottom)
    image = whole.colours.in_srgb(whole.image.resize(size, PIL.Image.Resampling.LANCZOS, inner.edges))
    if image.mode == "RGBA" and image.getchannel("A").getextrema() == (255, 255):
        image = image.convert("RGB")
    return _extended(image, (left, top, right, bottom))


def _scaled(size: tuple[int, int], scale: float) -> tuple[int, int]:
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _extended(image: PIL.Image.Image, by: tuple[int, int, int, int]) -> PIL.Image.Image:
    """Return the image with its edges repeated, by so many pixels to the left, above, to the right and below."""
    left, top, right, bottom = by
    if not any(by):
        return image
    wide = PIL.Image.new(image.mode, (left + image.width + right, image.height))
    wide.paste(image, (left, 0))
    for column, start, width in ((0, 0, left), (image.width - 1, left + image.width, right)):
        if width:
            strip = image.crop((column, 0, column + 1, image.height))
            wide.paste(strip.resize((width, image.height), PIL.Image.Resampling.NEAREST), (start, 0))
    whole = PIL.Image.new(image.mode, (wide.width, top + image.height + bottom))
    whole.paste(wide, (0, top))
    for row, start, height in ((0, 0, top), (image.height - 1, top + image.height, bottom)):
        if height:
            strip = wide.crop((0, row, wide.width, row + 1))
            whole.paste(strip.resize((wide.width, height), PIL.Image.Resampling.NEAREST), (0, start))
    return whole


# --- the position of the answer


def _in_mode(image: PIL.Image.Image, mode: str) -> PIL.Image.Image:
    """Return an image in RGB or RGBA; on white where it has transparency and `mode` has none."""
    if image.mode == "RGBA" and mode == "RGB":
        opaque = PIL.Image.new("RGB", image.size, "white")
        opaque.paste(image, mask=image.getchannel("A"))
        return opaque
    return image if image.mode == mode else image.convert(mode)


def _aligned(whole: Original, edited: PIL.Image.Image, answer: PIL.Image.Image, crop: Box) -> alignment.Alignment:
    """Compare the answer with the image, outside the mask."""
    inner = crop.within(whole.image.size)
    size = _scaled(inner.size, min(1.0, alignment.FINE_SIDE / max(inner.size)))
    reference = whole.colours.in_srgb(whole.image.resize(size, PIL.Image.Resampling.BOX, inner.edges))
    across, down = answer.width / crop.width, answer.height / crop.height
    shown = answer.resize(
        size, PIL.Image.Resampling.BILINEAR, _edges(inner, -crop.left, -crop.top, across, down, answer)
    )
    across, down = edited.width / whole.image.width, edited.height / whole.image.height
    kept = ImageChops.invert(edited.resize(size, PIL.Image.Resampling.BOX, _edges(inner, 0, 0, across, down, edited)))
    return alignment.estimate(_in_mode(reference, "RGB"), _in_mode(shown, "RGB"), kept, inner.size)


def _edges(
    box: Box, left: float, top: float, across: float, down: float, image: PIL.Image.Image
) -> tuple[float, float, float, float]:
    """Return where `box`, moved by `left` and `top` and scaled, lies in `image`: not beyond its edges, for rounding."""
    return (
        max(0.0, (box.left + left) * across),
        max(0.0, (box.top + top) * down),
        min(float(image.width), (box.right + left) * across),
        min(float(image.height), (box.bottom + top) * down),
    )


# --- the composed image


@dataclass(frozen=True, slots=True)
class _Answer:
    """A model's answer, and where the image's pixels lie in it: moved by `left` and `top`, and scaled."""

    image: PIL.Image.Image
    left: float
    top: float
    across: float
    down: float

    @classmethod
    def of(cls, image: PIL.Image.Image, crop: Box, shift: tuple[int, int]) -> "_Answer":
        """`shift` in pixels of the crop: how far the answer's content lies to the right and below."""
        across, down = image.width / crop.width, image.height / crop.height
        margin_x, margin_y = math.ceil(abs(shift[0]) * across), math.ceil(abs(shift[1]) * down)
        image = _extended(image, (margin_x, margin_y, margin_x, margin_y))
        left, top = margin_x / across + shift[0] - crop.left, margin_y / down + shift[1] - crop.top
        return cls(image, left, top, across, down)

    def part(self, box: Box) -> PIL.Image.Image:
        """Return what the answer shows at a box of the image, in that size."""
        edges = _edges(box, self.left, self.top, self.across, self.down, self.image)
        return self.image.resize(box.size, PIL.Image.Resampling.LANCZOS, edges)


def _fill(whole: Original, edited: PIL.Image.Image, answer: _Answer, region: Box) -> None:
    """Replace the edited pixels of `whole`, a band at a time."""
    image, colours = whole.image, whole.colours
    radius = min(MOST_FEATHER, max(LEAST_FEATHER, round(FEATHER_SHARE * max(region.size))))
    for top in range(region.top, region.bottom, BAND_ROWS):
        band = Box(region.left, top, region.right, min(top + BAND_ROWS, region.bottom))
        around = band.grown(2 * radius + 1).within(image.size)
        left, above = band.left - around.left, band.top - around.top
        share = feathered(at_size(edited, image.size, around), radius)
        share = share.crop((left, above, left + band.width, above + band.height))
        new = colours.from_srgb(answer.part(band))
        if image.mode == "RGBA":
            # Mixed by their transparency: a pixel that is not seen has no colour to mix in.
            old = image.crop(band.edges).convert("RGBa")
            new = PIL.Image.composite(new.convert("RGBa"), old, share).convert("RGBA")
            share = share.point(lambda value: 255 if value else 0)
        image.paste(new, band.edges, share)


def _encoded(whole: Original, target: Target, max_bytes: int = MAX_PNG_BYTES) -> Image:
    """Encode the image as `target` says; as a JPEG where it is a PNG of more than `max_bytes`."""
    image, size = whole.image, target.size(whole.image.size)
    if size != image.size:  # more pixels on a side than the format can have
        image = image.resize(size, PIL.Image.Resampling.LANCZOS)
    made = encoded(image, target, whole.profile, PNG_LEVEL)
    if target.format == "png" and len(made.data) > max_bytes:
        del made
        return encoded(image, Target(None, "jpeg", FALLBACK_QUALITY), whole.profile)
    return made
