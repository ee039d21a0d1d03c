"""A mask beside the inputs: the file of the first input, the errors of a mask, and the size of a call."""

import asyncio
from collections.abc import Callable

import PIL.Image
import pytest

from image_core.auth.user import User
from image_core.clock import Clock
from image_core.errors import Busy, ImagesTooLarge, ImageTooLarge, InputError, InvalidImage, UrlNotAllowed
from image_core.images.masked_edit import PreparedEdit
from image_core.inputs.loader import Loader
from image_core.runtime.memory_budget import Claim, MemoryBudget
from tests.support.harness import data_url, sample_image
from tests.support.image_files import saved, unusual_image
from tests.support.input_loaders import make_loader
from tests.support.owned_images import OWN, FakeOwnImages

ADA = User("ada@example.com")
SHAPES = {"1:1": (64, 64), "3:2": (72, 48), "2:3": (48, 72)}
CUP = data_url(sample_image(), "image/jpeg")


def half(size: tuple[int, int] = (600, 400)) -> str:
    mask = PIL.Image.new("L", size)
    mask.paste(255, (0, 0, size[0] // 2, size[1]))
    return data_url(saved(mask, "PNG"))


def claim(seconds: float = 60) -> Claim:
    return MemoryBudget(10**9).claim(ADA.id, Clock().deadline(seconds))


async def prepared(loader: Loader, mask: str, *images: str) -> PreparedEdit | None:
    held = claim()
    inputs = await loader.load_all(images or (CUP,), ADA, held, edit_first=True)
    return await loader.prepare_edit(mask, inputs, SHAPES, 2048, ADA, held)


async def test_file_of_the_first_input_is_kept_if_its_pixels_were_encoded_again(make: Callable[..., Loader]) -> None:
    rotated = unusual_image("rotated-by-exif.jpg")
    images = (data_url(rotated, "image/jpeg"), data_url(unusual_image("photo.bmp"), "image/bmp"))
    first, second = await make().load_all(images, ADA, claim(), edit_first=True)
    assert (first.edited, second.original) == (rotated, None)
    (unchanged,) = await make().load_all((CUP,), ADA, claim(), edit_first=True)
    assert (unchanged.original, unchanged.edited) == (None, unchanged.image.data)
    (not_edited,) = await make().load_all(images[:1], ADA, claim())
    assert not_edited.original is None


async def test_edit_is_prepared_for_the_first_input(make: Callable[..., Loader]) -> None:
    edit = await prepared(make(), half(), CUP, data_url(sample_image("cat.png")))
    assert edit is not None
    assert edit.size == (600, 400)
    assert edit.crop.box.right >= 300


@pytest.mark.parametrize(
    ("mask", "kind"),
    [
        ("data:image/png;base64,*", InvalidImage),
        (data_url(unusual_image("script.svg")), InvalidImage),
        (data_url(unusual_image("bomb.png")), ImageTooLarge),
        (data_url(bytes(3_000_000)), ImageTooLarge),
        (half((400, 400)), InvalidImage),
        ("file:///etc/passwd", UrlNotAllowed),
    ],
    ids=["base64", "SVG", "pixels", "bytes", "shape", "URL"],
)
async def test_error_of_an_invalid_mask_names_the_mask(
    make: Callable[..., Loader], mask: str, kind: type[InputError]
) -> None:
    with pytest.raises(InputError) as caught:
        await prepared(make(MAX_IMAGE_BYTES="2000000"), mask)
    assert (type(caught.value), caught.value.index) == (kind, None)


async def test_error_of_an_image_too_large_for_a_masked_edit_names_the_image(make: Callable[..., Loader]) -> None:
    """The image is small enough for a model, which gets half its size, but not for an edit of its pixels."""
    large = data_url(saved(PIL.Image.new("RGB", (8000, 1000)), "JPEG"), "image/jpeg")
    with pytest.raises(ImageTooLarge) as caught:
        await prepared(make(MAX_DECODED_PIXELS="3000000"), half((800, 100)), large)
    assert caught.value.index == 0


async def test_crop_and_other_inputs_are_checked_together() -> None:
    loader = make_loader(OWN, FakeOwnImages(), max_bytes_together=300_000)
    with pytest.raises(ImagesTooLarge):
        await prepared(loader, half(), CUP, data_url(sample_image("cat.png")))
    await loader.close()


async def test_mask_that_is_not_ready_in_time_is_busy(make: Callable[..., Loader]) -> None:
    loader = make()
    inputs = await loader.load_all((CUP,), ADA, claim(), edit_first=True)
    with pytest.raises(Busy):
        await loader.prepare_edit(half(), inputs, SHAPES, 2048, ADA, claim(0))
    assert not [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
