"""Image files of many kinds, and the steps that prepare them for a model."""

import io
import random
import struct
import zlib

import PIL.Image
from PIL import ImageChops

from image_core.images import metadata
from image_core.images.convert import converted
from image_core.images.image import Image
from image_core.images.metadata import png_chunk
from image_core.images.passthrough import as_it_is
from image_core.images.sandbox import convert_in_sandbox
from tests.support.paths import IMAGES

LIMITS = (100_000_000, 40_000_000)


def prepared(data: bytes, max_pixels: int, max_decoded_pixels: int) -> Image:
    """Prepare a valid file in this process."""
    return as_it_is(data, max_pixels) or converted(data, max_pixels, max_decoded_pixels)


async def prepared_in_sandbox(data: bytes, max_pixels: int, max_decoded_pixels: int) -> Image:
    """Prepare a file as the loader does."""
    return as_it_is(data, max_pixels) or await convert_in_sandbox(data, max_pixels, max_decoded_pixels)


def unusual_image(name: str) -> bytes:
    """Return a file of `tests/fixtures/images/unusual`."""
    return (IMAGES / "unusual" / name).read_bytes()


def opened(made: Image) -> PIL.Image.Image:
    """Decode an image, and compare its type and size with the file's."""
    image = PIL.Image.open(io.BytesIO(made.data))
    image.load()
    assert image.size == (made.width, made.height)
    assert made.mime_type == PIL.Image.MIME[image.format or ""]
    return image


def saved(image: PIL.Image.Image, kind: str, **options: object) -> bytes:
    """Return the image as a file of a Pillow format; a PNG with the fastest compression, if none is given."""
    out = io.BytesIO()
    image.save(out, kind, **({"compress_level": 1} if kind == "PNG" else {}) | options)
    return out.getvalue()


def turned(side: int) -> bytes:
    """Return a JPEG that has to be converted, because its EXIF rotates it."""
    exif = PIL.Image.Exif()
    exif[0x112] = 6
    return saved(PIL.Image.linear_gradient("L").resize((side, side)).convert("RGB"), "JPEG", exif=exif)


LEFT, RIGHT = (200, 30, 60), (10, 220, 90)


def halves(mode: str = "RGB") -> PIL.Image.Image:
    """Return an image whose left and right halves have different colours."""
    image = PIL.Image.new("RGB", (40, 30), LEFT)
    image.paste(RIGHT, (20, 0, 40, 30))
    return image.convert(mode)


