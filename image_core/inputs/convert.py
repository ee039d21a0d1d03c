"""From an image of any kind to one that models take: as it is where that can be, else decoded and written anew.

`as_it_is` decodes nothing and runs in a thread; `converted` runs decoders on what strangers sent, in a process of its own.
"""

import io
import warnings
from typing import TYPE_CHECKING

from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from image_core import structure
from image_core.errors import ImageTooLarge, InvalidImage, UnsupportedImage
from image_core.inputs.fault import Fault
from image_core.picture import EXTENSIONS, Picture
from image_core.sniff import NEEDS_DECODER, Header, kind, sniff

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_SIDE = 4096
"""Pixels. Models scale down further themselves; more is only slower and dearer to send."""

JPEG_QUALITY = 95
LOSSLESS = {"image/png", "image/gif", "image/bmp", "image/tiff", "image/webp"}
MAX_LOSSLESS_BYTES = 10_000_000
"""Of a picture without transparency: a larger one is sent as JPEG, where the difference cannot be seen."""

# What people send that is not an image, or none that can be converted, by how it begins.
_OTHER_KINDS = (
    (b"%PDF-", "PDF"),
    (b"<svg", "SVG"),
    (b"8BPS", "Photoshop"),
    (b"\0\0\1\0", "ICO"),
    (b"\0\0\0\x0cJXL ", "JPEG XL"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\0\0\0\x0cjP  ", "JPEG 2000"),
)


def as_it_is(data: bytes, max_pixels: int) -> Picture | None:
    """The picture where its pixel data needs no change, without its metadata; None where it must be converted.

    Nothing is decoded. Raises Fault for what is no image, is broken, or has too many pixels.
    """
    if kind(data) in NEEDS_DECODER:
        return None
    header = sniff(data)
    if header is None:
        raise _no_image(data)
    _check_pixels(header, max_pixels)
    if header.mime_type not in EXTENSIONS:
        return None
    try:
        clean = structure.cleaned(data, header.mime_type)
    except structure.Broken as error:
        raise Fault(InvalidImage, f"the file {error}") from error
    return Picture(clean, header.mime_type, header.width, header.height) if _as_it_is(header) else None


def converted(data: bytes, max_pixels: int, max_decoded_pixels: int) -> Picture:
    """The first frame, upright, in 8 bits, small enough, in a kind that models take. Raises Fault.

    Nothing is decoded before its number of pixels is known and allowed.
    """
    header = sniff(data, isolated=True)
    if header is None:
        raise Fault(InvalidImage, "the file is cut off or damaged")
    _check_pixels(header, max_pixels)
    pixels = header.width * header.height
    if pixels > max_decoded_pixels:
        limit = f"the limit for an image that must be converted is {max_decoded_pixels:,}"
        raise Fault(ImageTooLarge, f"it has {pixels:,} pixels; {limit}")
    return _converted(data, header)


def _check_pixels(header: Header, max_pixels: int) -> None:
    pixels = header.width * header.height
    if pixels > max_pixels:
        raise Fault(ImageTooLarge, f"it has {pixels:,} pixels; the limit is {max_pixels:,}")


def _no_image(data: bytes) -> Fault:
    beginning = data[:1024].lstrip(b"\xef\xbb\xbf \t\r\n")
    for start, name in _OTHER_KINDS:
        if beginning.startswith(start):
            return Fault(UnsupportedImage, f"{name} cannot be used; send PNG, JPEG, WebP, HEIC, AVIF, GIF, BMP or TIFF")
    if beginning.startswith((b"<?xml", b"<!DOCTYPE svg")) and b"<svg" in data[:4096]:
        return Fault(UnsupportedImage, "SVG cannot be used; send PNG, JPEG, WebP, HEIC, AVIF, GIF, BMP or TIFF")
    return Fault(InvalidImage, "it is empty" if not data else "its bytes are not those of an image")


def _as_it_is(header: Header) -> bool:
    upright = header.orientation in {0, 1} or header.orientation > 8  # noqa: PLR2004 - EXIF knows eight
    small = max(header.width, header.height) <= MAX_SIDE
    return upright and small and not header.animated and not header.deep and header.mode != "CMYK"


def _converted(data: bytes, header: Header) -> Picture:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd metadata, none of which is kept
            with Image.open(io.BytesIO(data), formats=[kind(data) or ""]) as image:
                return _written(_upright(image), header)
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, EOFError, KeyError, IndexError) as error:
        raise Fault(InvalidImage, "the file is cut off or damaged") from error
    except (TypeError, AttributeError, OverflowError, MemoryError, RuntimeError, ZeroDivisionError) as error:
        raise Fault(InvalidImage, "the file is damaged") from error  # what decoders raise for files made to break them


def _upright(image: Image.Image) -> Image.Image:
    """The first frame, small enough, turned as its EXIF says, in 8 bits of gray, RGB or RGBA."""
    if image.format in {"JPEG", "MPO"}:
        image.draft(None, (MAX_SIDE, MAX_SIDE))
    image.seek(0)
    profile = image.info.get("icc_profile")
    turned = ImageOps.exif_transpose(image)
    turned = _eight_bits(turned)
    if turned.mode == "CMYK":
        turned, profile = _from_cmyk(turned, profile), None
    elif turned.mode in {"P", "LA", "PA", "La", "RGBa"} or "transparency" in turned.info:
        turned = turned.convert("RGBA" if turned.has_transparency_data else "RGB")
    elif turned.mode not in {"L", "RGB", "RGBA"}:
        turned = turned.convert("RGB")
    turned.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.LANCZOS)
    if profile is not None and turned.mode in {"RGB", "RGBA"}:
        turned.info["icc_profile"] = profile
    else:
        turned.info.pop("icc_profile", None)
    return turned


def _eight_bits(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        # Integers of 16 bits: Pillow's own conversion would cut them off at 255.
        return image.convert("I").point(lambda value: value * (1 / 256)).convert("L")
    if image.mode == "F":  # scientific pictures: whatever their range is becomes black to white
        return ImageOps.autocontrast(image.convert("L"))
    return image


def _from_cmyk(image: Image.Image, profile: bytes | None) -> Image.Image:
    if profile:
        try:
            converted = ImageCms.profileToProfile(
                image, io.BytesIO(profile), ImageCms.createProfile("sRGB"), outputMode="RGB"
            )
        except (ImageCms.PyCMSError, OSError):
            converted = None  # a profile that cannot be read: the plain arithmetic below
        if converted is not None:
            return converted
    return image.convert("RGB")


def _written(image: Image.Image, header: Header) -> Picture:
    save: Callable[..., None] = image.save
    profile = image.info.get("icc_profile")
    if image.mode == "RGBA" or header.mime_type in LOSSLESS:
        out = io.BytesIO()
        save(out, "PNG", compress_level=3, icc_profile=profile, exif=b"")
        if image.mode == "RGBA" or out.tell() <= MAX_LOSSLESS_BYTES:
            return Picture(structure.cleaned(out.getvalue(), "image/png"), "image/png", *image.size)
    out = io.BytesIO()
    save(out, "JPEG", quality=JPEG_QUALITY, subsampling=0, icc_profile=profile, exif=b"")
    return Picture(structure.cleaned(out.getvalue(), "image/jpeg"), "image/jpeg", *image.size)
