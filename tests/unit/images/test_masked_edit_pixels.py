"""The geometry of masked edits: the crop that is sent, the position of the answer, the edge of the mask, the format."""

import io
from typing import Any

import PIL.Image
import pytest
from PIL import ImageChops

from image_core.images import masked_edit_pixels
from image_core.images.convert import Limits, encoded
from image_core.images.fault import Fault, MaskFault, NeedsMemory
from image_core.images.image import Image, OutputFormat, Target
from image_core.images.masked_edit import PreparedEdit
from image_core.images.masked_edit_pixels import compose, prepare
from image_core.images.region import Box
from image_core.images.sandbox_memory import most_memory_bytes
from tests.support.image_files import count_differences, photo, saved

LIMITS = Limits(100_000_000, 40_000_000, None, in_full=True)
PNG = Target(None, "png")
Size = tuple[int, int]


def opened(data: bytes) -> PIL.Image.Image:
    return PIL.Image.open(io.BytesIO(data))


def masked(size: Size, box: tuple[int, int, int, int]) -> bytes:
    """Return a mask that is white in `box`."""
    mask = PIL.Image.new("L", size)
    mask.paste(255, box)
    return saved(mask, "PNG")


def prepared(image: PIL.Image.Image, box: tuple[int, int, int, int], shape: Size, max_side: int = 4096) -> PreparedEdit:
    edit = prepare(saved(image, "PNG"), masked(image.size, box), {"any": shape}, max_side, LIMITS)
    assert edit is not None
    return edit


def composed(image: PIL.Image.Image, edit: PreparedEdit, answer: PIL.Image.Image) -> PIL.Image.Image:
    made = compose(saved(image, "PNG"), edit.mask.data, saved(answer, "PNG"), edit.crop.box, PNG, LIMITS)
    assert made.aligned
    return opened(made.image.data)


def assert_same(made: PIL.Image.Image, wanted: PIL.Image.Image) -> None:
    assert count_differences(made, wanted, PIL.Image.new("L", made.size, 255)) == 0


IMAGES: list[tuple[str, str, Size, tuple[int, int, int, int], Size]] = [
    ("a region inside", "RGB", (150, 100), (50, 30, 90, 60), (48, 48)),
    ("a region at the corner", "RGBA", (150, 100), (0, 0, 25, 20), (48, 48)),
    ("a region at the other corner", "RGBA", (150, 100), (125, 80, 150, 100), (48, 48)),
    ("a region of several bands", "RGB", (60, 600), (10, 10, 50, 590), (20, 200)),
    ("beyond the image above and below", "RGB", (150, 20), (1, 1, 149, 19), (90, 60)),
    ("beyond the image on both sides", "RGBA", (20, 150), (1, 1, 19, 149), (60, 90)),
    ("beyond the image by an odd number", "RGB", (151, 21), (1, 1, 150, 20), (64, 64)),
]
CASES, NAMES = [row[1:] for row in IMAGES], [row[0] for row in IMAGES]


@pytest.mark.parametrize(("mode", "size", "region", "shape"), CASES, ids=NAMES)
def test_the_crop_is_sent_with_the_edges_of_the_image_repeated(
    mode: str, size: Size, region: tuple[int, int, int, int], shape: Size
) -> None:
    image = photo(mode, size)
    image.putpixel((0, 0), (255, 0, 255, 100)[: len(mode)])
    image.putpixel((size[0] - 1, size[1] - 1), (0, 255, 0, 100)[: len(mode)])
    edit = prepared(image, region, shape)
    sent, box = opened(edit.sent.data), edit.crop.box
    assert sent.size == box.size
    assert edit.size == size
    for y in {*range(0, box.height, 7), box.height - 1}:
        for x in {*range(0, box.width, 7), box.width - 1}:
            inside = min(max(x + box.left, 0), size[0] - 1), min(max(y + box.top, 0), size[1] - 1)
            assert sent.convert(mode).getpixel((x, y)) == image.getpixel(inside), (x, y)


