"""Masks: the pixels that they select, their shape, their scaling, and the softened edge inside of them."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageChops, ImageDraw

from image_core.errors import InvalidImage
from image_core.images.fault import MaskFault
from image_core.images.mask import at_size, check_shape, edited_pixels, feathered, region_of
from image_core.images.region import Box


def values(image: Image.Image) -> list[int]:
    return list(image.tobytes())


def test_transparent_pixels_are_edited_where_a_mask_has_transparency() -> None:
    mask = Image.new("RGBA", (4, 1), (255, 255, 255, 255))
    for x, alpha in enumerate((0, 127, 128, 255)):
        mask.putpixel((x, 0), (255, 255, 255, alpha))
    assert values(edited_pixels(mask)) == [255, 255, 0, 0]


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA", "P", "1", "I;16"])
def test_white_pixels_are_edited_where_a_mask_has_none(mode: str) -> None:
    mask = Image.new("L", (3, 1))
    mask.putpixel((1, 0), 255)
    if mode == "I;16":
        mask = Image.frombytes("I;16", (3, 1), b"\0\0\xff\xff\0\0")
    assert values(edited_pixels(mask.convert(mode) if mode != "I;16" else mask)) == [0, 255, 0]


def test_palette_with_a_transparent_entry_is_a_mask_of_transparency() -> None:
    mask = Image.new("P", (2, 1))
    mask.putpalette([255, 255, 255, 255, 255, 255])
    mask.putpixel((1, 0), 1)
    mask.info["transparency"] = 1
    assert values(edited_pixels(mask)) == [0, 255]


@pytest.mark.parametrize(
    ("mask", "size"),
    [((600, 400), (600, 400)), ((300, 200), (600, 400)), ((512, 341), (6000, 4000)), ((1, 1), (100, 101)),
     ((512, 384), (4032, 3024)), ((1000, 667), (6000, 4000)), ((1536, 1024), (3000, 2000))],
)  # fmt: skip
def test_mask_of_the_same_shape_is_taken_in_any_size(mask: tuple[int, int], size: tuple[int, int]) -> None:
    check_shape(mask, size)


@pytest.mark.parametrize("mask", [(400, 600), (600, 420), (600, 380), (1024, 1024)])
def test_mask_of_another_shape_is_refused_with_both_sizes(mask: tuple[int, int]) -> None:
    with pytest.raises(MaskFault, match=rf"{mask[0]} x {mask[1]} pixels.*600 x 400") as caught:
        check_shape(mask, (600, 400))
    assert caught.value.kind is InvalidImage


@pytest.mark.parametrize(
    ("mask", "size", "accepted"),
    [
        ((100, 101), (100, 100), True),
        ((100, 102), (100, 100), False),
        ((1000, 1010), (100, 100), True),
        ((1000, 1011), (100, 100), False),
        ((1010, 1000), (100, 100), True),
        ((1011, 1000), (100, 100), False),
        ((1000, 11), (1000, 10), True),
        ((1000, 12), (1000, 10), False),
        ((11, 1000), (10, 1000), True),
        ((12, 1000), (10, 1000), False),
    ],
)
def test_mask_may_differ_from_the_shape_by_one_percent_or_a_pixel(
    mask: tuple[int, int], size: tuple[int, int], accepted: bool
) -> None:
    if accepted:
        check_shape(mask, size)
    else:
        with pytest.raises(MaskFault):
            check_shape(mask, size)


def test_pixels_are_edited_from_the_middle_of_brightness_on() -> None:
    mask = Image.frombytes("L", (4, 1), bytes((0, 127, 128, 255)))
    assert values(edited_pixels(mask)) == [0, 0, 255, 255]


def test_an_opaque_mask_with_transparency_is_a_mask_of_brightness() -> None:
    mask = Image.frombytes("LA", (2, 1), bytes((255, 255, 0, 255)))
    assert values(edited_pixels(mask)) == [255, 0]
    mask = Image.frombytes("LA", (2, 1), bytes((255, 255, 0, 254)))
    assert values(edited_pixels(mask)) == [0, 0]


@pytest.mark.parametrize("box", [Box(0, 0, 60, 40), Box(7, 5, 31, 29), Box(20, 10, 30, 20)])
def test_part_of_a_scaled_mask_is_that_part_of_the_whole(box: Box) -> None:
    mask = Image.new("L", (30, 20))
    ImageDraw.Draw(mask).ellipse((5, 3, 24, 16), fill=255)
    for size in ((60, 40), (30, 20)):
        part = box.within(size)
        assert values(at_size(mask, size, part)) == values(at_size(mask, size, Box(0, 0, *size)).crop(part.edges))


def test_region_is_the_box_of_all_edited_pixels_in_the_size_of_the_image() -> None:
    mask = Image.new("L", (30, 20))
    mask.paste(255, (2, 3, 5, 6))
    mask.paste(255, (20, 10, 22, 11))
    assert region_of(mask, (30, 20)) == Box(2, 3, 22, 11)
    assert region_of(mask, (300, 200)) == Box(20, 30, 220, 110)
    assert region_of(mask, (3000, 2000)) == Box(200, 300, 2200, 1100)


def test_region_of_a_mask_that_is_larger_than_its_image_is_in_the_size_of_the_image() -> None:
    mask = Image.new("L", (300, 200))
    mask.paste(255, (20, 150, 50, 190))
    assert region_of(mask, (30, 20)) == Box(2, 15, 5, 19)
    pen = ImageDraw.Draw(mask)
    pen.polygon([(250, 10), (290, 100), (210, 100)], fill=255)
    box = region_of(mask, (30, 20))
    assert box == Box(*(at_size(mask, (30, 20), Box(0, 0, 30, 20)).getbbox() or ()))


def test_outlines_of_a_scaled_mask_are_smooth() -> None:
    mask = Image.new("L", (10, 10))
    ImageDraw.Draw(mask).polygon([(0, 0), (9, 9), (0, 9)], fill=255)
    scaled = at_size(mask, (100, 100), Box(0, 0, 100, 100))
    edges = [max(x for x in range(100) if scaled.getpixel((x, y))) for y in range(20, 80)]
    assert max(abs(after - before) for before, after in itertools.pairwise(edges)) < 10


def test_mask_without_edited_pixels_is_refused() -> None:
    with pytest.raises(MaskFault, match=r"^it leaves nothing to edit.* and no white ones$") as caught:
        region_of(Image.new("L", (30, 20)), (300, 200))
    assert caught.value.kind is InvalidImage
    tiny = Image.new("L", (3000, 2000))
    tiny.putpixel((7, 7), 255)
    with pytest.raises(MaskFault, match=r"^its regions are too small.* of the image$") as caught:
        region_of(tiny, (30, 20))
    assert caught.value.kind is InvalidImage


@st.composite
def masks(draw: st.DrawFn) -> Image.Image:
    """Draw a mask of some rectangles and ellipses."""
    size = draw(st.integers(1, 60)), draw(st.integers(1, 60))
    mask = Image.new("L", size)
    pen = ImageDraw.Draw(mask)
    for _ in range(draw(st.integers(1, 4))):
        left, top = draw(st.integers(0, size[0] - 1)), draw(st.integers(0, size[1] - 1))
        box = (left, top, draw(st.integers(left, size[0] - 1)), draw(st.integers(top, size[1] - 1)))
        if draw(st.booleans()):
            pen.ellipse(box, fill=255)
        else:
            pen.rectangle(box, fill=255)
    return mask


@given(masks(), st.integers(1, 200), st.integers(1, 200))
def test_scaled_mask_stays_inside_its_nearest_pixels(mask: Image.Image, width: int, height: int) -> None:
    size = (width, height)
    scaled = at_size(mask, size, Box(0, 0, width, height))
    nearest = mask.resize(size, Image.Resampling.NEAREST)
    assert set(values(scaled)) <= {0, 255}
    assert values(ImageChops.darker(scaled, nearest)) == values(scaled)


@given(masks(), st.integers(0, 9))
def test_feather_is_inside_only_and_reaches_no_further_than_its_radius(mask: Image.Image, radius: int) -> None:
    soft = feathered(mask, radius)
    assert values(ImageChops.darker(soft, mask)) == values(soft)
    width, height = mask.size
    for y in range(height):
        for x in range(width):
            window = mask.crop((max(0, x - radius), max(0, y - radius), x + radius + 1, y + radius + 1))
            around = window.crop((0, 0, min(window.width, width), min(window.height, height)))
            inside = around.size == window.size and around.getextrema() == (255, 255)
            if inside:
                assert soft.getpixel((x, y)) == 255


def test_feather_rises_from_the_edge_inwards() -> None:
    mask = Image.new("L", (40, 40))
    mask.paste(255, (10, 0, 40, 40))
    row = values(feathered(mask, 4).crop((0, 20, 40, 21)))
    assert row[:10] == [0] * 10
    assert row[10:15] == sorted(row[10:15])
    assert 0 < row[10] < 64
    assert set(row[14:]) == {255}


def test_feather_of_one_pixel_softens_one_pixel() -> None:
    mask = Image.new("L", (40, 40))
    mask.paste(255, (10, 0, 40, 40))
    row = values(feathered(mask, 1).crop((8, 20, 13, 21)))
    assert row[:2] == [0, 0]
    assert 0 < row[2] < 255
    assert row[3:] == [255, 255]


def test_feather_leaves_the_corner_of_a_region_unchanged() -> None:
    mask = Image.new("L", (40, 40))
    mask.paste(255, (10, 10, 40, 40))
    assert feathered(mask, 4).getpixel((10, 10)) == 0


def test_parts_too_thin_for_the_feather_are_edited_in_full() -> None:
    mask = Image.new("L", (60, 60))
    mask.paste(255, (0, 30, 60, 32))
    assert values(feathered(mask, 4)) == values(mask)