def assert_halves(
    image: PIL.Image.Image, left: tuple[int, ...] = LEFT, right: tuple[int, ...] = RIGHT, within: int = 12
) -> None:
    """Check the colours of the halves, with a tolerance of `within` for each channel."""
    for x, wanted in ((image.width // 5, left), (image.width * 4 // 5, right)):
        found = image.getpixel((x, image.height // 2))
        channels = found if isinstance(found, tuple) else (found,)
        assert len(channels) == len(wanted)
        for a, b in zip(channels, wanted, strict=True):
            assert isinstance(a, int)
            assert abs(a - b) <= within, (found, wanted)


def profile(*primaries: tuple[float, float, float], gray: bool = False, gamma: float = 2.2) -> bytes:
    """Return an ICC profile of a matrix and a gamma, or of a gray of that gamma (ICC.1:2001-04)."""

    def fixed(*values: float) -> bytes:
        return struct.pack(f">{len(values)}i", *(round(value * 65536) for value in values))

    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"
    white = (0.9642, 1.0, 0.8249)
    tags: dict[bytes, bytes] = {
        b"desc": b"desc\0\0\0\0" + struct.pack(">I", 5) + b"test\0" + bytes(80),
        b"cprt": b"text\0\0\0\0none\0\0\0\0",
        b"wtpt": b"XYZ \0\0\0\0" + fixed(*white),
    }
    if gray:
        tags[b"kTRC"] = curve
    else:
        for name, xyz in zip((b"rXYZ", b"gXYZ", b"bXYZ"), primaries, strict=True):
            tags[name] = b"XYZ \0\0\0\0" + fixed(*xyz)
        tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve)
    at, table, body = 128 + 4 + 12 * len(tags), b"", b""
    for name, content in tags.items():
        table += struct.pack(">4sII", name, at + len(body), len(content))
        body += content + b"\0" * (-len(content) % 4)
    head = struct.pack(">I4sI4s4s4s", 0, b"lcms", 0x02400000, b"mntr", b"GRAY" if gray else b"RGB ", b"XYZ ")
    head += bytes(12) + b"acsp" + bytes(28) + fixed(*white) + bytes(48)
    whole = head + struct.pack(">I", len(tags)) + table + body
    return struct.pack(">I", len(whole)) + whole[4:]


def photo(mode: str = "RGB", size: tuple[int, int] = (203, 150)) -> PIL.Image.Image:
    """Return an image with the smooth colours of a photograph, always the same."""
    rng = random.Random(1)
    small = PIL.Image.new("RGB", (20, 15))
    small.putdata([tuple(rng.randrange(256) for _ in range(3)) for _ in range(300)])
    return small.resize(size, PIL.Image.Resampling.BICUBIC).convert(mode)


JPEGS: dict[str, bytes] = {
    "baseline": saved(photo(), "JPEG"),
    "full colours": saved(photo(), "JPEG", subsampling=0),
    "optimized": saved(photo(), "JPEG", optimize=True),
    "progressive": saved(photo(), "JPEG", progressive=True),
    "gray": saved(photo("L"), "JPEG"),
    "gray progressive": saved(photo("L"), "JPEG", progressive=True),
    "restart markers": saved(photo(), "JPEG", restart_marker_blocks=4),
    "progressive with restart markers": saved(photo(), "JPEG", progressive=True, restart_marker_blocks=7),
    "CMYK": saved(photo("CMYK"), "JPEG"),
    "one colour": saved(PIL.Image.new("RGB", (203, 150), "red"), "JPEG"),
}


def interlaced(image: PIL.Image.Image) -> bytes:
    """Return a PNG in seven passes, which Pillow reads and does not write (PNG, 8.2)."""
    rows = b""
    for left, top, across, down in (
        *((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4)),
        *((0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)),
    ):
        for y in range(top, image.height, down):
            if left < image.width:
                pixels = (image.getpixel((x, y)) for x in range(left, image.width, across))
                rows += b"\0" + b"".join(bytes(pixel) for pixel in pixels)  # type: ignore[arg-type] # of RGB
    head = struct.pack(">IIBBBBB", *image.size, 8, 2, 0, 0, 1)
    body = zlib.compress(rows)
    half = len(body) // 2
    parts = [png_chunk(b"IHDR", head), png_chunk(b"IDAT", body[:half]), png_chunk(b"IDAT", body[half:])]
    return metadata.PNG_SIGNATURE + b"".join(parts) + metadata.PNG_END


PNGS: dict[str, bytes] = {
    "RGB": saved(photo(), "PNG"),
    "RGBA": saved(photo("RGBA"), "PNG"),
    "gray": saved(photo("L"), "PNG"),
    "gray with transparency": saved(photo("LA"), "PNG"),
    "palette": saved(photo().quantize(32), "PNG"),
    "palette of 4 bits": saved(photo().quantize(16), "PNG", bits=4),
    "one bit": saved(photo("1"), "PNG"),
    "stored": saved(photo(), "PNG", compress_level=0),
    "interlaced": interlaced(photo(size=(61, 37))),
    "interlaced, smaller than its passes": interlaced(photo(size=(3, 1))),
}


WEBPS = {
    "lossy": saved(photo(), "WEBP"),
    "lossless": saved(photo(), "WEBP", lossless=True),
    "transparent": saved(photo("RGBA"), "WEBP"),
    "with EXIF": saved(photo(), "WEBP", exif=b"Exif\0\0" + b"II*\0\x08\0\0\0\0\0\0\0\0\0" + b"x" * 50),
}


def in_eight_bits(image: PIL.Image.Image) -> PIL.Image.Image:
    """Return an image that Pillow has read in RGB or RGBA."""
    if image.mode == "I;16":
        image = PIL.Image.frombytes("L", image.size, image.tobytes()[1::2])
    return image.convert("RGBA" if image.has_transparency_data else "RGB")


def count_differences(first: PIL.Image.Image, second: PIL.Image.Image, where: PIL.Image.Image) -> int:
    """Return how many channel values differ, in the pixels where `where` is white."""
    assert (first.mode, first.size) == (second.mode, second.size)
    count = 0
    for one, two in zip(first.split(), second.split(), strict=True):
        histogram = ImageChops.difference(one, two).histogram(where)
        count += sum(histogram[1:])
    return count