@pytest.mark.parametrize(("mode", "size", "region", "shape"), CASES, ids=NAMES)
def test_an_answer_that_changes_nothing_gives_the_image_back(
    mode: str, size: Size, region: tuple[int, int, int, int], shape: Size
) -> None:
    image = photo(mode, size)
    edit = prepared(image, region, shape)
    assert_same(composed(image, edit, opened(edit.sent.data).convert(mode)), image)


@pytest.mark.parametrize(("mode", "size", "region", "shape"), CASES[:4], ids=NAMES[:4])
def test_an_answer_in_another_resolution_is_scaled_to_the_crop(
    mode: str, size: Size, region: tuple[int, int, int, int], shape: Size
) -> None:
    image = photo(mode, size)
    edit = prepared(image, region, shape)
    sent = opened(edit.sent.data).convert(mode)
    answer = sent.resize((3 * sent.width, 3 * sent.height), PIL.Image.Resampling.BICUBIC)
    difference = ImageChops.difference(composed(image, edit, answer), image)
    assert max(high for _, high in difference.getextrema()) <= 16  # type: ignore[misc] # a pair for each channel


def test_what_is_sent_is_scaled_to_the_maximum_side_with_the_image_at_its_position() -> None:
    image = PIL.Image.new("RGB", (400, 100), "blue")
    image.paste("red", (0, 0, 400, 50))
    edit = prepared(image, (0, 1, 400, 99), (400, 300), max_side=200)
    sent = opened(edit.sent.data)
    assert edit.crop.box == Box(0, -100, 400, 200)
    assert sent.size == (200, 150)
    column = [sent.getpixel((100, y)) for y in range(150)]
    assert set(column[:72]) == {(255, 0, 0)}
    assert set(column[78:]) == {(0, 0, 255)}


def test_an_opaque_crop_of_an_image_with_transparency_is_sent_without() -> None:
    image = photo("RGBA", (300, 200))
    image.putpixel((0, 0), (1, 2, 3, 0))
    assert opened(prepared(image, (200, 100, 240, 140), (64, 64)).sent.data).mode == "RGB"
    assert opened(prepared(image, (0, 0, 40, 40), (64, 64)).sent.data).mode == "RGBA"


def test_transparency_of_an_answer_is_white_where_the_image_has_none() -> None:
    image = PIL.Image.new("RGB", (300, 200), "gray")
    edit = prepared(image, (100, 60, 180, 120), (64, 64))
    made = composed(image, edit, PIL.Image.new("RGBA", (64, 64), (0, 0, 0, 0)))
    assert made.getpixel((140, 90)) == (255, 255, 255)
    assert made.getpixel((20, 20)) == (128, 128, 128)


@pytest.mark.parametrize(("side", "softened"), [(60, 2), (740, 2), (760, 3), (1500, 5), (3000, 8)])
@pytest.mark.parametrize("upright", [False, True])
def test_the_edge_is_softened_in_proportion_to_the_region(side: int, softened: int, upright: bool) -> None:
    size, region = (side + 80, 120), (40, 20, 40 + side, 100)
    if upright:
        size, region = size[::-1], (20, 40, 100, 40 + side)
    image = PIL.Image.new("RGB", size)
    edit = prepared(image, region, size)
    made = composed(image, edit, PIL.Image.new("RGB", size, "white"))
    line = [made.getpixel((60, at) if upright else (at, 60)) for at in range(80)]
    assert set(line[:40]) == {(0, 0, 0)}
    mixed = [pixel for pixel in line if pixel not in {(0, 0, 0), (255, 255, 255)}]
    assert len(mixed) == softened
    assert line[40 + softened] == (255, 255, 255)


