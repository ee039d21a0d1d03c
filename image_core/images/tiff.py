"""Decode TIFF files (TIFF 6.0, BigTIFF): return the full-size image, or name the reason why it cannot be used.

Only the few tags that define the pixels are read. libtiff gets the file with a new directory of these tags only: other
tags have no effect, images in SubIFDs and BigTIFF files are read like all others, and the planes of an image can be
read one at a time, in any depth. A variant that is not known to be decoded correctly is refused by name.

It runs in the sandbox.
"""

import io
import math
import struct
from collections.abc import Iterator, Sequence

from PIL import Image, ImageMath, TiffImagePlugin

from image_core.errors import InvalidImage
from image_core.images import exif
from image_core.images.fault import Fault
from image_core.images.frame import Frame
from image_core.images.passthrough import MAX_SIDE
from image_core.images.unsupported_types import unsupported

# libtiff reads uncompressed files too, so that byte orders, bit orders, strips and tiles have one implementation.
TiffImagePlugin.READ_LIBTIFF = True

MAX_DIRECTORIES = 64
MAX_ENTRIES = 4096
"""Maximum number of tags in one directory; cameras write about a hundred."""
MAX_CHANNELS = 16
MAX_STRIPS = 1_000_000
MAX_BLOCK_BYTES = 4_000_000
"""Maximum size of a tag that is copied unchanged: an ICC profile, JPEG tables."""

WIDTH, LENGTH, BITS, COMPRESSION, PHOTOMETRIC = 256, 257, 258, 259, 262
SUBFILE, OLD_SUBFILE, FILL_ORDER, STRIP_OFFSETS, ORIENTATION = 254, 255, 266, 273, 274
SAMPLES, ROWS_PER_STRIP, STRIP_COUNTS, MAX_VALUE, PLANAR = 277, 278, 279, 281, 284
T4_OPTIONS, T6_OPTIONS, PREDICTOR, COLOR_MAP = 292, 293, 317, 320
TILE_WIDTH, TILE_LENGTH, TILE_OFFSETS, TILE_COUNTS, SUB_IFDS = 322, 323, 324, 325, 330
INK_SET, EXTRA_SAMPLES, SAMPLE_FORMAT, JPEG_TABLES = 332, 338, 339, 347
YCBCR_COEFFICIENTS, YCBCR_SUBSAMPLING, YCBCR_POSITIONING, REFERENCE_BLACK_WHITE = 529, 530, 531, 532
ICC_PROFILE, DNG_VERSION = 34675, 50706

WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, MASK, CMYK, YCBCR = 0, 1, 2, 3, 4, 5, 6
RAW_PHOTOMETRICS = {32803, 34892}
"""Colour filter array and linear raw (DNG)."""
PHOTOMETRIC_NAMES = {4: "a transparency mask", 8: "CIELab", 9: "ICCLab", 10: "ITULab", 32844: "LogL", 32845: "LogLuv"}
COLOURS = {WHITE_IS_ZERO: 1, BLACK_IS_ZERO: 1, RGB: 3, PALETTE: 1, CMYK: 4, YCBCR: 3}

UNSIGNED, SIGNED, FLOAT, VOID = 1, 2, 3, 4
NONE, CCITT, JPEG = 1, {2, 3, 4}, 7
COMPRESSIONS = {1, 2, 3, 4, 5, 7, 8, 32773, 32946, 34925, 50000}
"""The compressions that libtiff in Pillow's wheels decodes."""
COMPRESSION_NAMES = {
    6: "old-style JPEG",
    34712: "JPEG 2000",
    34676: "SGI Log",
    34892: "lossy JPEG",
    34887: "LERC",
    50001: "WebP",
    50002: "JPEG XL",
}

# Types of tags: the format character of `struct`, and the size in bytes.
TYPES = {
    1: ("B", 1),
    2: ("B", 1),
    3: ("H", 2),
    4: ("I", 4),
    5: ("II", 8),
    6: ("b", 1),
    7: ("B", 1),
    8: ("h", 2),
    9: ("i", 4),
    10: ("ii", 8),
    11: ("f", 4),
    12: ("d", 8),
    13: ("I", 4),
    16: ("Q", 8),
    17: ("q", 8),
    18: ("Q", 8),
}
SHORT, LONG, UNDEFINED = 3, 4, 7
INTEGERS = {1, 3, 4, 6, 8, 9, 13, 16, 17, 18}

