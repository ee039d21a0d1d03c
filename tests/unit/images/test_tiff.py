"""TIFF: an image of any depth, byte order and layout keeps its colours, or is refused with the reason."""

import itertools
import math
from collections.abc import Callable

import pytest
from PIL import Image

from image_core.images.fault import Fault
from tests.support.image_files import LIMITS, opened, prepared
from tests.support.tiff_files import ADOBE_DEFLATE, FLOAT, NO_COMPRESSION, SIGNED, UNSIGNED, Rows, Tiff

WIDTH, HEIGHT = 40, 24
COLOURS = [
    [(round(255 * x / (WIDTH - 1)), round(255 * y / (HEIGHT - 1)), 200 if x < y else 30) for x in range(WIDTH)]
    for y in range(HEIGHT)
]
GREYS = [[(round(255 * (x + y) / (WIDTH + HEIGHT - 2)),) for x in range(WIDTH)] for y in range(HEIGHT)]

SCALES: dict[str, tuple[int, int, Callable[[float], float]]] = {
    "8 bits": (8, UNSIGNED, lambda value: value),
    "16 bits": (16, UNSIGNED, lambda value: value * 257),
    "32 bits": (32, UNSIGNED, lambda value: value * 0x01010101),
    "16 bits in 32": (32, UNSIGNED, lambda value: value * 257),
    "signed 16 bits": (16, SIGNED, lambda value: value * 128),
    "signed 32 bits": (32, SIGNED, lambda value: value * 0x00808080),
    "floats to 1": (32, FLOAT, lambda value: value / 255),
    "floats to 255": (32, FLOAT, lambda value: value),
    "floats to 65535": (32, FLOAT, lambda value: value * 257),
}


def scaled(rows: Rows, scale: Callable[[float], float]) -> Rows:
    return [[tuple(scale(value) for value in pixel) for pixel in row] for row in rows]


def integers(rows: Rows, kind: int) -> Rows:
    return rows if kind == FLOAT else [[tuple(round(value) for value in pixel) for pixel in row] for row in rows]


def assert_looks_like(data: bytes, rows: Rows, *, within: int = 1) -> Image.Image:
    made = opened(prepared(data, *LIMITS))
    assert made.size == (len(rows[0]), len(rows))
    image = made.convert("L" if len(rows[0][0]) == 1 else "RGB")
    for y, x in itertools.product(range(0, len(rows), 5), range(0, len(rows[0]), 7)):
        pixel = image.getpixel((x, y))
        channels = pixel if isinstance(pixel, tuple) else (pixel,)
        for seen, wanted in zip(channels, rows[y][x][:3], strict=True):
            assert isinstance(seen, int)
            assert abs(seen - wanted) <= within, (x, y, channels, rows[y][x])
    return made


LAYOUTS = [
    {"order": order, "big": big, **layout}
    for order in "<>"
    for big in (False, True)
    for layout in (
        {},
        {"rows_per_strip": 5},
        {"tile": 16, "compression": ADOBE_DEFLATE},
        {"planar": True, "rows_per_strip": 7, "compression": ADOBE_DEFLATE},
        {"planar": True, "tile": 16},
    )
]


def written(rows: Rows, order: str, *, big: bool, **image: object) -> bytes:
    file = Tiff(order, big)
    file.image(rows, **image)  # type: ignore[arg-type] # a table's row
    return bytes(file.body)


@pytest.mark.parametrize("name", SCALES)
@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
def test_colours_and_grays_are_kept_in_every_layout(name: str, layout: dict[str, object]) -> None:
    bits, kind, scale = SCALES[name]
    colours = integers(scaled(COLOURS, scale), kind)
    assert_looks_like(written(colours, bits=bits, kind=kind, photometric=2, **layout), COLOURS)  # type: ignore[arg-type]
    greys = integers(scaled(GREYS, scale), kind)
    assert_looks_like(written(greys, bits=bits, kind=kind, photometric=1, **layout), GREYS)  # type: ignore[arg-type]
    negative = integers(scaled([[(255 - grey,) for (grey,) in row] for row in GREYS], scale), kind)
    assert_looks_like(written(negative, bits=bits, kind=kind, photometric=0, **layout), GREYS)  # type: ignore[arg-type]


