"""Renditions in pixels: size, orientation, colour profile, transparency, and the existing part of damaged files."""

import io
import struct
from pathlib import Path

import PIL.Image
import pytest

from image_core.errors import InvalidImage
from image_core.images.convert import rendered
from image_core.images.fault import Fault, NeedsMemory
from image_core.images.image import EXTENSIONS, MIME_TYPES, Image, OutputFormat, Target
from image_core.images.metadata import has_provenance, png_chunk
from image_core.images.probe import read_header
from tests.support.harness import sample_image
from tests.support.image_files import LEFT, LIMITS, RIGHT, assert_halves, halves, opened, profile, saved
from tests.support.paths import IMAGES

SAMPLES = {"coffee.jpg": (600, 400), "cat.png": (451, 300), "rocket.webp": (640, 427)}
FORMATS: tuple[OutputFormat, ...] = tuple(MIME_TYPES)
SWAPPED = profile((0.1431, 0.0606, 0.7141), (0.3851, 0.7169, 0.0971), (0.4360, 0.2225, 0.0139))
"""sRGB's primaries with red and blue exchanged."""


def render(data: bytes, width: int | None = None, format_name: OutputFormat = "png", quality: int = 90) -> Image:
    return rendered(data, Target(width, format_name, quality), *LIMITS)


@pytest.mark.parametrize("format_name", FORMATS)
@pytest.mark.parametrize("name", SAMPLES)
def test_rendition_has_the_requested_width_and_the_same_content(name: str, format_name: OutputFormat) -> None:
    made = opened(render(sample_image(name), 128, format_name))
    original = PIL.Image.open(io.BytesIO(sample_image(name))).convert("RGB")
    assert made.size == (128, round(original.height * 128 / original.width))
    assert made.format == format_name.upper()
    wanted, got = (
        original.resize((8, 6), PIL.Image.Resampling.BOX),
        made.convert("RGB").resize((8, 6), PIL.Image.Resampling.BOX),
    )
    differences = [abs(a - b) for a, b in zip(wanted.tobytes(), got.tobytes(), strict=True)]
    assert max(differences) < 24
    assert not made.info.get("icc_profile")


@pytest.mark.parametrize("format_name", FORMATS)
def test_an_image_of_every_output_format_can_be_stored_and_recovered(format_name: OutputFormat) -> None:
    # Recovery reads type and size of a stored image from its header, in the main process.
    made = render(sample_image("rocket.webp"), 64, format_name)
    assert made.mime_type in EXTENSIONS
    header = read_header(made.data)
    assert header is not None
    assert (header.mime_type, header.width, header.height) == (made.mime_type, made.width, made.height)


OTHERS: list[tuple[str, bytes]] = [
    *((kind, saved(halves(), kind)) for kind in ("GIF", "BMP", "TIFF", "AVIF")),
    ("HEIC", (IMAGES / "heif" / "ten-bits.heic").read_bytes()),
]


@pytest.mark.parametrize("data", [row[1] for row in OTHERS], ids=[row[0] for row in OTHERS])
def test_rendition_of_any_other_type_has_its_content(data: bytes) -> None:
    made = opened(render(data, 20))
    assert made.size == (20, 15)
    assert_halves(made.convert("RGB"))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_rendition_of_a_tiff_has_the_width_of_the_upright_image(orientation: int) -> None:
    data = saved(PIL.Image.new("RGB", (40, 20), "red"), "TIFF", tiffinfo={274: orientation})
    made = opened(render(data, 10))
    assert made.size == ((10, 20) if orientation > 4 else (10, 5))


