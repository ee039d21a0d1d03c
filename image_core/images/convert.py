"""Decode untrusted images, and encode them in a type that models accept. Runs in the sandbox.

Nothing is decoded before its number of pixels is known and allowed. Decoders receive no metadata: the orientation is
read (`exif`, `isobmff`) and the metadata removed before.
"""

import contextlib
import hashlib
import io
import math
import random
import struct
import warnings
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import PIL.Image
from PIL import AvifImagePlugin, ImageCms, ImageFile

from image_core.errors import ImageTooLarge, InvalidImage
from image_core.images import exif, isobmff, metadata, tiff
from image_core.images.fault import Fault, NeedsMemory
from image_core.images.frame import Frame
from image_core.images.image import MIME_TYPES, Image, Target
from image_core.images.metadata import FRAMES, PNG_END, SOS, jpeg_segments, png_chunk
from image_core.images.passthrough import CGBI, MAX_SIDE, PASSED_THROUGH, can_stay, check_pixels, checked
from image_core.images.probe import Header, kind
from image_core.images.sandbox_memory import most_memory_bytes
from image_core.images.unsupported_types import not_an_image, unsupported

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# The limits are checked with the header, before any pixel. Pillow's own would only warn, or refuse accepted images.
PIL.Image.MAX_IMAGE_PIXELS = None
ImageFile.LOAD_TRUNCATED_IMAGES = False

DECODE_THREADS = 2
"""Threads of libheif and libavif: each needs memory."""
AvifImagePlugin.DEFAULT_MAX_THREADS = DECODE_THREADS

JPEG_QUALITY = 95
LOSSLESS = {"PNG", "GIF", "BMP", "TIFF", "WEBP"}
MAX_LOSSLESS_BYTES = 10_000_000
"""Maximum size of a PNG without transparency: a larger image is sent as JPEG, without a visible difference."""
PADDING_BYTES = 512
"""Number of zeros after a scan from which they count as the part of a file that was never written."""
MOST_SHRUNK = 7 / 8
"""Fraction of MAX_SIDE to which a JPEG's decoder may scale it down, which takes less time and memory."""

TURNS = {
    2: PIL.Image.Transpose.FLIP_LEFT_RIGHT,
    3: PIL.Image.Transpose.ROTATE_180,
    4: PIL.Image.Transpose.FLIP_TOP_BOTTOM,
    5: PIL.Image.Transpose.TRANSPOSE,
    6: PIL.Image.Transpose.ROTATE_270,
    7: PIL.Image.Transpose.TRANSVERSE,
    8: PIL.Image.Transpose.ROTATE_90,
}
_SWAPPED = {5, 6, 7, 8}
"""The orientations that swap width and height."""


def converted(
    data: bytes,
    max_pixels: int,
    max_decoded_pixels: int,
    memory_bytes: int | None = None,
    max_side: int = MAX_SIDE,
) -> Image:
    """Return the first frame or primary image, upright, in 8 bits and sRGB, in a size and type that models accept.

    `max_side` (at most MAX_SIDE): maximum of its longest side, in pixels.

    Raises Fault; NeedsMemory where decoding is expected to take, or takes, more than `memory_bytes`.
    """
    name = kind(data)
    if name is None or data[12:16] == CGBI:
        raise not_an_image(data)
    limits = Limits(max_pixels, max_decoded_pixels, memory_bytes)
    with faults(limits):
        if name in PASSED_THROUGH:
            return _whole(data, name, limits, max_side)
        frame = READERS[name](data, limits)
        return written(_finished(frame, _small(frame, max_side)), name)


def rendered(
    data: bytes,
    target: Target,
    max_pixels: int,
    max_decoded_pixels: int,
    memory_bytes: int | None = None,
) -> Image:
    """Return the first frame or primary image, upright, in 8 bits and sRGB, as `target` describes; in JPEG on white.

    It is for stored images, so of a file that is cut off the existing part is shown, as in browsers.

    Raises Fault; NeedsMemory as `converted` does.
    """
    name = kind(data)
    if name is None or data[12:16] == CGBI:
        raise not_an_image(data)
    limits = Limits(max_pixels, max_decoded_pixels, memory_bytes, fit=target.size)
    with faults(limits), _cut_off_allowed():
        if name in PASSED_THROUGH:
            header = checked(data, limits.pixels)
            size, shrunk = (header.width, header.height), _shrunk(header, 2 * max(_target_size(header, target)))
            limits.check(name, size, shrunk, progressive=header.progressive)
            image = loaded(_without_metadata(data, header.mime_type), name, header, shrunk)
            frame = Frame.of(image, image.info.get("icc_profile"), header.orientation)
            wanted = _target_size(header, target)
        else:
            frame = READERS[name](data, limits)
            wanted = _target_size(Header("", *frame.size, frame.orientation), target)
        return encoded(_finished(frame, frame.scaled(wanted)), target)


