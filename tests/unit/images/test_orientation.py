"""Orientation: that of the container or in EXIF is applied once, and other metadata does not affect it."""

import itertools
import struct
from functools import cache

import pytest
from PIL import Image

from image_core.images import exif
from image_core.images.isobmff import turning
from image_core.images.metadata import png_chunk
from tests.support import heif_files
from tests.support.image_files import LIMITS, opened, prepared, saved
from tests.support.paths import IMAGES

TRANSPOSED = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}
"""EXIF orientation → the `Image.Transpose` that makes pixels stored so from upright ones."""
UPRIGHT = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}
"""… and the one that makes them upright."""


@cache
def upright() -> Image.Image:
    """Red above left, blue below right, white elsewhere."""
    image = Image.new("RGB", (96, 64), "white")
    image.paste("red", (0, 0, 48, 32))
    image.paste("blue", (48, 32, 96, 64))
    return image


def stored(orientation: int) -> Image.Image:
    """Return the stored pixels of a photograph that is upright when `orientation` is applied."""
    turn = TRANSPOSED.get(orientation)
    return upright() if turn is None else upright().transpose(Image.Transpose(turn))


def assert_upright(data: bytes) -> None:
    assert_like(data, upright())


def assert_like(data: bytes, wanted: Image.Image) -> None:
    made = opened(prepared(data, *LIMITS)).convert("RGB")
    assert made.size == wanted.size
    for x, y in itertools.product((1 / 4, 3 / 4), repeat=2):
        position = (int(wanted.width * x), int(wanted.height * y))
        assert _name(made, position) == _name(wanted, position), position


def _name(image: Image.Image, position: tuple[int, int]) -> tuple[bool, ...]:
    pixel = image.getpixel(position)
    assert isinstance(pixel, tuple)
    return tuple(value > 128 for value in pixel)


def entry(order: str, tag: int, kind: int, count: int, value: bytes) -> bytes:
    return struct.pack(order + "HHI", tag, kind, count) + value.ljust(4, b"\0")


def exif_of(order: str, *entries: bytes) -> bytes:
    mark = b"II" if order == "<" else b"MM"
    return mark + struct.pack(order + "HIH", 42, 8, len(entries)) + b"".join(entries) + b"\0\0\0\0"


def short(order: str, value: int) -> bytes:
    return entry(order, 0x112, 3, 1, struct.pack(order + "H", value))


def odd_tags(order: str) -> tuple[bytes, bytes]:
    """Entries that stand before and behind the orientation and break readers of all tags."""
    before = [
        entry(order, 0x010F, 2, 0xFFFFFFFF, b"\xff\xff\xff\xff"),  # text of four gigabytes
        entry(order, 0x0110, 99, 1, b"?"),  # no type
    ]
    behind = [
        entry(order, 0x011A, 10, 1, struct.pack(order + "I", 0xFFFFFFF0)),  # a number outside of the file
        entry(order, 0x011B, 5, 1_000_000, struct.pack(order + "I", 8)),
        entry(order, 0x0128, 2, 4, b"inch"),
        entry(order, 0x8769, 4, 1, struct.pack(order + "I", 8)),  # a directory within itself
        entry(order, 0x8825, 13, 1, b"\xff\xff\xff\xff"),
    ]
    return b"".join(before), b"".join(behind)