FLOAT_OVERSHOOT = 16
"""Multiple of white up to which floating-point highlights are clipped to white, as in viewers."""
DARKEST = 1 / 16


class Directory:
    """One image file directory. Values are only read on request."""

    def __init__(self, data: bytes, order: str, at: int, *, big: bool) -> None:
        self.data, self.order = data, order
        self._tags: dict[int, tuple[int, int, int]] = {}
        head, entry, inline = ("Q", "HHQ", 8) if big else ("H", "HHI", 4)
        (count,) = struct.unpack_from(order + head, data, at)
        at += struct.calcsize(order + head)
        size = struct.calcsize(order + entry) + inline
        for _ in range(min(count, MAX_ENTRIES)):
            if at + size > len(data):
                break
            tag, kind, values = struct.unpack_from(order + entry, data, at)
            offset = at + size - inline
            if kind in TYPES and tag not in self._tags:
                if values * TYPES[kind][1] > inline:
                    (offset,) = struct.unpack_from(order + ("Q" if big else "I"), data, offset)
                self._tags[tag] = (kind, values, offset)
            at += size
        self.next = 0
        if count <= MAX_ENTRIES and at + inline <= len(data):
            (self.next,) = struct.unpack_from(order + ("Q" if big else "I"), data, at)

    def __contains__(self, tag: int) -> bool:
        return tag in self._tags

    def integers(self, tag: int, most: int) -> tuple[int, ...]:
        """Return the first `most` values of a tag; none if it is missing, damaged, or has another type."""
        kind, count, offset = self._tags.get(tag, (0, 0, 0))
        if kind not in INTEGERS:
            return ()
        count = min(count, most)
        try:
            return struct.unpack_from(f"{self.order}{count}{TYPES[kind][0]}", self.data, offset)
        except (struct.error, OverflowError):
            return ()

    def integer(self, tag: int, default: int) -> int:
        """Return the first value of a tag."""
        return next(iter(self.integers(tag, 1)), default)

    def count(self, tag: int) -> int:
        """Return the number of values of a tag."""
        return self._tags.get(tag, (0, 0, 0))[1]

    def block(self, tag: int) -> tuple[int, int, bytes] | None:
        """Return a tag's type, number of values and bytes; None where it is missing or too long."""
        if tag not in self._tags:
            return None
        kind, count, offset = self._tags[tag]
        size = count * TYPES[kind][1]
        if size > MAX_BLOCK_BYTES or offset + size > len(self.data):
            return None
        return kind, count, self.data[offset : offset + size]

    @property
    def pixels(self) -> int:
        """The number of pixels."""
        return self.integer(WIDTH, 0) * self.integer(LENGTH, 0)

    @property
    def reduced(self) -> bool:
        """Whether it is declared as a smaller version of another image of the file, or as its mask."""
        kind = self.integer(SUBFILE, 0)
        return bool(kind & 1) or self.is_mask or self.integer(OLD_SUBFILE, 1) == 2  # noqa: PLR2004 - TIFF 6.0, page 40

    @property
    def is_mask(self) -> bool:
        """Whether it is a transparency mask."""
        return bool(self.integer(SUBFILE, 0) & 4) or self.photometric == MASK

    @property
    def photometric(self) -> int:
        """The colour space of the file; without one that which readers assume for the number of channels."""
        if self.integer(COMPRESSION, 1) in CCITT:
            return self.integer(PHOTOMETRIC, WHITE_IS_ZERO)
        return self.integer(
            PHOTOMETRIC, RGB if self.integer(SAMPLES, self.count(BITS)) >= COLOURS[RGB] else BLACK_IS_ZERO
        )


def full_size(data: bytes) -> Directory:
    """Return the directory of the full-size image, not that of a thumbnail. Raises Fault."""
    if data[8:10] == b"CR" and data[:2] == b"II":
        raise unsupported("a camera raw file (CR2)")
    found = [each for each in _directories(data) if each.pixels > 0]
    if not found:
        raise Fault(InvalidImage, "the file is cut off or damaged")
    first = found[0]
    full = [each for each in found if not each.reduced]
    if any(each.photometric in RAW_PHOTOMETRICS for each in full):
        raise unsupported("a camera raw file")
    if not full:
        if len(found) > 1 or first.is_mask or SUB_IFDS in first:
            raise unsupported("a TIFF of which only a reduced image can be read")
        return first
    if first.reduced:
        return max(full, key=lambda each: each.pixels)
    return max((first, *(each for each in full if _is_thumbnail(first, each))), key=lambda each: each.pixels)