def _target_size(header: Header, target: Target) -> tuple[int, int]:
    """Return the size that `target` describes, before the image is turned upright."""
    if header.orientation in _SWAPPED:
        return target.size((header.height, header.width))[::-1]
    return target.size((header.width, header.height))


def _without_metadata(data: bytes, mime_type: str) -> bytes:
    """Remove metadata, and repair a damaged file. Raises Fault where it has no pixels."""
    try:
        return metadata.cleaned(data, mime_type)
    except metadata.Broken as broken:
        repaired = metadata.repaired(data, mime_type)
        if repaired is None:
            raise Fault(InvalidImage, f"the file {broken}") from broken
        return metadata.with_end(repaired, mime_type)


@contextlib.contextmanager
def _cut_off_allowed() -> "Iterator[None]":
    """Let Pillow decode the existing part of a file that is cut off."""
    ImageFile.LOAD_TRUNCATED_IMAGES = True
    try:
        yield
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = False


@contextlib.contextmanager
def faults(limits: "Limits") -> "Iterator[None]":
    """Translate the exceptions of decoders to Fault and NeedsMemory."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about metadata, which is not kept
            yield
    except metadata.Broken as error:
        raise Fault(InvalidImage, f"the file {error}") from error
    except MemoryError:
        raise NeedsMemory from None
    except (OSError, ValueError, SyntaxError, EOFError, LookupError, struct.error) as error:
        if limits.may_be_short_of_memory:
            raise NeedsMemory from error
        raise Fault(InvalidImage, "the file is cut off or damaged") from error
    except (TypeError, AttributeError, OverflowError, RuntimeError, ZeroDivisionError, AssertionError) as error:
        if limits.may_be_short_of_memory:
            raise NeedsMemory from error
        raise Fault(InvalidImage, "the file is damaged") from error  # exceptions of decoders for malicious files


def _within_max_side(size: tuple[int, int]) -> tuple[int, int]:
    scale = min(1.0, MAX_SIDE / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


@dataclass(slots=True)
class Limits:
    """The limits of one image: pixels, decoded pixels, and memory (None: no limit)."""

    pixels: int
    decoded_pixels: int
    memory_bytes: int | None
    expected_bytes: float = 0
    """The memory that decoding is expected to take, once the image's size is known."""
    fit: "Callable[[tuple[int, int]], tuple[int, int]]" = _within_max_side
    """Return the size of the result for an image's size."""
    in_full: bool = False
    """Whether the image is decoded in its own size (`original`), not in a smaller one."""

    @property
    def may_be_short_of_memory(self) -> bool:
        """Whether a failure may be a lack of memory, which most decoders report as damage, in a small sandbox."""
        if self.memory_bytes is None or self.memory_bytes >= most_memory_bytes(self.decoded_pixels):
            return False
        return self.expected_bytes > self.memory_bytes / 3

    def check(self, name: str, size: tuple[int, int], shrunk: int = 1, *, progressive: bool = False) -> None:
        """Raise Fault or NeedsMemory where an image is too large. Its decoder divides each side by `shrunk`."""
        pixels = size[0] * size[1]
        check_pixels(pixels, self.pixels)
        decoded = pixels // shrunk**2
        if decoded > self.decoded_pixels:
            limit = f"the limit for an image that must be converted is {self.decoded_pixels:,}"
            raise Fault(ImageTooLarge, f"it has {pixels:,} pixels; {limit}")
        fixed, each_sent, each_decoded = _MEMORY[name]
        # It may still be rotated.
        sent = min(decoded, max(math.prod(self.fit(size)), math.prod(self.fit(size[::-1]))))
        if self.in_full:
            sent, each_sent = decoded, TURNED_BYTES
        self.expected_bytes = fixed * MEBIBYTE + each_sent * sent + each_decoded * decoded
        self.expected_bytes += progressive * COEFFICIENT_BYTES * pixels
        if self.memory_bytes is not None and self.expected_bytes > self.memory_bytes:
            raise NeedsMemory


