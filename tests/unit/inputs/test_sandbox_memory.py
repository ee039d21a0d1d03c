"""An image that needs more than the usual sandbox memory is decoded alone with more, and not refused as invalid."""

import asyncio
import sys
from collections.abc import AsyncIterator

import pytest

from image_core.auth.user import User
from image_core.clock import Clock
from image_core.errors import ImageTooLarge, InvalidImage
from image_core.images.convert import Limits, converted
from image_core.images.fault import Fault, NeedsMemory
from image_core.images.image import Image
from image_core.images.sandbox import convert_in_sandbox
from image_core.images.sandbox_memory import USUAL_MEMORY_BYTES, most_memory_bytes
from image_core.inputs.loader import Loader
from image_core.runtime.memory_budget import MemoryBudget
from image_core.settings import Settings
from tests.support.eventually import eventually
from tests.support.image_files import turned
from tests.support.input_loaders import make_loader
from tests.support.owned_images import OWN, FakeOwnImages

PIXELS = 65_000_000
MEBIBYTE = 2**20
ADA, BOB = User("ada@example.com"), User("bob@example.com")


@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited on Linux only")
async def test_abort_of_a_decoder_counts_as_lack_of_memory() -> None:
    program = "import os; os.abort()"
    with pytest.raises(NeedsMemory):
        await convert_in_sandbox(b"x", PIXELS, PIXELS, USUAL_MEMORY_BYTES, program=program)
    with pytest.raises(Fault):
        await convert_in_sandbox(b"x", PIXELS, PIXELS, program=program)


def test_damaged_image_is_invalid_with_the_maximum_of_memory() -> None:
    damaged = turned(3000)[:20_000]
    for memory in (None, most_memory_bytes(PIXELS)):
        with pytest.raises(Fault) as caught:
            converted(damaged, PIXELS, PIXELS, memory)
        assert caught.value.kind is InvalidImage


@pytest.mark.parametrize(
    ("name", "size", "shrunk", "progressive", "enough"),
    [
        ("JPEG", (8064, 6048), 2, False, "usual"),
        ("JPEG", (9504, 6336), 2, False, "usual"),
        ("JPEG", (9504, 6336), 2, True, "most"),
        ("JPEG", (4032, 3024), 1, False, "usual"),
        ("HEIF", (4032, 3024), 1, False, "usual"),
        ("HEIF", (5712, 4284), 1, False, "usual"),
        ("HEIF", (8064, 6048), 1, False, "most"),
        ("HEIF", (9504, 6336), 1, False, "most"),
        ("PNG", (8064, 6048), 1, False, "most"),
        ("PNG", (9504, 6336), 1, False, "most"),
        ("TIFF", (9504, 6336), 1, False, "most"),
        ("AVIF", (9504, 6336), 1, False, "most"),
        ("WEBP", (8064, 6048), 1, False, "none"),
    ],
)
def test_sizes_of_current_cameras_fit_into_the_default_memory(
    name: str, size: tuple[int, int], shrunk: int, progressive: bool, enough: str
) -> None:
    defaults = Settings.read({})
    fits = []
    for memory in (USUAL_MEMORY_BYTES, most_memory_bytes(defaults.max_decoded_pixels)):
        limits = Limits(defaults.max_image_pixels, defaults.max_decoded_pixels, memory)
        try:
            limits.check(name, size, shrunk, progressive=progressive)
        except NeedsMemory:
            fits.append(False)
        else:
            fits.append(True)
    assert fits == {"usual": [True, True], "most": [False, True], "none": [False, False]}[enough]


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
