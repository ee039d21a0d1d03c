"""Use an image unchanged, but without its metadata, where models accept it.

Nothing is decoded: the work is linear in the size of the file, and in that of a PNG's rows, which are counted.

All other images, and those that only decoding can show to be complete, are converted in the sandbox.
"""

from image_core.errors import ImageTooLarge, InvalidImage
from image_core.images import metadata
from image_core.images.fault import Fault
from image_core.images.image import EXTENSIONS, Image
from image_core.images.probe import Header, kind, read_header
from image_core.images.unsupported_types import not_an_image, unsupported

MAX_SIDE = 4096
"""Longest side in pixels. Models scale images down themselves; a larger one only takes longer to send."""

PASSED_THROUGH = {"PNG", "JPEG", "WEBP"}
CGBI = b"CgBI"


def as_it_is(data: bytes, max_pixels: int) -> Image | None:
    """Return the image without its metadata if its pixel data needs no change; None where it must be decoded.

    Raises Fault for a file that is not an image, is damaged, cannot be decoded, or has too many pixels.
    """
    format_name = kind(data)
    if format_name is None or data[12:16] == CGBI:
        raise not_an_image(data)
    if format_name not in PASSED_THROUGH:
        return None
    header = checked(data, max_pixels)
    try:
        clean = metadata.cleaned(data, header.mime_type)
        if not can_stay(header):
            return None
        if header.mime_type == "image/png":
            metadata.check_rows(data)
    except metadata.NoEnd:
        return None
    except metadata.Broken as error:
        raise Fault(InvalidImage, f"the file {error}") from error
    return Image(clean, header.mime_type, header.width, header.height)


def checked(data: bytes, max_pixels: int) -> Header:
    """Return the header of a PNG, JPEG or WebP. Raises Fault as `as_it_is` does."""
    header = read_header(data)
    if header is None or header.mime_type not in EXTENSIONS:
        raise Fault(InvalidImage, "the file is cut off or damaged")
    if header.unsupported is not None:
        raise unsupported(header.unsupported)
    check_pixels(header.width * header.height, max_pixels)
    return header


def check_pixels(pixels: int, max_pixels: int) -> None:
    """Raise Fault where there are more than `max_pixels`."""
    if pixels > max_pixels:
        raise Fault(ImageTooLarge, f"it has {pixels:,} pixels; the limit is {max_pixels:,}")


def can_stay(header: Header) -> bool:
    """Return whether the pixel data needs no change."""
    small = max(header.width, header.height) <= MAX_SIDE
    return header.orientation == 1 and small and not header.animated and header.plain
