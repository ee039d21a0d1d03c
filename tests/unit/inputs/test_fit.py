"""The images of a request together are made smaller if they are too large for one call, or refused."""

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

LIMIT = MAX_INLINE_BYTES - RESERVED_BYTES


def sample_image(megabytes: float, side: int = 4096) -> Image:
    return Image(bytes(int(megabytes * 1_000_000)), "image/jpeg", side, side)


class Sandbox:
    """Reduces bytes with the square of the side, and records its calls."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, int]] = []

    async def shrink(self, index: int, before: Image, side: int) -> Image:
        self.calls.append((index, side))
        share = (side / max(before.width, before.height)) ** 2
        return Image(bytes(int(len(before.data) * share)), "image/jpeg", side, side)


CASES = [
    ("small images are unchanged", [1.0] * 14, []),
    ("exactly at the limit", [74.625], []),
    ("one byte over the limit, the largest shrinks", [10.0, 64.625001], [(1, 2048)]),
    ("several, the largest first", [20.0, 19.0, 18.0, 17.0, 2.0], [(0, 2048)]),
    ("fourteen photographs", [20.0] * 14, [(index, 2048) for index in range(14)]),
]


@pytest.mark.parametrize(("sizes", "calls"), [row[1:] for row in CASES], ids=[row[0] for row in CASES])
async def test_largest_images_are_made_smaller_until_all_fit(sizes: list[float], calls: list[tuple[int, int]]) -> None:
    images, sandbox = [sample_image(size) for size in sizes], Sandbox()
    fit = await fitted(images, sandbox.shrink)
    assert sandbox.calls == calls
    assert encoded_bytes(fit) <= LIMIT
    assert len(fit) == len(images)
    shrunk = {index for index, _ in calls}
    assert all(
        (after is before) == (index not in shrunk)
        for index, (before, after) in enumerate(zip(images, fit, strict=True))
    )


async def test_second_size_is_tried_if_the_first_does_not_suffice() -> None:
    sandbox = Sandbox()
    fit = await fitted([sample_image(20.0) for _ in range(50)], sandbox.shrink)
    assert {side for _, side in sandbox.calls} == {2048, 1024}
    assert encoded_bytes(fit) <= LIMIT


async def test_repeated_image_is_made_smaller_once() -> None:
    one, sandbox = sample_image(20.0), Sandbox()
    fit = await fitted([one] * 10, sandbox.shrink)
    assert sandbox.calls == [(0, 2048)]
    assert all(each is fit[0] for each in fit)


async def test_images_that_cannot_be_made_small_enough_are_refused_with_both_numbers() -> None:
    sandbox = Sandbox()
    with pytest.raises(ImagesTooLarge) as caught:
        await fitted([sample_image(20.0, side=1000) for _ in range(5)], sandbox.shrink)
    assert sandbox.calls == []
    assert (caught.value.status, caught.value.code, caught.value.retryable) == (413, "images_too_large", False)
    assert "133,333,340 bytes" in str(caught.value.details)
    assert "99,500,000" in str(caught.value.details)


def noise(width: int, height: int) -> str:
    """Return a PNG of random pixels of three bytes each, which cannot be compressed."""
    out = io.BytesIO()
    PIL.Image.frombytes("RGB", (width, height), os.urandom(width * height * 3)).save(out, "PNG", compress_level=0)
    return data_url(out.getvalue())


async def test_images_are_made_smaller_in_the_sandbox_and_memory_is_counted() -> None:
    budget = MemoryBudget(100_000_000)
    loader = make_loader(OWN, FakeOwnImages(), max_bytes_together=1_000_000)
    with budget.claim(User("ada@example.com").id) as claim:
        small, large = await loader.load_all([noise(100, 100), noise(2100, 200)], User("ada@example.com"), claim)
        assert budget.held == len(small.image.data) + len(large.image.data)
    assert (small.converted, small.image.width) == (False, 100)
    assert large.converted
    assert large.image.width in SIDES
    assert encoded_bytes([small.image, large.image]) <= 1_000_000
    await loader.close()
