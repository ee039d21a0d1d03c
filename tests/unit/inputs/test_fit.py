"""All images of a request together: made smaller where that suffices, refused where it does not."""

import io
import os

import PIL.Image
import pytest

from image_core.auth.user import User
from image_core.errors import ImagesTooLarge
from image_core.images.image import Image
from image_core.inputs.fit import MAX_INLINE_BYTES, RESERVED_BYTES, SIDES, encoded_bytes, fitted
from image_core.runtime.memory_budget import MemoryBudget
from tests.support.harness import data_url
from tests.support.input_loaders import make_loader
from tests.support.owned_images import OWN, FakeOwnImages

MOST = MAX_INLINE_BYTES - RESERVED_BYTES


def sample_image(megabytes: float, side: int = 4096) -> Image:
    return Image(bytes(int(megabytes * 1_000_000)), "image/jpeg", side, side)


class Sandbox:
    """Makes every image a quarter of its bytes for each halving of its side, and notes what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, int]] = []

    async def shrink(self, place: int, before: Image, side: int) -> Image:
        self.asked.append((place, side))
        share = (side / max(before.width, before.height)) ** 2
        return Image(bytes(int(len(before.data) * share)), "image/jpeg", side, side)


CASES = [
    ("small ones stay", [1.0] * 14, []),
    ("just within", [74.625], []),
    ("one byte over, and it is the largest that shrinks", [10.0, 64.625001], [(1, 2048)]),
    ("as many as needed, the largest first", [20.0, 19.0, 18.0, 17.0, 2.0], [(0, 2048)]),
    ("fourteen photographs", [20.0] * 14, [(place, 2048) for place in range(14)]),
]


@pytest.mark.parametrize(("sizes", "asked"), [row[1:] for row in CASES], ids=[row[0] for row in CASES])
async def test_largest_images_are_made_smaller_until_all_fit(sizes: list[float], asked: list[tuple[int, int]]) -> None:
    pictures, sandbox = [sample_image(size) for size in sizes], Sandbox()
    fit = await fitted(pictures, sandbox.shrink)
    assert sandbox.asked == asked
    assert encoded_bytes(fit) <= MOST
    assert len(fit) == len(pictures)
    shrunk = {place for place, _ in asked}
    assert all(
        (after is before) == (place not in shrunk)
        for place, (before, after) in enumerate(zip(pictures, fit, strict=True))
    )


async def test_second_size_is_tried_where_the_first_does_not_suffice() -> None:
    sandbox = Sandbox()
    fit = await fitted([sample_image(20.0) for _ in range(50)], sandbox.shrink)
    assert {side for _, side in sandbox.asked} == {2048, 1024}
    assert encoded_bytes(fit) <= MOST


async def test_image_that_is_there_several_times_is_made_smaller_once() -> None:
    one, sandbox = sample_image(20.0), Sandbox()
    fit = await fitted([one] * 10, sandbox.shrink)
    assert sandbox.asked == [(0, 2048)]
    assert all(each is fit[0] for each in fit)


async def test_images_that_cannot_be_made_small_enough_are_refused_with_both_numbers() -> None:
    sandbox = Sandbox()
    with pytest.raises(ImagesTooLarge) as caught:
        await fitted([sample_image(20.0, side=1000) for _ in range(5)], sandbox.shrink)
    assert sandbox.asked == []
    assert (caught.value.status, caught.value.code, caught.value.retryable) == (413, "images_too_large", False)
    assert "133,333,340 bytes" in str(caught.value.details)
    assert "99,500,000" in str(caught.value.details)


def noise(side: int) -> str:
    """Random pixels, which no encoding makes smaller: three bytes each."""
    out = io.BytesIO()
    PIL.Image.frombytes("RGB", (side, side), os.urandom(side * side * 3)).save(out, "PNG", compress_level=0)
    return data_url(out.getvalue())


async def test_images_are_made_smaller_in_the_sandbox_and_memory_is_counted() -> None:
    budget = MemoryBudget(100_000_000)
    loader = make_loader(OWN, FakeOwnImages(), max_bytes_together=6_000_000)
    with budget.claim(User("ada@example.com").id) as claim:
        small, large = await loader.load_all([noise(100), noise(2100)], User("ada@example.com"), claim)
        assert budget.held == len(small.image.data) + len(large.image.data)
    assert (small.converted, small.image.width) == (False, 100)
    assert large.converted
    assert large.image.width in SIDES
    assert encoded_bytes([small.image, large.image]) <= 6_000_000
    await loader.close()
