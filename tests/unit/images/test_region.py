"""The crop around a mask: its contents, aspect ratio and position."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from image_core.images.region import Box, choose_crop

SHAPES = {
    "1:1": (1024, 1024), "2:3": (848, 1264), "3:2": (1264, 848), "3:4": (896, 1200), "4:3": (1200, 896),
    "4:5": (928, 1152), "5:4": (1152, 928), "9:16": (768, 1376), "16:9": (1376, 768), "21:9": (1584, 672),
}  # fmt: skip


@st.composite
def regions(draw: st.DrawFn) -> tuple[Box, tuple[int, int]]:
    """Draw a region of an image and the image's size."""
    width, height = draw(st.integers(1, 9000)), draw(st.integers(1, 9000))
    left, top = draw(st.integers(0, width - 1)), draw(st.integers(0, height - 1))
    return Box(left, top, draw(st.integers(left + 1, width)), draw(st.integers(top + 1, height))), (width, height)


@given(regions())
def test_crop_holds_the_region_in_a_shape_of_the_model(drawn: tuple[Box, tuple[int, int]]) -> None:
    region, size = drawn
    crop = choose_crop(region, size, SHAPES)
    box = crop.box
    assert all(isinstance(edge, int) for edge in box.edges)
    assert box.left <= region.left < region.right <= box.right
    assert box.top <= region.top < region.bottom <= box.bottom
    width, height = SHAPES[crop.aspect_ratio]
    assert abs(box.width * height - box.height * width) <= max(width, height), "within a pixel of the shape"


@given(regions())
def test_crop_leaves_the_image_only_where_the_region_fits_into_no_shape_inside(
    drawn: tuple[Box, tuple[int, int]],
) -> None:
    region, size = drawn
    box = choose_crop(region, size, SHAPES).box
    if box.within(size) != box:
        for width, height in SHAPES.values():
            scale = max(region.width / width, region.height / height)
            assert scale * width > size[0] - 1 or scale * height > size[1] - 1
        # As far on one side as on the other.
        assert box.width <= size[0] or abs(-box.left - (box.right - size[0])) <= 1
        assert box.height <= size[1] or abs(-box.top - (box.bottom - size[1])) <= 1


@pytest.mark.parametrize(
    ("region", "size", "box", "ratio"),
    [
        # As large as what the model makes, although the region is small: pixels are not enlarged without need.
        (Box(2000, 1500, 2050, 1550), (4000, 3000), Box(1513, 1013, 2537, 2037), "1:1"),
        # The region, and a quarter of its longer side around it.
        (Box(1000, 1000, 3000, 2400), (6000, 4000), Box(500, 491, 3500, 2908), "5:4"),
        # The whole image, where it has a shape of the model.
        (Box(0, 0, 1264, 848), (1264, 848), Box(0, 0, 1264, 848), "3:2"),
        # Moved into the image at its corner.
        (Box(0, 0, 10, 10), (4000, 3000), Box(0, 0, 1024, 1024), "1:1"),
        # A panorama that is edited in its whole width: beyond the image, above and below alike.
        (Box(0, 100, 5000, 200), (5000, 500), Box(0, -811, 5000, 1311), "21:9"),
        (Box(100, 0, 200, 5000), (500, 5000), Box(-1145, 0, 1646, 5000), "9:16"),
    ],
)
def test_crop_is_the_smallest_that_holds_the_region(region: Box, size: tuple[int, int], box: Box, ratio: str) -> None:
    crop = choose_crop(region, size, SHAPES)
    assert (crop.box, crop.aspect_ratio) == (box, ratio)


@pytest.mark.parametrize(
    ("region", "size", "shape", "box"),
    [
        # Without context, where only the region itself fits.
        (Box(0, 50, 100, 150), (100, 200), (64, 64), Box(0, 50, 100, 150)),
        (Box(50, 0, 150, 100), (200, 100), (64, 64), Box(50, 0, 150, 100)),
        # In an image that is smaller than what the model makes: the largest crop of the shape in it, rounded down.
        (Box(20, 90, 30, 100), (50, 200), (64, 61), Box(0, 71, 50, 118)),
        (Box(90, 20, 100, 30), (200, 50), (61, 64), Box(71, 0, 118, 50)),
    ],
)
def test_crop_of_a_small_image_is_inside_of_it(
    region: Box, size: tuple[int, int], shape: tuple[int, int], box: Box
) -> None:
    assert choose_crop(region, size, {"any": shape}).box == box