def with_exif(kind: str, image: Image.Image, metadata: bytes) -> bytes:
    """Return a file with exactly these bytes of EXIF, written without a library."""
    if kind == "JPEG":
        data = saved(image, "JPEG", quality=95)
        body = b"Exif\0\0" + metadata
        return data[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + data[2:]
    if kind == "PNG":
        whole = saved(image, "PNG")
        return whole[:33] + png_chunk(b"eXIf", metadata) + whole[33:]
    whole = saved(image, "WEBP", lossless=True)
    chunk = b"EXIF" + struct.pack("<I", len(metadata)) + metadata + b"\0" * (len(metadata) % 2)
    head = b"VP8X" + struct.pack("<I", 10) + b"\x08\0\0\0" + struct.pack("<I", image.width - 1)[:3]
    head += struct.pack("<I", image.height - 1)[:3]
    body = b"WEBP" + head + whole[12:] + chunk
    return b"RIFF" + struct.pack("<I", len(body)) + body


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_other_tags_do_not_affect_the_orientation(kind: str, order: str, orientation: int) -> None:
    before, behind = odd_tags(order)
    parts = [before[:12], before[12:], short(order, orientation)]
    parts += [behind[at : at + 12] for at in range(0, len(behind), 12)]
    assert_upright(with_exif(kind, stored(orientation), exif_of(order, *parts)))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("kind", "count", "letter"),
    [(1, 1, "B"), (3, 1, "H"), (3, 2, "2H"), (4, 1, "I"), (6, 1, "b"), (8, 1, "h"), (9, 1, "i")],
)
def test_an_orientation_of_another_integer_type_is_read(order: str, kind: int, count: int, letter: str) -> None:
    value = struct.pack(order + letter, *[6] * count)
    assert exif.orientation(exif_of(order, entry(order, 0x112, kind, count, value))) == 6


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("kind", "letter", "count"), [(3, "H", 3), (3, "H", 100), (1, "B", 5), (4, "I", 2)])
def test_an_orientation_stored_behind_the_directory_is_read(order: str, kind: int, letter: str, count: int) -> None:
    behind = struct.pack(order + "I", 8 + 2 + 12 + 4)
    values = struct.pack(f"{order}{count}{letter}", *[8] * count)
    assert exif.orientation(exif_of(order, entry(order, 0x112, kind, count, behind)) + values) == 8
    many = exif_of(order, entry(order, 0x112, kind, 0x80000001, behind)) + values
    assert exif.orientation(many) == 8


@pytest.mark.parametrize("order", ["<", ">"])
def test_offsets_are_never_counted_from_the_end(order: str) -> None:
    data = exif_of(order, short(order, 6))
    from_end = struct.pack(order + "i", 8 - len(data))
    assert exif.orientation(data[:4] + from_end + data[8:]) == 1
    values = struct.pack(order + "3H", 6, 6, 6)
    assert exif.orientation(exif_of(order, entry(order, 0x112, 3, 3, struct.pack(order + "i", -6))) + values) == 1


def test_an_entry_behind_the_directory_is_not_read() -> None:
    data = exif_of("<", entry("<", 0x10E, 2, 4, b"abc"), short("<", 6))
    assert exif.orientation(data) == 6
    assert exif.orientation(data[:8] + b"\1\0" + data[10:]) == 1


UNREADABLE: list[tuple[str, bytes]] = [
    ("nothing", b""),
    ("no byte order", b"XX\0*\0\0\0\x08" + b"\0" * 20),
    ("text", exif_of("<", entry("<", 0x112, 2, 2, b"6\0"))),
    ("a fraction", exif_of("<", entry("<", 0x112, 5, 1, b"\x08\0\0\0"))),
    ("of no type", exif_of("<", entry("<", 0x112, 77, 1, b"\x06\0"))),
    ("no value", exif_of("<", entry("<", 0x112, 3, 0, b"\x06\0"))),
    ("0", exif_of("<", short("<", 0))),
    ("9", exif_of("<", short("<", 9))),
    ("-6", exif_of("<", entry("<", 0x112, 8, 1, struct.pack("<h", -6)))),
    ("outside of the file", exif_of("<", entry("<", 0x112, 3, 9, b"\xff\xff\xff\xff"))),
    ("a directory outside of the file", b"II*\0\xff\xff\xff\xff"),
    ("cut off", exif_of(">", short(">", 6))[:15]),
]


@pytest.mark.parametrize("metadata", [row[1] for row in UNREADABLE], ids=[row[0] for row in UNREADABLE])
def test_an_invalid_orientation_is_ignored(metadata: bytes) -> None:
    assert exif.orientation(metadata) == 1
    assert_upright(with_exif("JPEG", upright(), metadata))