def _is_thumbnail(small: Directory, large: Directory) -> bool:
    """Return whether an image is an undeclared thumbnail: small, of the same shape, a quarter of the other's width."""
    width, height = small.integer(WIDTH, 0), small.integer(LENGTH, 0)
    other_width, other_height = large.integer(WIDTH, 0), large.integer(LENGTH, 0)
    alike = abs(width * other_height - height * other_width) <= max(other_width, other_height) * 2
    return max(width, height) <= 512 and other_width >= 4 * width and alike  # noqa: PLR2004 - the values in the docstring


def _directories(data: bytes) -> Iterator[Directory]:
    """Yield the pages in order, each followed by its SubIFDs; at most MAX_DIRECTORIES."""
    order = "<" if data[:2] == b"II" else ">"
    (magic,) = struct.unpack_from(order + "H", data, 2)
    big = magic == 43  # noqa: PLR2004 - BigTIFF
    (at,) = struct.unpack_from(order + ("Q" if big else "I"), data, 8 if big else 4)
    seen: set[int] = set()
    waiting = [at]
    while waiting and len(seen) < MAX_DIRECTORIES:
        at = waiting.pop(0)
        if at in seen or not 0 < at < len(data):
            continue
        seen.add(at)
        try:
            directory = Directory(data, order, at, big=big)
        except struct.error:
            continue
        waiting = [*directory.integers(SUB_IFDS, MAX_CHANNELS), *waiting, directory.next]
        yield directory


class Layout:
    """The layout of the samples in a directory. Raises Fault for layouts that cannot be read."""

    def __init__(self, directory: Directory) -> None:
        self.directory = directory
        self.width, self.height = directory.integer(WIDTH, 0), directory.integer(LENGTH, 0)
        self.photometric = directory.photometric
        self.compression = directory.integer(COMPRESSION, NONE)
        if self.compression not in COMPRESSIONS:
            name = COMPRESSION_NAMES.get(self.compression, f"number {self.compression}")
            raise unsupported(f"a TIFF with the compression {name}")
        if self.photometric not in COLOURS:
            name = PHOTOMETRIC_NAMES.get(self.photometric, f"number {self.photometric}")
            raise unsupported(f"a TIFF in the colour space {name}")
        if self.photometric == CMYK and directory.integer(INK_SET, 1) != 1:
            raise unsupported("a TIFF with inks other than CMYK")
        self.channels = directory.integer(SAMPLES, max(1, directory.count(BITS)))
        self.colours = COLOURS[self.photometric]
        if not self.colours <= self.channels <= MAX_CHANNELS:
            raise unsupported(f"a TIFF with {self.channels} channels")
        self.planar = self.channels > 1 and directory.integer(PLANAR, 1) == 2  # noqa: PLR2004 - TIFF 6.0, page 38
        self.bits = self._same(BITS, 1, "depths")
        self.format = self._same(SAMPLE_FORMAT, UNSIGNED, "formats")
        if self.format == VOID:
            self.format = UNSIGNED
        self.predictor = directory.integer(PREDICTOR, 1)
        extra = self.channels - self.colours
        self.extra = (directory.integers(EXTRA_SAMPLES, MAX_CHANNELS) + (0,) * extra)[:extra]

    def _same(self, tag: int, default: int, what: str) -> int:
        values = set(self.directory.integers(tag, self.channels)) or {default}
        if len(values) > 1:
            raise unsupported(f"a TIFF whose channels have different {what}")
        return values.pop()

    @property
    def described(self) -> str:
        """The name of the variant for messages."""
        kinds = {UNSIGNED: "integers", SIGNED: "signed integers", FLOAT: "floating-point numbers"}
        return f"a TIFF of {self.channels} channels with {kinds.get(self.format, 'numbers')} of {self.bits} bits"

    @property
    def is_direct(self) -> bool:
        """Whether Pillow reads all channels at once and correctly."""
        if self.format != UNSIGNED or self.planar:
            return False
        if self.photometric == BLACK_IS_ZERO and self.bits == 8 and self.extra in {(1,), (2,)}:  # noqa: PLR2004
            return True
        plain = not self.extra or (len(self.extra) == 1 and self.photometric == RGB)
        if self.photometric == YCBCR:
            return self.bits == 8 and not self.extra  # noqa: PLR2004
        if self.photometric in {RGB, CMYK}:
            return self.bits in {8, 16} and plain
        return self.bits in {1, 2, 4, 8} and not self.extra


