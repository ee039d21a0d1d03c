"""The shift of a model's answer relative to its input: a small one is found, a large one is reported."""

from functools import cache

import pytest
from PIL import Image, ImageDraw, ImageFilter

from image_core.images.alignment import Alignment, estimate
from tests.support.paths import IMAGES

SIZE = (1264, 848)
EDITED = (400, 250, 800, 600)
PHOTOGRAPHS = ("coffee.jpg", "cat.png", "rocket.webp")


@cache
def photograph(name: str) -> Image.Image:
    return Image.open(IMAGES / name).convert("RGB").resize(SIZE)


@pytest.fixture(scope="module")
def kept() -> Image.Image:
    """White outside of an ellipse."""
    mask = Image.new("L", SIZE, 255)
    ImageDraw.Draw(mask).ellipse(EDITED, fill=0)
    return mask


def painted(image: Image.Image, shift: tuple[int, int]) -> Image.Image:
    """Return the image as a model may answer it: shifted, paler, softer, and with new content in the ellipse."""
    answer = Image.new("RGB", image.size, "gray")
    answer.paste(image, shift)
    answer = answer.point(lambda value: int(value * 0.9 + 12)).filter(ImageFilter.BoxBlur(1))
    ImageDraw.Draw(answer).ellipse(EDITED, fill="red")
    return answer


@pytest.mark.parametrize("name", PHOTOGRAPHS)
@pytest.mark.parametrize("shift", [(0, 0), (1, 0), (7, -4), (30, 20), (-50, 0)])
def test_small_shift_is_found_to_the_pixel(name: str, shift: tuple[int, int], kept: Image.Image) -> None:
    image = photograph(name)
    assert estimate(image, painted(image, shift), kept, SIZE) == Alignment(shift)


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_shift_is_in_pixels_of_the_crop(name: str, kept: Image.Image) -> None:
    image = photograph(name)
    found = estimate(image, painted(image, (7, -4)), kept, (SIZE[0] * 3, SIZE[1] * 3))
    assert found.aligned
    assert abs(found.shift[0] - 21) <= 2
    assert abs(found.shift[1] + 12) <= 2


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_other_scene_and_large_shift_are_not_aligned(name: str, kept: Image.Image) -> None:
    image = photograph(name)
    other = photograph("coffee.jpg" if name != "coffee.jpg" else "rocket.webp")
    enlarged = image.resize(SIZE, box=(60, 40, 1204, 808))
    for answer in (other, enlarged, image.transpose(Image.Transpose.FLIP_LEFT_RIGHT), painted(image, (120, 0))):
        assert estimate(image, answer, kept, SIZE) == Alignment(aligned=False)


def test_answer_without_comparable_pixels_counts_as_aligned(kept: Image.Image) -> None:
    image = photograph("coffee.jpg")
    sky = Image.new("RGB", SIZE, (120, 160, 220))
    assert estimate(sky, painted(sky, (9, 9)), kept, SIZE) == Alignment()
    assert estimate(image, painted(image, (9, 9)), Image.new("L", SIZE), SIZE) == Alignment()


def test_new_grain_counts_as_aligned(kept: Image.Image) -> None:
    image, answer = (Image.effect_noise(SIZE, 12).convert("RGB") for _ in range(2))
    assert estimate(image, answer, kept, SIZE) == Alignment()


def test_no_shift_is_found_along_a_straight_edge(kept: Image.Image) -> None:
    horizon = Image.new("RGB", SIZE, (120, 160, 220))
    horizon.paste((40, 80, 40), (0, 700, *SIZE))
    assert estimate(horizon, painted(horizon, (0, 6)), kept, SIZE) == Alignment((0, 6))


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (200, 3), (40, 30)])
def test_tiny_crop_is_aligned(size: tuple[int, int]) -> None:
    image = photograph("cat.png").resize(size)
    assert estimate(image, image, Image.new("L", size, 255), size) == Alignment()
