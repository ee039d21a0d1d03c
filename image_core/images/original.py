"""Decode an image in its own size and colours, for masked edits, which change a part of it.

The values of its pixels are those of its file, upright: gray and palettes in RGB, 16 bits brought to 8, CMYK in sRGB.
"""

from dataclasses import dataclass

import PIL.Image

from image_core.images import metadata
from image_core.images.colours import Colours, profile_in_rgb
from image_core.images.convert import (
    READERS,
    TURNS,
    Limits,
    in_srgb,
    loaded,
    with_all_pixels,
)
from image_core.images.frame import Frame
from image_core.images.passthrough import CGBI, PASSED_THROUGH, checked
from image_core.images.probe import kind
from image_core.images.unsupported_types import not_an_image

GRAY_MODES = {"1", "L", "LA", "La", "I", "F"}


@dataclass(frozen=True, slots=True)
class Original:
    """An upright image in RGB or RGBA, and the profile that its values are in; None is sRGB."""

    image: PIL.Image.Image
    profile: bytes | None = None

    @property
    def colours(self) -> Colours:
        """The conversion of its colours to sRGB and back."""
        return Colours.of(self.profile, self.image.mode)


def original(data: bytes, limits: Limits) -> Original:
    """Decode the first frame or primary image of any supported type. Raises what decoders do (`convert.faults`)."""
    frame = _frame(data, limits)
    gray = frame.rows(0, 1).mode.split(";")[0] in GRAY_MODES
    image = frame.scaled(frame.size)
    profile, orientation = frame.profile, frame.orientation
    del frame  # and with it the memory of its decoder
    if orientation in TURNS:
        image = image.transpose(TURNS[orientation])
    if image.mode == "CMYK":
        return Original(in_srgb(image, profile))
    return Original(
        image if image.mode in {"RGB", "RGBA"} else image.convert("RGB"), profile_in_rgb(profile, gray=gray)
    )


def _frame(data: bytes, limits: Limits) -> Frame:
    name = kind(data)
    if name is None or data[12:16] == CGBI:
        raise not_an_image(data)
    if name not in PASSED_THROUGH:
        return READERS[name](data, limits)
    header = checked(data, limits.pixels)
    limits.check(name, (header.width, header.height), progressive=header.progressive)
    try:
        clean = metadata.cleaned(data, header.mime_type)
    except metadata.NoEnd:
        clean = with_all_pixels(metadata.with_end(data, header.mime_type), header, 1)
    image = loaded(clean, name, header, 1)
    return Frame.of(image, image.info.get("icc_profile"), header.orientation)