def test_the_sides_of_a_long_image_are_as_long_as_its_format_allows() -> None:
    image = PIL.Image.new("RGB", (65_600, 2), "gray")
    edit = prepared(image, (10, 0, 40, 2), (64, 64))
    answer = saved(PIL.Image.new("RGB", (64, 64), "gray"), "PNG")
    for target, width in ((PNG, 65_600), (Target(None, "jpeg"), 65_500), (Target(None, "webp"), 16_383)):
        made = compose(saved(image, "PNG"), edit.mask.data, answer, edit.crop.box, target, LIMITS)
        assert (made.image.width, opened(made.image.data).size) == (width, (width, max(1, round(2 * width / 65_600))))


@pytest.mark.parametrize(("more", "mime_type"), [(0, "image/webp"), (2, "image/png")])
def test_a_webp_that_needs_more_memory_than_the_large_sandbox_has_becomes_a_png(
    more: int, mime_type: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        masked_edit_pixels, "WEBP_BYTES", most_memory_bytes(LIMITS.decoded_pixels) // (300 * 200) + more
    )
    image = PIL.Image.new("RGB", (300, 200), "gray")
    edit = prepared(image, (10, 10, 40, 40), (64, 64))
    answer = saved(PIL.Image.new("RGB", (64, 64), "gray"), "PNG")
    made = compose(saved(image, "PNG"), edit.mask.data, answer, edit.crop.box, Target(None, "webp"), LIMITS)
    assert (made.image.mime_type, made.image.width, made.image.height) == (mime_type, 300, 200)


MOST = most_memory_bytes(LIMITS.decoded_pixels)


@pytest.mark.parametrize("error", [MemoryError, OSError, ValueError])
@pytest.mark.parametrize(
    ("memory", "target", "mime_type"),
    [
        (MOST, "webp", "image/png"),
        (MOST + 1, "webp", "image/png"),
        (MOST - 1, "webp", None),
        (None, "webp", None),
        (MOST, "jpeg", None),
    ],
)
def test_a_webp_whose_encoder_fails_in_the_large_sandbox_becomes_a_png(
    memory: int | None,
    target: OutputFormat,
    mime_type: str | None,
    error: type[Exception],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def failing(image: PIL.Image.Image, target: Target, *rest: Any) -> Image:
        if target.format != "png":
            raise error
        return encoded(image, target, *rest)

    monkeypatch.setattr(masked_edit_pixels, "encoded", failing)
    image = PIL.Image.new("RGB", (300, 200), "gray")
    edit = prepared(image, (10, 10, 40, 40), (64, 64))
    answer = saved(PIL.Image.new("RGB", (64, 64), "gray"), "PNG")
    limits = Limits(LIMITS.pixels, LIMITS.decoded_pixels, memory, in_full=True)
    arguments = (saved(image, "PNG"), edit.mask.data, answer, edit.crop.box, Target(None, target), limits)
    if mime_type is None:
        with pytest.raises((NeedsMemory, Fault)):
            compose(*arguments)
    else:
        made = compose(*arguments)
        assert (made.image.mime_type, made.image.width, made.image.height, made.aligned) == (mime_type, 300, 200, True)


def test_nothing_is_prepared_where_all_of_the_image_is_edited() -> None:
    image = saved(photo(size=(60, 40)), "PNG")
    assert prepare(image, masked((60, 40), (0, 0, 60, 40)), {"any": (64, 64)}, 4096, LIMITS) is None
    assert prepare(image, masked((60, 40), (0, 0, 60, 39)), {"any": (64, 64)}, 4096, LIMITS) is not None


def test_an_image_or_mask_that_is_cut_off_is_a_fault() -> None:
    image, mask = saved(photo(size=(60, 40)), "PNG"), masked((60, 40), (10, 10, 20, 20))
    for data, of_mask, kind in ((image[:60], mask, Fault), (image, mask[:60], MaskFault)):
        with pytest.raises(Fault) as caught:
            prepare(data, of_mask, {"any": (64, 64)}, 4096, LIMITS)
        assert type(caught.value) is kind
    with pytest.raises(Fault) as caught:
        compose(image, mask, image[:60], Box(0, 0, 60, 40), PNG, LIMITS)
    assert type(caught.value) is Fault