@pytest.mark.parametrize(
    ("data", "code", "details"),
    [
        (b"", "invalid_image", "it is empty"),
        (b"%PDF-1.7", "unsupported_media_type", "PDF cannot be used"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\4CgBI" + bytes(30), "unsupported_media_type", "a PNG that Xcode has packed"),
        (b"GIF89a", "invalid_image", "the file is cut off or damaged"),
        (sample_image("cat.png")[:60], "invalid_image", "the file is cut off"),
        (sample_image("rocket.webp")[:60], "invalid_image", "the file is cut off"),
    ],
)
def test_a_file_that_cannot_be_decoded_is_refused_with_the_reason(data: bytes, code: str, details: str) -> None:
    with pytest.raises(Fault) as caught:
        render(data)
    assert caught.value.kind.code == code
    assert caught.value.details.startswith(details)


def test_the_memory_of_a_rendition_is_that_of_its_own_size() -> None:
    data = sample_image("cat.png")
    expected = 50 * 2**20 + 12 * 45 * 68 + 4 * 451 * 300  # it may still be rotated
    target = Target(45, "png")
    rendered(data, target, *LIMITS, expected)
    with pytest.raises(NeedsMemory):
        rendered(data, target, *LIMITS, expected - 1)


@pytest.mark.parametrize("width", [None, 2048])
def test_image_is_never_enlarged(width: int | None) -> None:
    assert opened(render(sample_image("coffee.jpg"), width, "webp")).size == (600, 400)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_pixels_are_upright_and_the_width_is_that_of_the_upright_image(kind: str, orientation: int) -> None:
    upright = PIL.Image.new("RGB", (80, 40), LEFT)
    upright.paste(RIGHT, (40, 0, 80, 40))
    undo = {
        2: PIL.Image.Transpose.FLIP_LEFT_RIGHT,
        3: PIL.Image.Transpose.ROTATE_180,
        4: PIL.Image.Transpose.FLIP_TOP_BOTTOM,
        5: PIL.Image.Transpose.TRANSPOSE,
        6: PIL.Image.Transpose.ROTATE_90,
        7: PIL.Image.Transpose.TRANSVERSE,
        8: PIL.Image.Transpose.ROTATE_270,
    }
    stored = upright.transpose(undo[orientation]) if orientation in undo else upright
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    made = opened(render(saved(stored, kind, exif=exif, quality=100), 20))
    assert made.size == (20, 10)
    assert_halves(made, within=20)


def test_rendition_is_converted_by_the_profile() -> None:
    made = opened(render(saved(halves(), "PNG", icc_profile=SWAPPED), 20))
    assert_halves(made, (60, 30, 200), (90, 220, 10), within=30)


@pytest.mark.parametrize("format_name", ["png", "webp"])
def test_transparency_is_kept(format_name: OutputFormat) -> None:
    image = PIL.Image.new("RGBA", (40, 20), (255, 0, 0, 0))
    image.paste((0, 0, 255, 255), (20, 0, 40, 20))
    made = opened(render(saved(image, "PNG"), 20, format_name))
    assert made.mode == "RGBA"
    assert made.getchannel("A").getpixel((3, 5)) == 0
    assert made.getchannel("A").getpixel((16, 5)) == 255


def test_transparent_pixels_become_white_in_jpeg() -> None:
    image = PIL.Image.new("RGBA", (40, 20), (255, 0, 0, 0))
    image.paste((0, 0, 255, 255), (20, 0, 40, 20))
    assert_halves(opened(render(saved(image, "PNG"), 20, "jpeg")), (255, 255, 255), (0, 0, 255))


def test_colour_of_invisible_pixels_does_not_bleed_into_visible_ones() -> None:
    image = PIL.Image.new("RGBA", (640, 64), (255, 0, 0, 0))
    for column in range(0, 640, 2):
        image.paste((0, 0, 255, 255), (column, 0, column + 1, 64))
    seen = opened(render(saved(image, "PNG"), 64)).getpixel((30, 3))
    assert isinstance(seen, tuple)
    assert seen[0] < 5
    assert seen[2] > 250


def test_quality_changes_the_size_of_the_file() -> None:
    for format_name in ("jpeg", "webp"):
        low, high = (render(sample_image("coffee.jpg"), None, format_name, quality) for quality in (20, 95))
        assert len(low.data) < len(high.data) / 2


def test_rendition_of_a_file_that_is_cut_off_shows_its_existing_part() -> None:
    for name in ("coffee.jpg", "cat.png"):
        data = sample_image(name)
        assert opened(render(data[: len(data) * 2 // 3], 64)).width == 64


def test_a_file_without_pixels_is_refused() -> None:
    with pytest.raises(Fault) as refused:
        render(sample_image("coffee.jpg")[:100], 64)
    assert refused.value.kind is InvalidImage


@pytest.mark.parametrize("path", sorted((IMAGES / "unusual").iterdir()), ids=lambda path: path.name)
def test_unusual_file_gives_an_image_or_a_fault(path: Path) -> None:
    try:
        made = opened(render(path.read_bytes(), 64, "webp"))
    except Fault:
        return
    assert made.width <= 64


def test_content_credentials_are_found_where_each_format_has_them() -> None:
    png, jpeg, webp = sample_image("cat.png"), sample_image("coffee.jpg"), sample_image("rocket.webp")
    assert not any(map(has_provenance, (png, jpeg, webp), ("image/png", "image/jpeg", "image/webp")))
    jumbf = b"\0\0\0\x10jumb\0\0\0\x08jumd"
    segment = b"\xff\xeb" + struct.pack(">H", 2 + 8 + len(jumbf)) + b"JP\0\1\0\0\0\1" + jumbf
    assert has_provenance(png[:33] + png_chunk(b"caBX", jumbf) + png[33:], "image/png")
    assert has_provenance(jpeg[:2] + segment + jpeg[2:], "image/jpeg")
    chunk = b"C2PA" + struct.pack("<I", len(jumbf)) + jumbf
    assert has_provenance(b"RIFF" + struct.pack("<I", len(webp) - 8 + len(chunk)) + webp[8:] + chunk, "image/webp")
