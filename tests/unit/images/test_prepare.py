"""Preparing a file: it is left unchanged, cleaned, converted or refused, in little memory."""

import io
import subprocess
import sys

import pytest
from PIL import Image, ImageCms

from image_core.images.fault import Fault
from image_core.images.passthrough import MAX_SIDE
from tests.support.harness import sample_image
from tests.support.image_files import LIMITS, opened, prepared, saved, unusual_image
from tests.support.paths import IMAGES, ROOT
from tests.support.unusual_files import UNUSUAL

PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def test_every_unusual_file_has_an_expected_result() -> None:
    assert set(UNUSUAL) == {path.name for path in (IMAGES / "unusual").iterdir()}


@pytest.mark.parametrize(("name", "end"), UNUSUAL.items(), ids=UNUSUAL)
def test_unusual_file_gives_an_image_or_its_error_code(name: str, end: str) -> None:
    if end == "image":
        opened(prepared(unusual_image(name), *LIMITS))
    else:
        with pytest.raises(Fault) as caught:
            prepared(unusual_image(name), *LIMITS)
        assert caught.value.kind.code == end


@pytest.mark.parametrize("name", ["coffee.jpg", "cat.png", "rocket.webp"])
def test_a_file_without_metadata_stays_byte_for_byte(name: str) -> None:
    assert prepared(sample_image(name), *LIMITS).data == sample_image(name)


def with_metadata(kind: str) -> bytes:
    exif = Image.Exif()
    exif[0x010F] = "SECRET-CAMERA"
    exif.get_ifd(0x8825)[2] = (48.0, 8.0, 14.0)
    options: dict[str, object] = {"exif": exif, "icc_profile": PROFILE, "xmp": b"<x:xmpmeta>SECRET-XMP</x:xmpmeta>"}
    if kind == "JPEG":
        options["comment"] = b"SECRET-COMMENT"
    data = saved(Image.open(io.BytesIO(sample_image("cat.png"))).convert("RGB"), kind, **options)
    if kind == "JPEG":  # an IPTC segment, as picture agencies write it
        iptc = b"Photoshop 3.0\x008BIM\x04\x04\0\0\0\0\0\x0eSECRET-IPTC"
        data = data[:2] + b"\xff\xed" + (len(iptc) + 2).to_bytes(2, "big") + iptc + data[2:]
    return data + b"SECRET-TRAILER"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_personal_metadata_is_removed_and_pixels_and_colour_profile_stay(kind: str) -> None:
    data = with_metadata(kind)
    assert b"SECRET" in data
    made = prepared(data, *LIMITS)
    assert b"SECRET" not in made.data
    before, after = Image.open(io.BytesIO(data)), opened(made)
    assert after.tobytes() == before.tobytes()
    assert after.info["icc_profile"] == PROFILE
    assert not after.getexif()
    assert made.mime_type == Image.MIME[kind]


def test_second_image_of_a_phones_file_is_dropped() -> None:
    first, second = Image.new("RGB", (60, 40), "red"), Image.new("RGB", (60, 40), "blue")
    exif = Image.Exif()
    exif[0x010F] = "SECRET-CAMERA"
    data = saved(first, "MPO", save_all=True, append_images=[second], exif=exif)
    made = prepared(data, *LIMITS)
    assert b"SECRET" not in made.data
    assert b"MPF" not in made.data
    assert made.data.count(b"\xff\xd8\xff") == 1
    assert opened(made).format == "JPEG"


