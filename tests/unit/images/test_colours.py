"""Colours and transparency of converted images: profiles, bit depths and palettes."""

import io
import random
import struct
import zlib

import pytest
from PIL import Image, ImageChops, ImageCms

from image_core.images.fault import Fault
from image_core.images.frame import BAND_ROWS, Frame
from image_core.images.metadata import PNG_END, PNG_SIGNATURE, png_chunk
from image_core.images.passthrough import MAX_SIDE
from tests.support.image_files import (
    LEFT,
    LIMITS,
    RIGHT,
    assert_halves,
    halves,
    opened,
    prepared,
    profile,
    saved,
    unusual_image,
)
from tests.support.paths import IMAGES

# --- profiles


SRGB_XYZ = ((0.4361, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7141))
SWAPPED = profile(SRGB_XYZ[1], SRGB_XYZ[0], SRGB_XYZ[2])
"""What a file calls red is green."""
P3 = profile((0.5151, 0.2412, -0.0011), (0.292, 0.6922, 0.0419), (0.1571, 0.0666, 0.7841))


def with_profile(kind: str, icc: bytes, image: Image.Image) -> bytes:
    """Return a file with this profile that has to be converted."""
    if kind == "turned JPEG":
        exif = Image.Exif()
        exif[0x112] = 3
        turned = image.transpose(Image.Transpose.ROTATE_180)
        return saved(turned, "JPEG", quality=95, subsampling=0, exif=exif, icc_profile=icc)
    if kind == "large PNG":
        return saved(image.resize((MAX_SIDE + 100, 300), Image.Resampling.NEAREST), "PNG", icc_profile=icc)
    return saved(image, kind, icc_profile=icc, **({"quality": 95} if kind == "AVIF" else {}))


@pytest.mark.parametrize("kind", ["turned JPEG", "large PNG", "TIFF", "AVIF"])
def test_colours_are_converted_by_the_profile(kind: str) -> None:
    made = opened(prepared(with_profile(kind, SWAPPED, halves()), *LIMITS))
    assert_halves(made, (LEFT[1], LEFT[0], LEFT[2]), (RIGHT[1], RIGHT[0], RIGHT[2]))
    assert "icc_profile" not in made.info, "they are sRGB's"


@pytest.mark.parametrize("kind", ["large PNG", "TIFF", "AVIF"])
def test_transparency_stays_beside_a_profile(kind: str) -> None:
    image = halves()
    image.putalpha(128)
    made = opened(prepared(with_profile(kind, SWAPPED, image), *LIMITS))
    assert_halves(made, (LEFT[1], LEFT[0], LEFT[2], 128), (RIGHT[1], RIGHT[0], RIGHT[2], 128))


def test_a_wide_gamut_is_brought_to_srgb() -> None:
    made = opened(prepared(with_profile("TIFF", P3, Image.new("RGB", (40, 30), (100, 200, 100))), *LIMITS))
    wanted = ImageCms.profileToProfile(
        Image.new("RGB", (1, 1), (100, 200, 100)),
        ImageCms.ImageCmsProfile(io.BytesIO(P3)),
        ImageCms.createProfile("sRGB"),
        ImageCms.Intent.RELATIVE_COLORIMETRIC,
    )
    assert wanted is not None
    seen, expected = made.getpixel((5, 5)), wanted.getpixel((0, 0))
    assert isinstance(seen, tuple)
    assert isinstance(expected, tuple)
    assert max(abs(a - b) for a, b in zip(seen, expected, strict=True)) <= 2
    assert seen[0] < 90, "more saturated in the smaller space"


@pytest.mark.parametrize(
    "icc", [b"", b"no profile", SWAPPED[:200], profile(gray=True), SWAPPED.replace(b"RGB ", b"CMYK", 1)], ids=len
)
def test_an_unusable_profile_is_ignored(icc: bytes) -> None:
    assert_halves(opened(prepared(with_profile("TIFF", icc, halves()), *LIMITS)))


def test_a_gray_profile_is_applied_to_gray() -> None:
    gray = Image.new("L", (40, 30), 128)
    made = opened(prepared(saved(gray, "TIFF", icc_profile=profile(gray=True, gamma=1.0)), *LIMITS)).convert("L")
    value = made.getpixel((5, 5))
    assert isinstance(value, int)
    assert 180 < value < 195, "half of the light is 188 in sRGB"