def decoded(directory: Directory) -> Frame:
    """Decode the pixels to 8 bits per channel. Raises Fault, and Pillow's exceptions for damaged data."""
    layout = Layout(directory)
    image = _direct(layout) if layout.is_direct else _by_planes(layout)
    profile = directory.block(ICC_PROFILE)
    orientation = exif.valid(directory.integer(ORIENTATION, exif.UPRIGHT))
    return Frame.of(image, None if profile is None else profile[2], orientation)


def _direct(layout: Layout) -> Image.Image:
    directory = layout.directory
    tags = _tags(layout, layout.photometric, layout.channels, layout.width, _parts(layout, 0, layout.channels))
    if layout.extra:
        tags.append((EXTRA_SAMPLES, SHORT, layout.extra))
    if layout.photometric == PALETTE:
        tags.append((COLOR_MAP, SHORT, _color_map(layout)))
    for tag in (YCBCR_COEFFICIENTS, YCBCR_SUBSAMPLING, YCBCR_POSITIONING, REFERENCE_BLACK_WHITE):
        if layout.photometric == YCBCR and (block := directory.block(tag)) is not None:
            tags.append((tag, block[0], block[2]))
    image = _opened(directory, tags)
    image.load()
    return image


def _color_map(layout: Layout) -> tuple[int, ...]:
    """Return the palette in 16 bits; some encoders write 8 bits, and their images would be black."""
    size = 3 << layout.bits
    colours = layout.directory.integers(COLOR_MAP, size)
    if len(colours) < size:
        raise Fault(InvalidImage, "the file has no palette")
    return tuple(value * 257 for value in colours) if max(colours) < 256 else colours  # noqa: PLR2004 - 8 bits


def _by_planes(layout: Layout) -> Image.Image:
    """Decode each channel separately, convert all to 8 bits, and merge them."""
    if layout.photometric in {PALETTE, YCBCR} or (layout.bits, layout.format) not in _MODES:
        raise unsupported(layout.described)
    alpha = next((number for number, kind in enumerate(layout.extra, layout.colours) if kind in {1, 2}), None)
    wanted = [*range(layout.colours), *([alpha] if alpha is not None else [])]
    planes = list(_planes(layout, wanted))
    white = _white(layout, planes[: layout.colours])
    channels = [_eight_bits(plane, white) for plane in planes]
    if layout.photometric == WHITE_IS_ZERO:
        channels[0] = channels[0].point([255 - value for value in range(256)])
    if layout.photometric == CMYK:
        return Image.merge("CMYK", channels[:4])
    mode = ("L", "RGB")[layout.colours == COLOURS[RGB]]
    if alpha is None:
        return Image.merge(mode, channels)
    premultiplied = layout.extra[alpha - layout.colours] == 1
    colours = channels[:-1] * (1 if layout.colours == COLOURS[RGB] else 3)
    return Image.merge("RGBa" if premultiplied else "RGBA", [*colours, channels[-1]])


# (bits, format) → Pillow's mode of a plane, and its raw mode: libtiff returns the machine's byte order.
_MODES = {
    (8, UNSIGNED): ("L", "L"),
    (16, UNSIGNED): ("I;16", "I;16N"),
    (16, SIGNED): ("I", "I;16NS"),
    (32, UNSIGNED): ("I", "I;32N"),
    (32, SIGNED): ("I", "I;32NS"),
    (32, FLOAT): ("F", "F;32NF"),
}


def _planes(layout: Layout, wanted: Sequence[int]) -> Iterator[Image.Image]:
    """Yield the channels one after another, in a size that models accept."""
    mode, raw = _MODES[layout.bits, layout.format]
    if layout.planar or layout.channels == 1:
        for channel in wanted:
            parts = _parts(layout, channel, 1)
            yield _smaller(_plane(layout, layout.width, parts, mode, raw), layout.width, layout.height)
        return
    # Interleaved samples: read as one gray image that is `channels` times as wide, then separated.
    if layout.predictor != 1 or layout.compression == JPEG:
        raise unsupported(f"{layout.described}, compressed together,")
    wide = _plane(layout, layout.width * layout.channels, _parts(layout, 0, layout.channels), mode, raw)
    for channel in wanted:
        taken = (layout.channels, 0, channel + 0.5 - layout.channels / 2, 0, 1, 0)
        plane = wide.transform((layout.width, layout.height), Image.Transform.AFFINE, taken, Image.Resampling.NEAREST)
        yield _smaller(plane, layout.width, layout.height)