def test_a_directory_that_claims_more_entries_than_it_has_is_read_to_its_end() -> None:
    metadata = exif_of("<", short("<", 6))
    assert exif.orientation(metadata[:8] + b"\xff\xff" + metadata[10:]) == 6


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", [3, 4])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_tiff_is_turned(order: str, kind: int, orientation: int) -> None:
    image = stored(orientation)
    pixels = image.tobytes()
    head = b"II" if order == "<" else b"MM"
    entries = [
        (256, 3, 1, image.width),
        (257, 3, 1, image.height),
        (258, 3, 1, 8),
        (259, 3, 1, 1),
        (262, 3, 1, 2),
        (273, 4, 1, 8),
        (274, kind, 1, orientation),
        (277, 3, 1, 3),
        (278, 3, 1, image.height),
        (279, 4, 1, len(pixels)),
        (282, 10, 1, 0xFFFFFF00),
        (296, 2, 4, 0x68636E69),
    ]
    packed = b"".join(
        entry(order, tag, of, count, struct.pack(order + ("H" if of == 3 else "I"), value))
        for tag, of, count, value in entries
    )
    start = 8 + len(pixels)
    data = head + struct.pack(order + "HI", 42, start) + pixels + struct.pack(order + "H", len(entries)) + packed
    assert_upright(data + b"\0\0\0\0")


# --- HEIC and AVIF

ANGLES, AXES = (None, 0, 1, 2, 3), (None, 0, 1)
COMBINATIONS = [*itertools.product(ANGLES, AXES)]


def _as_the_container_says(image: Image.Image, angle: int | None, axis: int | None) -> Image.Image:
    """ISO/IEC 23008-12, 6.5.10 and 6.5.12: turned anticlockwise, then mirrored."""
    turns = {1: Image.Transpose.ROTATE_90, 2: Image.Transpose.ROTATE_180, 3: Image.Transpose.ROTATE_270}
    image = image.transpose(turns[angle]) if angle else image
    flips = {0: Image.Transpose.FLIP_TOP_BOTTOM, 1: Image.Transpose.FLIP_LEFT_RIGHT}
    return image if axis is None else image.transpose(flips[axis])


@cache
def heif(kind: str) -> bytes:
    """Return a file of `upright()` with EXIF orientation 1."""
    if kind == "HEIC":
        return (IMAGES / "heif" / "exif.heic").read_bytes()
    data = saved(upright(), "AVIF", quality=90, exif=exif_of(">", entry(">", 0x10E, 2, 4, b"abc\0")))
    # Pillow makes an orientation a property of the container: the description is replaced by it.
    return data.replace(b"\x01\x0e\0\x02\0\0\0\x04abc\0", b"\x01\x12\0\x03\0\0\0\x01\0\x01\0\0")


@pytest.mark.parametrize("kind", ["HEIC", "AVIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_in_exif_is_applied_where_the_container_has_none(kind: str, orientation: int) -> None:
    turn = UPRIGHT.get(orientation)
    wanted = upright() if turn is None else upright().transpose(Image.Transpose(turn))
    assert_like(heif_files.with_orientation(heif(kind), orientation), wanted)


@pytest.mark.parametrize("kind", ["HEIC", "AVIF"])
@pytest.mark.parametrize(("angle", "axis"), COMBINATIONS[1:])
def test_the_orientation_of_the_container_is_applied_once_instead_of_that_in_exif(
    kind: str, angle: int | None, axis: int | None
) -> None:
    wanted = _as_the_container_says(upright(), angle, axis)
    data = heif_files.turned(heif(kind), angle=angle, axis=axis)
    assert turning(data).turned
    for variant in (
        heif_files.without_exif(data),
        heif_files.with_orientation(data, 1),
        heif_files.with_orientation(data, 6),
    ):
        assert_like(variant, wanted)


def test_a_container_without_an_orientation_is_upright() -> None:
    for kind in ("HEIC", "AVIF"):
        assert_upright(heif_files.without_exif(heif(kind)))
        assert turning(heif(kind)).turned is False


def test_the_primary_image_is_sent_and_not_the_first() -> None:
    made = opened(prepared((IMAGES / "real" / "primary-is-second.heic").read_bytes(), *LIMITS))
    assert made.size == (240, 180)
    middle = made.convert("RGB").resize((1, 1)).getpixel((0, 0))
    assert isinstance(middle, tuple)
    assert middle[0] < 200, "plain red is the first"