def test_an_image_that_needs_no_conversion_keeps_its_profile() -> None:
    made = opened(prepared(saved(halves(), "PNG", icc_profile=P3), *LIMITS))
    assert made.info["icc_profile"] == P3


# --- BMP

MASKS = struct.pack("<4I", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)


def bmp(head: int, bits: int, compression: int, pixels: bytes, masks: bytes = b"", height: int = 3) -> bytes:
    """Return a BMP of 4 x 3 pixels."""
    header = struct.pack("<IiiHHIIiiII", head, 4, height, 1, bits, compression, len(pixels), 0, 0, 0, 0) + masks
    header = header.ljust(head, b"\0") if head > 40 else header
    offset = 14 + len(header)
    return b"BM" + struct.pack("<IHHI", offset + len(pixels), 0, 0, offset) + header + pixels


@pytest.mark.parametrize("height", [3, -3])
@pytest.mark.parametrize(
    ("head", "compression", "masks"),
    [(40, 0, b""), (40, 3, MASKS[:12]), (56, 3, MASKS), (108, 3, MASKS), (124, 3, MASKS), (124, 0, b"")],
)
@pytest.mark.parametrize("alpha", [0, 255])
def test_a_bmp_whose_alpha_is_all_zero_is_opaque(
    head: int, compression: int, masks: bytes, height: int, alpha: int
) -> None:
    pixels = bytes((*reversed(LEFT), alpha)) * 12
    made = opened(prepared(bmp(head, 32, compression, pixels, masks, height), *LIMITS))
    assert (made.mode, made.getpixel((1, 1))) == ("RGB", LEFT)


def test_a_bmp_with_transparency_keeps_it() -> None:
    pixels = bytes((*reversed(LEFT), 128)) * 6 + bytes((*reversed(LEFT), 0)) * 6
    made = opened(prepared(bmp(108, 32, 3, pixels, MASKS), *LIMITS))
    assert (made.getpixel((0, 2)), made.getpixel((3, 0))) == ((*LEFT, 128), (*LEFT, 0))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (bmp(40, 0, 4, saved(halves(), "JPEG")), "a BMP that holds a JPEG cannot"),
        (bmp(124, 0, 5, saved(halves(), "PNG")), "a BMP that holds a PNG cannot"),
        (
            bmp(108, 16, 3, b"\0\x0f" * 12, struct.pack("<4I", 0xF00, 0xF0, 0xF, 0xF000)),
            "a BMP whose pixels are laid out in an unusual way cannot",
        ),
    ],
)
def test_an_unsupported_bmp_is_refused_by_name(data: bytes, words: str) -> None:
    with pytest.raises(Fault) as caught:
        prepared(data, *LIMITS)
    assert caught.value.kind.code == "unsupported_media_type"
    assert caught.value.details.startswith(words)


# --- PNG of 16 bits, and with a transparent colour


def png(depth: int, colour: int, pixel: bytes, *chunks: bytes) -> bytes:
    rows = zlib.compress((b"\0" + pixel * 4) * 3)
    head = struct.pack(">IIBBBBB", 4, 3, depth, colour, 0, 0, 0)
    return PNG_SIGNATURE + png_chunk(b"IHDR", head) + b"".join(chunks) + png_chunk(b"IDAT", rows) + PNG_END


@pytest.mark.parametrize(
    ("data", "pixel"),
    [
        (png(16, 0, b"\x80\0"), 128),
        (png(16, 0, b"\xff\xff"), 255),
        (png(16, 0, b"\x80\0", png_chunk(b"tRNS", b"\x80\x01")), 128),
        (png(16, 2, b"\xc8\0\x20\0\x40\0"), (200, 32, 64)),
        (png(16, 2, b"\xc8\0\x20\0\x40\0", png_chunk(b"tRNS", b"\0\1\0\1\0\1")), (200, 32, 64)),
        (png(16, 4, b"\x80\0\x40\0"), (128, 128, 128, 64)),
        (png(16, 6, b"\x80\0\x40\0\x20\0\x90\0"), (128, 64, 32, 144)),
    ],
)
def test_a_png_of_16_bits_keeps_its_colours(data: bytes, pixel: object) -> None:
    assert opened(prepared(data, *LIMITS)).getpixel((1, 1)) == pixel


