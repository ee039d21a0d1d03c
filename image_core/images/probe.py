"""Read the type of an image, its size and variant from its header. Nothing is decoded.

Declared types, names and extensions are ignored. Only PNG, JPEG and WebP are read beyond their first bytes: all other
types must be converted, and the sandbox reads their headers.
"""

import struct
from dataclasses import dataclass

from image_core.images import exif
from image_core.images.metadata import (
    APP1,
    DHT,
    DQT,
    EXIF_HEAD,
    FRAMES,
    SOS,
    Broken,
    jpeg_segments,
    png_chunks,
    webp_chunks,
)

HEIF_BRANDS = {b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1"}
AVIF_BRANDS = {b"avif", b"avis"}
GENERIC_BRANDS = {b"mif1", b"msf1"}

# PNG (W3C, third edition), table 12: the bit depths that each colour type may have.
PNG_DEPTHS = {0: {1, 2, 4, 8, 16}, 2: {8, 16}, 3: {1, 2, 4, 8}, 4: {8, 16}, 6: {8, 16}}
PNG_PALETTE = 3
MAX_PNG_SIDE = 2**31 - 1
EIGHT = 8
"""Bits per channel that models accept."""

# JPEG (ITU-T T.81, table B.1): decoders commonly support baseline, extended and progressive frames with Huffman codes.
COMMON_FRAMES = {0xC0, 0xC1, 0xC2}
PROGRESSIVE_FRAMES = {0xC2, 0xCA}
ARITHMETIC_FRAMES = {0xC9, 0xCA}
"""libjpeg-turbo decodes them, so they are converted."""


@dataclass(frozen=True, slots=True)
class Header:
    """The contents of a header. `width` and `height` in pixels, as stored (before any rotation)."""

    mime_type: str
    width: int
    height: int
    orientation: int = exif.UPRIGHT
    """The orientation in EXIF."""
    animated: bool = False
    plain: bool = True
    """Whether every decoder accepts it: 8 bits per channel, gray, RGB, a palette or with transparency, and all
    tables."""
    progressive: bool = False
    """Whether it is a JPEG whose decoder needs memory for all coefficients at once."""
    unsupported: str | None = None
    """The name of the variant, if it cannot be decoded."""


def kind(data: bytes) -> str | None:
    """Return Pillow's name of the format by its first bytes; None where it is not a supported image."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if data.startswith(b"\xff\xd8"):
        return "JPEG"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    if data.startswith(b"BM"):
        return "BMP"
    if data.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        return "TIFF"
    if data[4:8] == b"ftyp":
        return _brand(data)
    return None


def _brand(data: bytes) -> str | None:
    """Return the format of the major brand, or of the first known compatible brand (ISO/IEC 14496-12)."""
    length = min(struct.unpack(">I", data[:4])[0], 256)
    brands = [data[8:12], *(data[at : at + 4] for at in range(16, length, 4))]
    for brand in brands:
        if brand in AVIF_BRANDS:
            return "AVIF"
        if brand in HEIF_BRANDS and not (brand in GENERIC_BRANDS and AVIF_BRANDS & set(brands)):
            return "HEIF"
    return None


def read_header(data: bytes) -> Header | None:
    """Return the header of a PNG, JPEG or WebP; None for other types, and where it cannot be read.

    The time is linear in the number of parts before the pixels (PNG and WebP: of all parts), which `metadata` limits.
    """
    format_name = kind(data)
    try:
        if format_name == "PNG":
            return _png(data)
        if format_name == "JPEG":
            return _jpeg(data)
        if format_name == "WEBP":
            return _webp(data)
    except (Broken, IndexError, struct.error):
        return None
    return None


def _png(data: bytes) -> Header | None:
    if data[12:16] != b"IHDR":
        return None
    width, height, depth, colour, compression, filtering, interlace = struct.unpack_from(">IIBBBBB", data, 16)
    if not (1 <= width <= MAX_PNG_SIDE and 1 <= height <= MAX_PNG_SIDE) or depth not in PNG_DEPTHS.get(colour, ()):
        return None
    if compression or filtering or interlace > 1:
        return None
    orientation, palette = exif.UPRIGHT, colour != PNG_PALETTE
    for part in png_chunks(data):
        if part.name == b"eXIf":
            orientation = exif.orientation(memoryview(data)[part.body : part.end])
        palette = palette or part.name == b"PLTE"
    return Header("image/png", width, height, orientation, plain=depth <= EIGHT and palette)


def _jpeg(data: bytes) -> Header | None:
    frame, orientation, found_exif, tables = None, exif.UPRIGHT, False, set()
    for part in jpeg_segments(data):
        marker = part.name[0]
        if marker == APP1 and not found_exif and data.startswith(EXIF_HEAD, part.body, part.end):
            found_exif = True
            orientation = exif.orientation(memoryview(data)[part.body : part.end])
        elif marker in FRAMES:
            if frame is not None:
                return None
            frame = (marker, *struct.unpack_from(">BHHB", data, part.body))
        elif marker == SOS:
            break
        tables.add(marker)
    if frame is None:
        return None
    process, precision, height, width, channels = frame
    if width == 0:
        return None
    plain = process in COMMON_FRAMES and channels in {1, 3} and {DQT, DHT} <= tables
    return Header(
        "image/jpeg",
        width,
        height,
        orientation,
        plain=plain,
        progressive=process in PROGRESSIVE_FRAMES,
        unsupported=_unsupported_jpeg(process, precision, height, channels),
    )


def _unsupported_jpeg(process: int, precision: int, height: int, channels: int) -> str | None:
    """Return the name of a variant that decoders do not support."""
    if process == 0xF7:  # noqa: PLR2004 - SOF55
        return "JPEG-LS"
    if process in {0xC3, 0xCB}:
        return "a lossless JPEG"
    if process not in COMMON_FRAMES | ARITHMETIC_FRAMES:
        return "a hierarchical JPEG"
    if precision != EIGHT:
        return f"a JPEG with {precision} bits per sample"
    if channels not in {1, 3, 4}:
        return f"a JPEG with {channels} channels"
    return "a JPEG whose height is not in its header" if height == 0 else None


def _webp(data: bytes) -> Header | None:
    """Read the header (RFC 9649) without Pillow, which allocates the whole canvas when it opens a file."""
    chunk, body = data[12:16], data[20:30]
    if len(body) < 10:  # noqa: PLR2004 - the length of the three headers
        return None
    if chunk == b"VP8X":
        flags = body[0]
        width = 1 + int.from_bytes(body[4:7], "little")
        height = 1 + int.from_bytes(body[7:10], "little")
        return Header("image/webp", width, height, _webp_orientation(data), animated=bool(flags & 0x02))
    if chunk == b"VP8L" and body[0] == 0x2F:  # noqa: PLR2004 - the signature of VP8L
        bits = int.from_bytes(body[1:5], "little")
        return Header("image/webp", 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF))
    if chunk == b"VP8 " and body[3:6] == b"\x9d\x01\x2a":
        width, height = (side & 0x3FFF for side in struct.unpack("<HH", body[6:10]))
        return Header("image/webp", width, height) if width and height else None
    return None


def _webp_orientation(data: bytes) -> int:
    for part in webp_chunks(data):
        if part.name == b"EXIF":
            return exif.orientation(memoryview(data)[part.body : part.end])
    return exif.UPRIGHT