def _smaller(plane: Image.Image, width: int, height: int) -> Image.Image:
    scale = max(width, height) / MAX_SIDE
    if scale <= 1:
        return plane
    size = (max(1, round(width / scale)), max(1, round(height / scale)))
    return plane.resize(size, Image.Resampling.BOX)


def _plane(layout: Layout, width: int, parts: "Parts", mode: str, raw: str) -> Image.Image:
    channels = width // layout.width
    # Pillow has no mode for unsigned 32-bit integers in big-endian files; the samples are the same.
    written = SIGNED if (layout.bits, layout.format) == (32, UNSIGNED) else layout.format
    tags = _tags(layout, BLACK_IS_ZERO, 1, width, parts, tile_factor=channels, written=written)
    image = _opened(layout.directory, tags)
    image._mode = mode  # noqa: SLF001 - Pillow expects the file's byte order, but libtiff has converted it
    image.tile = [tile._replace(args=(raw, *tile.args[1:])) for tile in image.tile if isinstance(tile.args, tuple)]
    image.load()
    return image


Parts = tuple[tuple[int, ...], tuple[int, ...]]
"""Offsets and lengths of strips or tiles."""


def _parts(layout: Layout, plane: int, planes: int) -> Parts:
    """Return the strips or tiles of one plane, or of all channels together. Raises Fault where some are missing."""
    directory = layout.directory
    tiled = TILE_OFFSETS in directory
    if tiled:
        wide, high = directory.integer(TILE_WIDTH, 0), directory.integer(TILE_LENGTH, 0)
        if wide < 1 or high < 1:
            raise Fault(InvalidImage, "the file is damaged")
        number = math.ceil(layout.width / wide) * math.ceil(layout.height / high)
    else:
        number = math.ceil(layout.height / _rows_per_strip(layout))
    before = plane * number if layout.planar and planes == 1 else 0
    if before + number > MAX_STRIPS:
        raise unsupported(f"a TIFF in more than {MAX_STRIPS:,} pieces")
    offsets = directory.integers(TILE_OFFSETS if tiled else STRIP_OFFSETS, before + number)[before:]
    counts = directory.integers(TILE_COUNTS if tiled else STRIP_COUNTS, before + number)[before:]
    if len(offsets) < number:
        raise Fault(InvalidImage, "the file is cut off or damaged")
    if len(counts) < number:  # some encoders omit them: up to the next one, or the end of the file
        ends = [*offsets[1:], len(directory.data)]
        counts = tuple(max(0, end - offset) for offset, end in zip(offsets, ends, strict=True))
    if any(offset + count > len(directory.data) for offset, count in zip(offsets, counts, strict=True)):
        raise Fault(InvalidImage, "the file is cut off")
    return offsets, counts


def _rows_per_strip(layout: Layout) -> int:
    return min(max(1, layout.directory.integer(ROWS_PER_STRIP, layout.height)), layout.height)


Tag = tuple[int, int, Sequence[int] | bytes]
"""A tag: its number, type and values."""


def _tags(
    layout: Layout,
    photometric: int,
    channels: int,
    width: int,
    parts: Parts,
    tile_factor: int = 1,
    written: int = UNSIGNED,
) -> list[Tag]:
    directory = layout.directory
    offsets, counts = parts
    tags: list[Tag] = [
        (WIDTH, LONG, (width,)),
        (LENGTH, LONG, (layout.height,)),
        (BITS, SHORT, (layout.bits,) * channels),
        (COMPRESSION, SHORT, (layout.compression,)),
        (PHOTOMETRIC, SHORT, (photometric,)),
        (SAMPLES, SHORT, (channels,)),
        (PLANAR, SHORT, (1,)),
        (SAMPLE_FORMAT, SHORT, (written,) * channels),
        (FILL_ORDER, SHORT, (directory.integer(FILL_ORDER, 1),)),
    ]
    if TILE_OFFSETS in directory:
        tags += [
            (TILE_WIDTH, LONG, (directory.integer(TILE_WIDTH, 0) * tile_factor,)),
            (TILE_LENGTH, LONG, (directory.integer(TILE_LENGTH, 0),)),
            (TILE_OFFSETS, LONG, offsets),
            (TILE_COUNTS, LONG, counts),
        ]
    else:
        tags += [
            (ROWS_PER_STRIP, LONG, (_rows_per_strip(layout),)),
            (STRIP_OFFSETS, LONG, offsets),
            (STRIP_COUNTS, LONG, counts),
        ]
    if layout.predictor != 1:
        tags.append((PREDICTOR, SHORT, (layout.predictor,)))
    tags += [(tag, LONG, (directory.integer(tag, 0),)) for tag in (T4_OPTIONS, T6_OPTIONS) if tag in directory]
    if layout.compression == JPEG and (tables := directory.block(JPEG_TABLES)) is not None:
        tags.append((JPEG_TABLES, UNDEFINED, tables[2]))
    return tags