# --- other kinds


def test_a_heic_of_ten_bits_or_with_transparency_is_converted() -> None:
    assert_halves(opened(prepared((IMAGES / "heif" / "ten-bits.heic").read_bytes(), *LIMITS)))
    made = opened(prepared((IMAGES / "heif" / "alpha.heic").read_bytes(), *LIMITS))
    assert_halves(made, (200, 115, 130, 227), (105, 210, 145, 227))


def mean_difference(first: Image.Image, second: Image.Image) -> float:
    """Return the mean difference of the channels of two images."""
    histogram = ImageChops.difference(first.convert("RGB"), second.convert("RGB")).histogram()
    return sum(value % 256 * count for value, count in enumerate(histogram)) / sum(histogram)


def test_a_heic_of_any_width_is_decoded_and_its_profile_is_applied() -> None:
    data = unusual_image("cat.heic")  # of 451 pixels in a row, which its decoder pads
    original = Image.open(IMAGES / "cat.png").convert("RGB")
    made = opened(prepared(data, *LIMITS))
    assert mean_difference(made, original) < 3
    at = data.index(b"colrprof") + len(b"colrprof")
    size = int.from_bytes(data[at - 12 : at - 8], "big") - 12
    swapped = data[:at] + SWAPPED.ljust(size, b"\0") + data[at + size :]
    red, green, blue = original.split()
    assert mean_difference(opened(prepared(swapped, *LIMITS)), Image.merge("RGB", (green, red, blue))) < 4


@pytest.mark.parametrize(
    ("data", "details"),
    [
        (unusual_image("cat.heic")[:30_000], "the file is "),
        (
            (IMAGES / "heif" / "ten-bits.heic").read_bytes().replace(b"hvc1", b"vvc1").replace(b"hvcC", b"vvcC"),
            "a HEIF image of an unusual codec cannot be used",
        ),
        (b"\0\0\0\x10ftypheic\0\0\0\0\0\0\0\x10moov" + bytes(8), "a HEIC sequence cannot be used"),
    ],
    ids=["cut off", "another codec", "a sequence"],
)
def test_a_heic_that_cannot_be_decoded_is_refused_with_the_reason(data: bytes, details: str) -> None:
    with pytest.raises(Fault) as caught:
        prepared(data, *LIMITS)
    assert caught.value.details.startswith(details)


def test_the_third_image_of_a_heic_is_sent_where_it_is_the_primary_one() -> None:
    assert_halves(opened(prepared((IMAGES / "heif" / "primary-is-third.heic").read_bytes(), *LIMITS)))


@pytest.mark.parametrize("name", ["arithmetic.jpg", "arithmetic-progressive.jpg"])
def test_arithmetic_codes_of_a_jpeg_become_huffman_codes(name: str) -> None:
    made = prepared(unusual_image(name), *LIMITS)
    assert b"\xff\xc9" not in made.data
    assert b"\xff\xca" not in made.data
    assert_halves(opened(made))


@pytest.mark.parametrize(
    "data", [saved(halves(), "GIF")[:-1], saved(halves(), "GIF") + b"trailer", saved(halves(), "GIF", interlace=1)]
)
def test_a_gif_may_have_no_end_a_trailer_or_interlacing(data: bytes) -> None:
    assert_halves(opened(prepared(data, *LIMITS)))


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "CMYK", "1", "LA"])
def test_an_image_scaled_in_bands_has_no_seams(mode: str) -> None:
    image = Image.frombytes("RGB", (500, 854), random.Random(1).randbytes(3 * 500 * 854)).convert(mode)
    usual = "L" if mode in {"L", "1"} else "RGB"
    size = (410, 700)
    assert size[1] > 2 * BAND_ROWS
    made = Frame.of(image).scaled(size)
    whole = image.convert(usual if mode in {"1", "P"} else mode).resize(size, Image.Resampling.LANCZOS)
    assert made.size == size
    a, b = made.convert(usual).tobytes(), whole.convert(usual).tobytes()
    assert max(abs(x - y) for x, y in zip(a[::97], b[::97], strict=True)) <= 1