def test_a_rotated_photograph_is_turned_upright() -> None:
    data = unusual_image("rotated-by-exif.jpg")
    made = prepared(data, *LIMITS)
    stored = Image.open(io.BytesIO(data))
    assert (made.width, made.height) == (stored.height, stored.width)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_turned_upright(orientation: int) -> None:
    image = Image.new("RGB", (60, 40), "white")
    image.paste("red", (0, 0, 30, 20))
    turned = {1: None, 2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    source = image if turned is None else image.transpose(Image.Transpose(turned))
    made = opened(prepared(saved(source, "JPEG", exif=exif, quality=95), *LIMITS)).convert("RGB")
    assert made.size == (60, 40)
    red, white = made.getpixel((10, 8)), made.getpixel((50, 32))
    assert isinstance(red, tuple)
    assert isinstance(white, tuple)
    assert red[0] > 200
    assert red[1] < 60
    assert min(white) > 200


def test_sixteen_bits_are_scaled_and_not_cut_off() -> None:
    image = Image.new("I;16", (16, 16), 32768)
    made = opened(prepared(saved(image, "PNG"), *LIMITS))
    assert made.mode == "L"
    assert made.getpixel((0, 0)) == 128


def test_cmyk_becomes_rgb() -> None:
    assert opened(prepared(unusual_image("cmyk.jpg"), *LIMITS)).mode == "RGB"


def test_transparency_stays() -> None:
    image = Image.new("RGBA", (20, 20), (255, 0, 0, 128))
    for kind in ("TIFF", "AVIF"):
        made = opened(prepared(saved(image, kind), *LIMITS))
        assert made.mode == "RGBA", kind
    clear = Image.new("RGBA", (20, 20), (255, 0, 0, 0))
    clear.paste((0, 0, 255, 255), (0, 0, 10, 10))
    assert opened(prepared(saved(clear, "GIF"), *LIMITS)).mode == "RGBA"


def test_the_first_frame_of_an_animation_counts() -> None:
    frames = [Image.new("RGB", (20, 20), color) for color in ("red", "blue")]
    for kind in ("GIF", "WEBP", "PNG"):
        made = opened(prepared(saved(frames[0], kind, save_all=True, append_images=frames[1:]), *LIMITS)).convert("RGB")
        color = made.getpixel((5, 5))
        assert isinstance(color, tuple)
        assert color[0] > 200, kind


def test_more_than_4096_pixels_a_side_are_scaled_down() -> None:
    made = prepared(saved(Image.new("RGB", (5000, 100), "red"), "PNG"), *LIMITS)
    assert (made.width, made.height) == (MAX_SIDE, round(100 * MAX_SIDE / 5000))
    opened(made)


THIN = [(9000, 1), (1, 9000), (20_000, 3), (4097, 1)]


@pytest.mark.parametrize(
    ("size", "kind"),
    [*((size, kind) for size in THIN for kind in ("JPEG", "PNG", "TIFF", "GIF", "BMP")), ((16_000, 7000), "JPEG")],
)
def test_an_image_of_any_shape_is_scaled_down(size: tuple[int, int], kind: str) -> None:
    made = prepared(saved(Image.new("L", size, 200), kind), 120_000_000, 65_000_000)
    assert max(made.width, made.height) <= MAX_SIDE
    assert opened(made).convert("L").getextrema() == (200, 200)


@pytest.mark.parametrize(
    ("size", "kind", "limits"), [((200, 100), "PNG", (10_000, 10_000)), ((200, 100), "GIF", (100_000, 10_000))]
)
def test_too_many_pixels_are_refused_with_the_limit(size: tuple[int, int], kind: str, limits: tuple[int, int]) -> None:
    with pytest.raises(Fault) as caught:
        prepared(saved(Image.new("RGB", size), kind), *limits)
    assert caught.value.kind.code == "image_too_large"
    assert "10,000" in caught.value.details


def test_too_large_a_size_in_a_header_is_refused_without_decoding() -> None:
    webp = b"RIFF\x20\0\0\0WEBPVP8X\x0a\0\0\0\x02\0\0\0" + (16382).to_bytes(3, "little") * 2 + b"\0" * 8
    with pytest.raises(Fault) as caught:
        prepared(webp, *LIMITS)
    assert caught.value.kind.code == "image_too_large"


MEASURE = """
import resource, sys
from pathlib import Path
from image_core.images.passthrough import as_it_is
from image_core.images.fault import Fault
data = Path(sys.argv[1]).read_bytes()
as_it_is(Path(sys.argv[2]).read_bytes(), 10**8)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    as_it_is(data, 10**8)
except Fault as fault:
    print(fault.kind.code, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_bomb_is_refused_and_the_process_does_not_grow() -> None:
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(IMAGES / "unusual" / "bomb.png"), str(IMAGES / "cat.png")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    code, kilobytes = done.stdout.split()
    assert code == "image_too_large"
    assert int(kilobytes) < 10_000
