"""What bytes are: the kind of image, its size and how it is made, read from the header. Nothing is decoded.

Declared types, names and extensions decide nothing.
"""

import io
import struct
import warnings
from dataclasses import dataclass

from PIL import Image, ImageFile, UnidentifiedImageError

# Our own limits are checked against the header, before any pixel: Pillow's would only warn, or refuse what we take.
Image.MAX_IMAGE_PIXELS = None
ImageFile.LOAD_TRUNCATED_IMAGES = False

ORIENTATION = 0x0112
DEEP = 16
"""Bits of a channel that models do not take."""

MIME_TYPES = {
    "PNG": "image/png",
    "JPEG": "image/jpeg",
    "MPO": "image/jpeg",  # a JPEG with further pictures behind it, as phones write
    "WEBP": "image/webp",
    "GIF": "image/gif",
    "BMP": "image/bmp",
    "TIFF": "image/tiff",
    "AVIF": "image/avif",
    "HEIF": "image/heif",
}
FORMATS = tuple(name for name in MIME_TYPES if name != "MPO")

HEIF_BRANDS = {b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1"}


@dataclass(frozen=True, slots=True)
class Header:
    """What the header says. `width` and `height` in pixels, as stored (before any rotation)."""

    mime_type: str
    width: int
    height: int
    mode: str
    """Pillow's name of the pixel format: RGB, CMYK, P, …"""
    orientation: int = 1
    """EXIF's: 1 is upright."""
    animated: bool = False
    deep: bool = False
    """More than 8 bits a channel."""


def kind(data: bytes) -> str | None:
    """Pillow's name of the format by its first bytes, None where they are no image's that we know."""
    head = data[:32]
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if head.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    if head.startswith(b"BM"):
        return "BMP"
    if head.startswith((b"II*\0", b"MM\0*")):
        return "TIFF"
    if head[4:8] == b"ftyp":
        return _brand(data)
    return None


def _brand(data: bytes) -> str | None:
    """The major brand decides, or among the compatible ones the first that we know (ISO/IEC 14496-12)."""
    length = min(struct.unpack(">I", data[:4])[0], 256)
    brands = [data[8:12], *(data[at : at + 4] for at in range(16, length, 4))]
    for brand in brands:
        if brand in {b"avif", b"avis"}:
            return "AVIF"
        if brand in HEIF_BRANDS and not (brand in {b"mif1", b"msf1"} and {b"avif", b"avis"} & set(brands)):
            return "HEIF"
    return None


NEEDS_DECODER = {"HEIF", "AVIF"}
"""Kinds whose header only their decoder can read. Broken files have crashed it, process and all."""


def sniff(data: bytes, *, isolated: bool = False) -> Header | None:
    """What `data` is, None where that is no image that can be read. Takes under a millisecond; in a thread for strangers'.

    Of the kinds in NEEDS_DECODER nothing is said unless `isolated`: where a crash ends nobody else's work.
    """
    format_name = kind(data)
    if format_name is None or (format_name in NEEDS_DECODER and not isolated):
        return None
    if format_name == "WEBP":
        return _webp(data)
    if format_name == "HEIF":
        _know_heif()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd metadata, which is cut out anyway
            with Image.open(io.BytesIO(data), formats=[format_name]) as image:
                return _header(image, data)
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, KeyError, struct.error, EOFError, IndexError):
        return None
    except (TypeError, AttributeError, OverflowError, MemoryError, RuntimeError):
        return None  # what Pillow's header parsers raise for some files that were made to break them


def _know_heif() -> None:
    import pi_heif  # noqa: PLC0415 - a megabyte of decoder that most processes never need

    if "HEIF" not in Image.OPEN:
        pi_heif.register_heif_opener(thumbnails=False)


def _header(image: Image.Image, data: bytes) -> Header | None:
    if image.width < 1 or image.height < 1:
        return None
    orientation = 1
    if raw := image.info.get("exif"):  # asking Pillow itself would decode a PNG that has none
        exif = Image.Exif()
        try:
            exif.load(raw)
            orientation = int(exif.get(ORIENTATION, 1))
        except (ValueError, SyntaxError, struct.error, TypeError, KeyError, OSError, OverflowError):
            orientation = 1
    deep = image.mode.startswith(("I", "F")) or (image.format == "PNG" and data[24] == DEEP)
    return Header(
        MIME_TYPES[image.format or ""],
        image.width,
        image.height,
        image.mode,
        orientation,
        # The second picture of an MPO is another view of the first, not a next frame.
        image.format != "MPO" and bool(getattr(image, "is_animated", False)),
        deep,
    )


def _webp(data: bytes) -> Header | None:
    """By hand (RFC 9649): Pillow's opening makes room for the whole canvas, which a header can claim to be a gigabyte."""
    chunk, body = data[12:16], data[20:30]
    if len(body) < 10:  # noqa: PLR2004 - what each of the three headers needs
        return None
    if chunk == b"VP8X":
        flags = body[0]
        width = 1 + int.from_bytes(body[4:7], "little")
        height = 1 + int.from_bytes(body[7:10], "little")
        alpha, animated, exif = bool(flags & 0x10), bool(flags & 0x02), bool(flags & 0x08)
        orientation = _webp_orientation(data) if exif else 1
        return Header("image/webp", width, height, "RGBA" if alpha else "RGB", orientation, animated)
    if chunk == b"VP8L" and body[0] == 0x2F:  # noqa: PLR2004 - its signature
        bits = int.from_bytes(body[1:5], "little")
        return Header("image/webp", 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF), "RGBA" if bits >> 28 & 1 else "RGB")
    if chunk == b"VP8 " and body[3:6] == b"\x9d\x01\x2a":
        width, height = struct.unpack("<HH", body[6:10])
        return Header("image/webp", width & 0x3FFF, height & 0x3FFF, "RGB") if width & height & 0x3FFF else None
    return None


def _webp_orientation(data: bytes) -> int:
    at = 12
    while at + 8 <= len(data):
        name, size = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        if name == b"EXIF":
            exif = Image.Exif()
            try:
                exif.load(data[at + 8 : at + 8 + size])
                return int(exif.get(ORIENTATION, 1))
            except (ValueError, SyntaxError, struct.error, TypeError, KeyError, OSError, OverflowError):
                return 1
        at += 8 + size + size % 2
    return 1