def _opened(directory: Directory, tags: list[Tag]) -> TiffImagePlugin.TiffImageFile:
    """Open the file with `tags` as its only directory."""
    order, data = directory.order, directory.data
    at = len(data) + len(data) % 2
    entries, behind = bytearray(struct.pack(order + "H", len(tags))), bytearray()
    values_at = at + 2 + 12 * len(tags) + 4
    for tag, kind, values in sorted(tags, key=lambda each: each[0]):
        letter, size = TYPES[kind]
        body = values if isinstance(values, bytes) else struct.pack(f"{order}{len(values)}{letter}", *values)
        entries += struct.pack(order + "HHI", tag, kind, len(body) // size)
        if len(body) <= 4:  # noqa: PLR2004 - larger values are outside of the entry
            entries += body.ljust(4, b"\0")
        else:
            entries += struct.pack(order + "I", values_at + len(behind))
            behind += body + b"\0" * (len(body) % 2)
    head = data[:2] + struct.pack(order + "HI", 42, at)
    file = b"".join((head, memoryview(data)[8:], b"\0" * (len(data) % 2), entries, b"\0\0\0\0", behind))
    return TiffImagePlugin.TiffImageFile(io.BytesIO(file))


def _white(layout: Layout, planes: Sequence[Image.Image]) -> float:
    """Return the value of white. Raises Fault where the values match no usual scale."""
    if layout.bits == 8:  # noqa: PLR2004
        return 255
    extrema = [_range(layout, plane) for plane in planes]
    low, high = min(each[0] for each in extrema), max(each[1] for each in extrema)
    if not (math.isfinite(low) and math.isfinite(high)):
        raise unsupported(f"{layout.described} that are not finite")
    if layout.format == FLOAT:
        return _float_white(layout, low, high)
    if low < 0:
        raise unsupported(f"{layout.described} below zero")
    most = (1 << layout.bits - (layout.format == SIGNED)) - 1
    said = layout.directory.integer(MAX_VALUE, most)
    if high <= said < most:
        return max(said, 1)
    if layout.bits == 16:  # noqa: PLR2004
        return most
    # Most files with 32-bit integers contain values of fewer bits.
    usual = next((white for white in (255, 65535, most) if high <= white), most)
    if usual == most and high < most * DARKEST:
        raise unsupported(f"{layout.described} of at most {high:,.0f}")
    return usual


def _float_white(layout: Layout, low: float, high: float) -> float:
    white = next((each for each in (1.0, 255.0, 65535.0) if high <= each), None)
    if high <= FLOAT_OVERSHOOT:
        white = 1.0
    if white is None or low < -white * DARKEST or 0 < high < white * DARKEST:
        raise unsupported(f"{layout.described} from {low:g} to {high:g}")
    return white


def _range(layout: Layout, plane: Image.Image) -> tuple[float, float]:
    if layout.format == UNSIGNED and plane.mode == "I":
        plane = _unsigned(plane)
    low, high = plane.getextrema()
    return float(low), float(high)  # type: ignore[arg-type] # numbers, for a single channel


def _unsigned(plane: Image.Image) -> Image.Image:
    """Return unsigned values as floats: Pillow stores 32 bits as signed integers."""
    wide = plane.convert("F")
    unsigned: Image.Image = ImageMath.lambda_eval(lambda of: of["v"] + of["float"](of["v"] < 0) * 2.0**32, v=wide)
    return unsigned


def _eight_bits(plane: Image.Image, white: float) -> Image.Image:
    if plane.mode == "L":
        return plane
    if plane.mode == "I" and white > 2**31:
        plane = _unsigned(plane)
    scale = 255 / white
    return plane.convert("F").point(lambda value: value * scale + 0.5).convert("L")
