"""An image that needs more than the usual sandbox memory is decoded alone with more, and not refused as invalid."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from image_core.auth.user import User
from image_core.clock import Clock
from image_core.errors import ImageTooLarge
from image_core.images.fault import NeedsMemory
from image_core.images.image import Image
from image_core.images.sandbox_memory import USUAL_MEMORY_BYTES, most_memory_bytes
from image_core.inputs.loader import Loader
from image_core.runtime.memory_budget import MemoryBudget
from tests.support.eventually import eventually
from tests.support.input_loaders import make_loader
from tests.support.owned_images import OWN, FakeOwnImages

PIXELS = 65_000_000
MEBIBYTE = 2**20
ADA, BOB = User("ada@example.com"), User("bob@example.com")


class Sandboxes:
    """Conversions that need more than the usual memory, and end when `end` is set."""

    def __init__(self, *, enough: bool = True) -> None:
        self.enough = enough
        self.usual = 0
        self.large = 0
        self.max_large = 0
        self.end = asyncio.Event()

    async def convert(self, data: bytes, max_pixels: int, max_decoded_pixels: int, memory_bytes: int) -> Image:
        if memory_bytes == USUAL_MEMORY_BYTES:
            self.usual += 1
            raise NeedsMemory
        self.large += 1
        self.max_large = max(self.max_large, self.large)
        try:
            await self.end.wait()
        finally:
            self.large -= 1
        if not self.enough:
            raise NeedsMemory
        return Image(data, "image/png", 1, 1)


@pytest.fixture
async def sandboxes() -> Sandboxes:
    return Sandboxes()


@pytest.fixture
async def loader(sandboxes: Sandboxes) -> AsyncIterator[Loader]:
    made = make_loader(OWN, FakeOwnImages(), convert=sandboxes.convert)
    yield made
    await made.close()


def loading(loader: Loader, user: User) -> asyncio.Task[object]:
    claim = MemoryBudget(10**9).claim(user.id, Clock().deadline(60))
    return asyncio.create_task(loader.load_all(["data:image/gif;base64,R0lGODlhAQABAAAAACw="], user, claim))


async def test_one_large_conversion_runs_at_a_time(loader: Loader, sandboxes: Sandboxes) -> None:
    tasks = [loading(loader, ADA), loading(loader, BOB)]
    await eventually(lambda: sandboxes.usual == 2 and sandboxes.large == 1)
    sandboxes.end.set()
    await asyncio.gather(*tasks)
    assert (sandboxes.usual, sandboxes.max_large) == (2, 1)


async def test_image_that_needs_more_than_the_maximum_is_too_large_with_the_limit(
    loader: Loader, sandboxes: Sandboxes
) -> None:
    sandboxes.enough = False
    sandboxes.end.set()
    with pytest.raises(ImageTooLarge) as caught:
        await loading(loader, ADA)
    assert f"{most_memory_bytes(PIXELS) // MEBIBYTE} MB" in str(caught.value.details)