MEBIBYTE = 2**20
COEFFICIENT_BYTES = 6
"""Bytes for each pixel of a progressive JPEG: two for each of three channels."""

TURNED_BYTES = 4
"""Bytes for each pixel of an image in its own size: the image beside its decoder's copy, or its upright copy."""

# Memory of decoding, as measured (docs/performance.md): MiB, bytes per pixel of the result, bytes per decoded pixel.
_MEMORY = {
    "JPEG": (50, 8, 4.0),
    "PNG": (50, 12, 4.0),
    "WEBP": (50, 0, 15.0),  # its decoder has memory for two frames, also for a single image
    "GIF": (50, 12, 2.0),
    "BMP": (50, 12, 4.0),
    "TIFF": (50, 12, 6.0),
    "HEIF": (110, 8, 3.5),
    "AVIF": (50, 8, 7.0),
}


def _whole(data: bytes, name: str, limits: Limits, max_side: int) -> Image:
    """Convert a PNG, JPEG or WebP; one of which only the end marker was missing stays as it is."""
    header = checked(data, limits.pixels)
    shrunk = _shrunk(header, MAX_SIDE * MOST_SHRUNK)
    limits.check(name, (header.width, header.height), shrunk, progressive=header.progressive)
    try:
        try:
            clean = metadata.cleaned(data, header.mime_type)
        except metadata.NoEnd:
            clean = with_all_pixels(metadata.with_end(data, header.mime_type), header, shrunk)
            if can_stay(header):
                return Image(clean, header.mime_type, header.width, header.height)
    except metadata.Broken as error:
        raise Fault(InvalidImage, f"the file {error}") from error
    image = loaded(clean, name, header, shrunk)
    frame = Frame.of(image, image.info.get("icc_profile"), header.orientation)
    return written(_finished(frame, _small(frame, max_side)), name)


def _opened(data: bytes, name: str) -> PIL.Image.Image:
    return PIL.Image.open(io.BytesIO(data), formats=[name])