@pytest.mark.parametrize("planar", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("name", ["8 bits", "16 bits", "floats to 1"])
def test_transparency_stays_and_a_spare_channel_is_ignored(name: str, order: str, planar: bool) -> None:
    bits, kind, scale = SCALES[name]
    rows = [[(*pixel, 255 if x < 20 else 0) for x, pixel in enumerate(row)] for row in COLOURS]
    packed = integers(scaled(rows, scale), kind)
    clear = written(packed, order, big=False, bits=bits, kind=kind, planar=planar, extra=[2])
    image = opened(prepared(clear, *LIMITS))
    assert image.mode == "RGBA"
    assert [image.getpixel((x, 3))[3] for x in (3, 30)] == [255, 0]  # type: ignore[index]
    spare = written(packed, order, big=False, bits=bits, kind=kind, planar=planar, extra=[0])
    assert assert_looks_like(spare, COLOURS).mode == "RGB"


REFUSED: list[tuple[str, dict[str, object], Rows, str]] = [
    ("floats of 64 bits", {"bits": 64, "kind": FLOAT, "photometric": 1}, GREYS, "floating-point numbers of 64 bits"),
    ("floats of 16 bits", {"bits": 16, "kind": FLOAT, "photometric": 1}, GREYS, "floating-point numbers of 16 bits"),
    ("64 bits", {"bits": 64, "photometric": 1}, GREYS, "integers of 64 bits"),
    ("signed 8 bits", {"bits": 8, "kind": SIGNED, "photometric": 1}, [[(-3,), (5,)]], "signed integers of 8 bits"),
    ("below zero", {"bits": 16, "kind": SIGNED, "photometric": 1}, [[(-3,), (5,)]], "below zero"),
    (
        "heights in metres",
        {"bits": 32, "kind": FLOAT, "photometric": 1},
        [[(-9999.0,), (8848.5,)]],
        "from -9999 to 8848.5",
    ),
    ("no numbers", {"bits": 32, "kind": FLOAT, "photometric": 1}, [[(math.nan,), (0.5,)]], "not finite"),
    ("endless", {"bits": 32, "kind": FLOAT, "photometric": 1}, [[(math.inf,), (0.5,)]], "not finite"),
    ("nearly nothing", {"bits": 32, "kind": FLOAT, "photometric": 1}, [[(0.0,), (0.001,)]], "from 0 to 0.001"),
    ("labels", {"bits": 32, "photometric": 1}, [[(0,), (70_000,)]], "at most 70,000"),
    ("CIELab", {"photometric": 8}, COLOURS, "CIELab"),
    ("a colour filter array", {"photometric": 32803}, GREYS, "camera raw"),
    ("JPEG 2000 inside", {"compression": 34712}, COLOURS, "JPEG 2000"),
    ("old-style JPEG inside", {"compression": 6}, COLOURS, "old-style JPEG"),
    ("a compression that nobody knows", {"compression": 4711}, COLOURS, "4711"),
    ("seventeen channels", {"photometric": 1}, [[(1,) * 17]], "17 channels"),
    ("two channels of RGB", {"photometric": 2}, [[(1, 2)]], "2 channels"),
    ("different depths", {"more": {258: (3, [5, 6, 5])}}, COLOURS, "different depths"),
    (
        "32 bits with a predictor",
        {"bits": 32, "compression": 8, "more": {317: (3, [2])}},
        COLOURS,
        "bits, compressed to",
    ),
    (
        "JPEG with spare channels",
        {"compression": 7, "extra": [0, 0]},
        [[(1, 2, 3, 4, 5)]],
        "bits, compressed together,",
    ),
    ("other inks", {"photometric": 5, "more": {332: (3, [2])}}, [[(1, 2, 3, 4)]], "inks"),
]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("image", "rows", "words"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_an_unsupported_variant_is_refused_with_the_reason(
    order: str, image: dict[str, object], rows: Rows, words: str
) -> None:
    with pytest.raises(Fault) as caught:
        prepared(written(rows, order, big=False, **image), *LIMITS)
    assert caught.value.kind.code == "unsupported_media_type"
    assert words in caught.value.details


def test_the_maximum_value_in_the_file_is_white() -> None:
    twelve = [[(round(grey / 255 * 4095),) for (grey,) in row] for row in GREYS]
    data = written(twelve, "<", big=False, bits=16, photometric=1, more={281: (3, [4095])})
    assert_looks_like(data, GREYS)


def test_a_palette_of_eight_bits_is_not_black() -> None:
    palette = [*range(256), *reversed(range(256)), *[7] * 256]
    for scale in (1, 257):
        data = written(GREYS, ">", big=False, photometric=3, more={320: (3, [value * scale for value in palette])})
        assert_looks_like(data, [[(grey, 255 - grey, 7) for (grey,) in row] for row in GREYS])


def test_a_palette_is_of_16_bits_where_a_value_needs_them() -> None:
    data = written([[(0,), (1,)]], "<", big=False, photometric=3, more={320: (3, [256] * 768)})
    assert opened(prepared(data, *LIMITS)).getpixel((0, 0)) == (1, 1, 1)


def test_a_palette_that_is_missing_or_too_short_is_refused() -> None:
    for more in ({}, {320: (3, [7] * 767)}):
        with pytest.raises(Fault) as caught:
            prepared(written(GREYS, "<", big=False, photometric=3, more=more), *LIMITS)
        assert (caught.value.kind.code, caught.value.details) == ("invalid_image", "the file has no palette")


@pytest.mark.parametrize("name", ["8 bits", "16 bits", "32 bits", "16 bits in 32", "floats to 255", "floats to 65535"])
@pytest.mark.parametrize("planar", [False, True])
def test_every_gray_is_kept_exactly(name: str, planar: bool) -> None:
    bits, kind, scale = SCALES[name]
    rows = integers(scaled([[(value, 255 - value, value) for value in range(256)]], scale), kind)
    image = opened(prepared(written(rows, "<", big=False, bits=bits, kind=kind, planar=planar), *LIMITS))
    assert [image.getpixel((x, 0)) for x in range(256)] == [(x, 255 - x, x) for x in range(256)]


FLOATS: list[tuple[list[float], list[int] | None]] = [
    ([0.0, 0.0], [0, 0]),
    ([1.0, 0.5], [255, 128]),
    ([1.5, 0.5], [255, 128]),
    ([16.0, 0.5], [255, 128]),
    ([16.5, 10.0], [17, 10]),
    ([255.0, 128.0], [255, 128]),
    ([255.5, 128.0], None),
    ([4095.9375, 0.0], [16, 0]),
    ([4095.0, 0.0], None),
    ([65535.0, 32767.5], [255, 128]),
    ([65535.5, 0.0], None),
    ([1.0, -0.0625], [255, 0]),
    ([1.0, -0.063], None),
    ([0.0625, 0.0], [16, 0]),
    ([0.062, 0.0], None),
]


@pytest.mark.parametrize(("values", "grays"), FLOATS, ids=str)
def test_white_of_floats_is_1_255_or_65535_by_their_range(values: list[float], grays: list[int] | None) -> None:
    data = written([[(value,) for value in values]], ">", big=False, bits=32, kind=FLOAT, photometric=1)
    if grays is None:
        with pytest.raises(Fault) as caught:
            prepared(data, *LIMITS)
        assert f" from {min(values):g} to {max(values):g}" in caught.value.details
    else:
        assert [*opened(prepared(data, *LIMITS)).convert("L").tobytes()] == grays


WHOLE: list[tuple[int, int, list[int], int | None, list[int] | None]] = [
    (32, UNSIGNED, [255, 0], None, [255, 0]),
    (32, UNSIGNED, [256, 0], None, [1, 0]),
    (32, UNSIGNED, [65_535, 32_768], None, [255, 128]),
    (32, UNSIGNED, [65_536, 0], None, None),
    (32, UNSIGNED, [268_435_440, 0], None, None),
    (32, UNSIGNED, [268_435_456, 0], None, [16, 0]),
    (32, UNSIGNED, [4_294_967_295, 2_147_483_648], None, [255, 128]),
    (32, SIGNED, [2_147_483_647, 1_073_741_824], None, [255, 128]),
    (16, SIGNED, [32_767, 16_384], None, [255, 128]),
    (16, UNSIGNED, [65_535, 32_768], None, [255, 128]),
    (16, UNSIGNED, [100, 50], 100, [255, 128]),
    (16, UNSIGNED, [257, 0], 100, [1, 0]),
    (16, UNSIGNED, [1, 0], 1, [255, 0]),
    (16, UNSIGNED, [0, 0], 0, [0, 0]),
    (8, UNSIGNED, [100, 50], 100, [100, 50]),
]


@pytest.mark.parametrize(("bits", "kind", "values", "maximum", "grays"), WHOLE, ids=str)
def test_white_of_integers_is_their_maximum_or_that_of_a_usual_depth(
    bits: int, kind: int, values: list[int], maximum: int | None, grays: list[int] | None
) -> None:
    more = {} if maximum is None else {281: (3, [maximum])}
    data = written([[(value,) for value in values]], "<", big=False, bits=bits, kind=kind, photometric=1, more=more)
    if grays is None:
        with pytest.raises(Fault) as caught:
            prepared(data, *LIMITS)
        assert f" of at most {max(values):,}" in caught.value.details
    else:
        assert [*opened(prepared(data, *LIMITS)).convert("L").tobytes()] == grays


@pytest.mark.parametrize("size", [(4096, 3), (4097, 3), (8192, 4), (3, 9000), (9000, 1)], ids=str)
@pytest.mark.parametrize("planar", [False, True])
def test_a_long_image_in_planes_is_scaled_down(size: tuple[int, int], planar: bool) -> None:
    width, height = size
    longest = max(size)
    rows = [
        [(257 * ((x if width > height else y) * 255 // longest), 65535, 0) for x in range(width)] for y in range(height)
    ]
    image = opened(prepared(written(rows, "<", big=False, bits=16, planar=planar), *LIMITS))
    scale = min(1.0, 4096 / longest)
    assert image.size == (max(1, round(width * scale)), max(1, round(height * scale)))
    for part in (0.0, 0.3, 0.999):
        at = int(part * image.width), int(part * image.height)
        red, green, blue = image.getpixel(at)  # type: ignore[misc] # of three channels
        assert (green, blue) == (255, 0)
        assert abs(red - 255 * part) <= 2


def test_cmyk_in_planes_and_16_bits() -> None:
    ink = [[(255 - red, 255 - green, 255 - blue, 0) for red, green, blue in row] for row in COLOURS]
    for bits, planar in itertools.product((8, 16), (False, True)):
        rows = scaled(ink, lambda value: value * 257) if bits == 16 else ink
        assert_looks_like(written(rows, ">", big=False, bits=bits, photometric=5, planar=planar), COLOURS)


SMALL = [[(255, 0, 0)] * 10 for _ in range(6)]
LARGE = [[(0, 0, 255)] * 40 for _ in range(24)]


def with_sub_ifd(order: str, *, big: bool, page: dict[str, object], sub: dict[str, object]) -> bytes:
    file = Tiff(order, big)
    place = file.image(LARGE, linked=False, **sub)  # type: ignore[arg-type]
    more = {330: (4, [place]), **page.pop("more", {})}  # type: ignore[dict-item]
    file.image(SMALL, more=more, **page)  # type: ignore[arg-type]
    return bytes(file.body)


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("flag", [{254: (4, [1])}, {255: (3, [2])}, {254: (4, [5])}, {}])
def test_the_thumbnail_is_never_sent_instead_of_the_image(
    order: str, big: bool, flag: dict[int, tuple[int, list[int]]]
) -> None:
    assert_looks_like(with_sub_ifd(order, big=big, page={"more": dict(flag)}, sub={}), LARGE)
    pages = Tiff(order, big)
    pages.image(SMALL, more=dict(flag))
    pages.image(LARGE)
    assert_looks_like(bytes(pages.body), LARGE)


def test_a_reduced_image_of_another_shape_is_not_sent_either() -> None:
    preview = [row[:17] for row in LARGE[:23]]
    file = Tiff()
    file.image([[(255, 0, 0)] * len(row) for row in preview], more={254: (4, [1])})
    file.image(LARGE)
    assert_looks_like(bytes(file.body), LARGE)


def test_the_first_of_several_pages_is_sent() -> None:
    file = Tiff()
    file.image(LARGE)
    file.image(COLOURS)
    file.image(SMALL, more={254: (4, [1])})
    assert_looks_like(bytes(file.body), LARGE)


def test_the_preview_of_a_raw_image_is_not_sent() -> None:
    raw = {"photometric": 32803, "bits": 16}
    file = Tiff()
    place = file.image(GREYS, linked=False, **raw)  # type: ignore[arg-type]
    file.image(LARGE, more={330: (4, [place]), 254: (4, [1])})
    with pytest.raises(Fault) as caught:
        prepared(bytes(file.body), *LIMITS)
    assert "camera raw" in caught.value.details


def test_the_thumbnail_of_an_unreadable_image_is_not_sent() -> None:
    file = Tiff()
    file.image(SMALL, more={330: (4, [0x7FFFFFFF]), 254: (4, [1])})
    with pytest.raises(Fault) as caught:
        prepared(bytes(file.body), *LIMITS)
    assert (caught.value.kind.code, "reduced" in caught.value.details) == ("unsupported_media_type", True)


def test_directories_in_a_circle_end() -> None:
    file = Tiff()
    file.image(LARGE)
    at = file._link
    file.body[at : at + 4] = file.body[4:8]
    assert_looks_like(bytes(file.body), LARGE)


@pytest.mark.parametrize("compression", [NO_COMPRESSION, ADOBE_DEFLATE])
@pytest.mark.parametrize("bits", [8, 16, 32])
@pytest.mark.parametrize(
    "tags", [{273: 100_000}, {273: 1000, 279: 10**9}, {279: 12}, {279: 0}, {256: 4000}, {257: 4000}]
)
def test_a_tiff_with_missing_pixels_is_refused(compression: int, bits: int, tags: dict[int, int]) -> None:
    more = {tag: (4, [value] * (1 if tag < 260 else 5)) for tag, value in tags.items()}
    data = written(COLOURS, "<", big=False, bits=bits, compression=compression, rows_per_strip=5, more=more)
    with pytest.raises(Fault) as caught:
        prepared(data, *LIMITS)
    assert caught.value.kind.code == "invalid_image"


def test_strips_without_lengths_end_where_the_next_one_starts() -> None:
    file = Tiff()
    file.image(COLOURS, rows_per_strip=5)
    body = bytes(file.body)
    entry = body.index((279).to_bytes(2, "little") + (4).to_bytes(2, "little"))
    assert_looks_like(body[:entry] + (65000).to_bytes(2, "little") + body[entry + 2 :], COLOURS)