def loaded(data: bytes, name: str, header: Header, shrunk: int) -> PIL.Image.Image:
    """Decode a file; a JPEG with its sides divided by `shrunk`."""
    image = _opened(data, name)
    if shrunk > 1:
        image.draft(None, (max(1, header.width // shrunk), max(1, header.height // shrunk)))
    image.load()
    return image


def _shrunk(header: Header, least: float) -> int:
    """Return the factor by which a JPEG's decoder scales it down: its longest side keeps `least` pixels."""
    if header.mime_type != "image/jpeg":
        return 1
    side = max(header.width, header.height)
    return max(factor for factor in (1, 2, 4, 8) if factor == 1 or side / factor >= least)


# --- completeness of files without an end mark


def with_all_pixels(data: bytes, header: Header, shrunk: int) -> bytes:
    """Return `data` if it has all pixels, with a PNG's checksum if that is missing. Raises Fault."""
    if header.mime_type == "image/png":
        missing = metadata.missing_checksum(data)
        return data.removesuffix(PNG_END) + png_chunk(b"IDAT", missing) + PNG_END if missing else data
    scan = data[:-2].rstrip(b"\0")
    if len(data) - 2 - len(scan) < PADDING_BYTES:
        scan = data[:-2]
    if not _has_all_scans(data) or len({_pixels(scan + fill, header, shrunk) for fill in _fills()}) > 1:
        raise Fault(InvalidImage, "the file is cut off")
    return data


@cache
def _fills() -> tuple[bytes, ...]:
    """Return the bytes to append to a scan in turn: nothing, codes, and codes between restart markers.

    If all pixels are there, decoders do not read them, and the pixels are the same with each.
    """
    dice = random.Random(0)  # noqa: S311 - the same bytes every time
    codes = bytes(dice.randrange(255) for _ in range(2048))
    return b"", codes, b"".join(bytes((0xFF, 0xD0 + number)) + codes[number : number + 256] for number in range(8)) * 2


def _pixels(scans: bytes, header: Header, shrunk: int) -> bytes:
    """Return a digest of the pixels."""
    image = loaded(scans + b"\xff\xd9", "JPEG", header, shrunk)
    return hashlib.sha256(image.tobytes()).digest()


def _has_all_scans(data: bytes) -> bool:
    """Return whether the scans contain every coefficient of every channel to its last bit (ITU-T T.81, G.1)."""
    missing: dict[int, set[int]] = {}
    progressive = False
    for part in jpeg_segments(data):
        marker = part.name[0]
        if marker in FRAMES:
            progressive = marker in {0xC2, 0xCA}
            channels = data[part.body + 5]
            missing = {data[part.body + 6 + 3 * number]: set(range(64)) for number in range(channels)}
        elif marker == SOS:
            number = data[part.body]
            start, end, approximation = data[part.body + 1 + 2 * number : part.body + 4 + 2 * number]
            for channel in range(number):
                left = missing.get(data[part.body + 1 + 2 * channel], set())
                if not progressive:
                    left.clear()
                elif approximation & 15 == 0:
                    left.difference_update(range(start, end + 1))
    return not any(missing.values())


# --- kinds that are always converted


def _gif(data: bytes, limits: Limits) -> Frame:
    image = _opened(data, "GIF")
    limits.check("GIF", image.size)
    image.load()
    return Frame.of(image)


_BMP_EMBEDDED = {4: "JPEG", 5: "PNG"}


def _bmp(data: bytes, limits: Limits) -> Frame:
    (head,) = struct.unpack_from("<I", data, 14)
    if head >= 40 and (embedded := _BMP_EMBEDDED.get(data[30])):  # noqa: PLR2004 - BITMAPINFOHEADER and its successors
        raise unsupported(f"a BMP that holds a {embedded}")
    try:
        image = _opened(data, "BMP")
    except OSError as error:
        if "nsupported" in str(error):
            raise unsupported("a BMP whose pixels are laid out in an unusual way") from error
        raise
    limits.check("BMP", image.size)
    image.load()
    if image.mode == "RGBA" and image.getchannel("A").getextrema() == (0, 0):
        image = image.convert("RGB")  # declared but unused alpha: opaque, as in browsers
    return Frame.of(image)


def _tiff(data: bytes, limits: Limits) -> Frame:
    directory = tiff.full_size(data)
    limits.check("TIFF", (directory.integer(tiff.WIDTH, 0), directory.integer(tiff.LENGTH, 0)))
    return tiff.decoded(directory)


def _heif(data: bytes, limits: Limits) -> Frame:
    import pi_heif  # noqa: PLC0415 - a megabyte of decoder that few images need

    if isobmff.is_sequence(data):
        raise unsupported("a HEIC sequence")
    turning = isobmff.turning(data)
    pi_heif.options.THUMBNAILS, pi_heif.options.DECODE_THREADS = False, DECODE_THREADS
    try:
        file = pi_heif.HeifFile(data, convert_hdr_to_8bit=True, hdr_to_16bit=True, remove_stride=False)
        primary = file[file.primary_index]
        limits.check("HEIF", primary.size)
        # libheif applies the container's rotation and mirroring.
        stride, mode = primary.stride, primary.mode
    except (OSError, ValueError, SyntaxError, RuntimeError, EOFError) as error:
        if "nsupported" in str(error):
            raise unsupported("a HEIF image of an unusual codec") from error
        raise
    width, height = primary.size
    if width < 1 or height < 1 or len(primary.data) < stride * height:
        raise Fault(InvalidImage, "the file is damaged")

    def rows(first: int, last: int) -> PIL.Image.Image:
        taken = primary.data[first * stride : last * stride]  # keeps `primary`, which owns the memory, alive
        return PIL.Image.frombytes(mode, (width, last - first), taken, "raw", mode, stride)

    orientation = exif.UPRIGHT if turning.turned else turning.orientation
    return Frame((width, height), rows, primary.info.get("icc_profile"), orientation)


def _avif(data: bytes, limits: Limits) -> Frame:
    turning = isobmff.turning(data)
    hidden = bytearray(data)
    for at in turning.exif_types:  # Pillow would parse it, and replace its orientation by the container's
        hidden[at : at + 4] = b"free"
    image = _opened(bytes(hidden), "AVIF")
    limits.check("AVIF", image.size)
    image.load()
    # Pillow does not apply the container's rotation and mirroring: it returns them as an EXIF orientation.
    container = exif.orientation(image.info.get("exif", b""))
    return Frame.of(image, image.info.get("icc_profile"), container if turning.turned else turning.orientation)


READERS: "dict[str, Callable[[bytes, Limits], Frame]]" = {
    "GIF": _gif,
    "BMP": _bmp,
    "TIFF": _tiff,
    "HEIF": _heif,
    "AVIF": _avif,
}


# --- from pixels to a file


def _small(frame: Frame, max_side: int) -> PIL.Image.Image:
    """Return the image of `frame` with at most `max_side` pixels on each side."""
    image = frame.small()
    image.thumbnail((max_side, max_side), PIL.Image.Resampling.LANCZOS)
    return image


def _finished(frame: Frame, image: PIL.Image.Image) -> PIL.Image.Image:
    """Return `image`, which has the frame's pixels: upright, in gray, RGB or RGBA, in sRGB."""
    if frame.orientation in TURNS:
        image = image.transpose(TURNS[frame.orientation])
    image = in_srgb(image, frame.profile)
    if image.mode == "RGBA" and image.getchannel("A").getextrema() == (255, 255):
        image = image.convert("RGB")
    return image


_SPACES = {"L": "GRAY", "RGB": "RGB ", "RGBA": "RGB ", "CMYK": "CMYK"}


def in_srgb(image: PIL.Image.Image, profile: bytes | None) -> PIL.Image.Image:
    """Convert the colours by the profile to sRGB; without a usable one only the mode is converted."""
    if profile:
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            if source.profile.xcolor_space == _SPACES[image.mode]:
                made = ImageCms.profileToProfile(
                    image,
                    source,
                    ImageCms.createProfile("sRGB"),
                    ImageCms.Intent.RELATIVE_COLORIMETRIC,
                    outputMode="RGBA" if image.mode == "RGBA" else "RGB",
                    flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
                )
                if made is not None:
                    return made
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
            return image.convert("RGB") if image.mode == "CMYK" else image
    return image.convert("RGB") if image.mode == "CMYK" else image


def written(image: PIL.Image.Image, name: str) -> Image:
    """Encode an image for a model, as PNG or JPEG. `name`: its original format."""
    image.info = {}
    save: Callable[..., None] = image.save
    if image.mode == "RGBA" or name in LOSSLESS:
        out = io.BytesIO()
        save(out, "PNG", compress_level=3)
        if image.mode == "RGBA" or out.tell() <= MAX_LOSSLESS_BYTES:
            return Image(metadata.cleaned(out.getvalue(), "image/png"), "image/png", *image.size)
    out = io.BytesIO()
    save(out, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    return Image(metadata.cleaned(out.getvalue(), "image/jpeg"), "image/jpeg", *image.size)


WHITE = (255, 255, 255)
PNG_LEVEL = 6
"""Compression level, 1 to 9: zlib's default."""
CHROMA_IN_FULL = 90
"""Quality from which on a JPEG has its colours in full resolution; below it in half of it in each direction."""
OPTIMIZED_PIXELS = 18_000_000
"""A JPEG of more is encoded without its own Huffman tables, for which all coefficients would have to be in memory."""


def encoded(image: PIL.Image.Image, target: Target, profile: bytes | None = None, png_level: int = PNG_LEVEL) -> Image:
    """Return the image in the format of `target`, in its own size, and with its colour profile where one is given."""
    image.info = {}
    if target.format == "jpeg" and image.mode == "RGBA":
        opaque = PIL.Image.new("RGB", image.size, WHITE)
        opaque.paste(image, mask=image.getchannel("A"))
        image = opaque
    options: dict[str, object] = {"icc_profile": profile} if profile else {}
    if target.format == "png":
        options |= {"compress_level": png_level}
    elif target.format == "jpeg":
        subsampling = 0 if target.quality >= CHROMA_IN_FULL else 2
        options |= {"quality": target.quality, "subsampling": subsampling}
        options |= {"optimize": image.width * image.height <= OPTIMIZED_PIXELS}
    elif target.format == "webp":
        options |= {"quality": target.quality, "method": 4}
    out = io.BytesIO()
    save: Callable[..., None] = image.save
    save(out, target.format.upper(), **options)
    return Image(out.getvalue(), MIME_TYPES[target.format], *image.size)
