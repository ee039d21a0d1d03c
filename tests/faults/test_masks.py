"""A host that is killed during a masked edit: the recovered image is unchanged outside the mask."""

import base64
import io
from collections.abc import AsyncIterator

import PIL.Image
import pytest
from PIL import ImageChops, ImageDraw

from local.emulators import AzuritePorts
from tests.support.harness import data_url
from tests.support.hosts import Rig, creates_record, rig, stores_image, stores_input_copy
from tests.support.image_files import saved
from tests.support.paths import IMAGES

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
async def faults(azurite_ports: AzuritePorts, cosmos_url: str) -> AsyncIterator[Rig]:
    async with rig(azurite_ports, cosmos_url) as made:
        yield made


def reads_copy(method: str, path: str) -> bool:
    return method == "GET" and "/catafract-private/inputs/" in path


def upright() -> PIL.Image.Image:
    """Return the upright input. Its file is rotated, so that a second copy is stored for composing."""
    with PIL.Image.open(io.BytesIO(rotated())) as image:
        return image.convert("RGB").transpose(PIL.Image.Transpose.ROTATE_270)


def rotated() -> bytes:
    exif = PIL.Image.Exif()
    exif[0x112] = 6
    image = PIL.Image.open(IMAGES / "coffee.jpg").transpose(PIL.Image.Transpose.ROTATE_90)
    return saved(image, "JPEG", quality=85, exif=exif)


def mask() -> PIL.Image.Image:
    drawn = PIL.Image.new("L", (600, 400))
    ImageDraw.Draw(drawn).ellipse((80, 20, 480, 380), fill=255)
    return drawn


EDIT = {
    "images": [data_url(rotated(), "image/jpeg")],
    "mask": data_url(saved(mask(), "PNG")),
    "prompt": "in blue",
    "imageSize": "1K",
}


async def assert_edited(faults: Rig, calls: int) -> None:
    """Check for one succeeded record, one image that is unchanged outside the mask, and `calls` model calls."""
    status, body = await faults.post(faults.hosts[-1], options=EDIT)
    assert status == 200, body
    records = await faults.records()
    assert [record.status for record in records] == ["succeeded"]
    assert [name for name in await faults.images() if name.startswith(f"{records[0].blob_stem}.")] == [
        f"{records[0].blob_stem}.png"
    ]
    assert faults.model_calls == calls
    image = PIL.Image.open(io.BytesIO(base64.b64decode(body["imageBase64"].partition(",")[2])))
    difference = ImageChops.difference(image.convert("RGB"), upright())
    assert image.size == (600, 400)
    for channel in difference.split():
        assert sum(channel.histogram(ImageChops.invert(mask()))[1:]) == 0
    assert max(difference.getchannel("B").histogram(mask())[40:]) > 0
    await faults.assert_reconciled()


@pytest.mark.parametrize("nth", [1, 4])
async def test_kill_while_the_input_copies_are_stored_pays_nothing(faults: Rig, nth: int) -> None:
    """There are four copies: the input, the crop, the mask and the original file."""
    host = await faults.start_host()
    stored = 0

    def is_nth(method: str, path: str) -> bool:
        nonlocal stored
        stored += stores_input_copy(method, path)
        return stored == nth and stores_input_copy(method, path)

    faults.product.blobs.rule(faults.kill_rule(host, is_nth, when="before", forward=False))
    assert await faults.post(host, options=EDIT) == (0, {})
    assert faults.model_calls == 0
    assert await faults.records() == []
    await faults.start_host()
    await assert_edited(faults, calls=1)


async def test_kill_before_the_call_is_recovered_with_the_stored_crop(faults: Rig) -> None:
    host = await faults.start_host()
    faults.product.cosmos.rule(faults.kill_rule(host, creates_record, when="after"))
    assert await faults.post(host, options=EDIT) == (0, {})
    await faults.start_host()
    await faults.finished()
    await assert_edited(faults, calls=1)


@pytest.mark.parametrize("nth", [1, 2])
async def test_kill_while_composing_pays_twice_at_most(faults: Rig, nth: int) -> None:
    """The mask and the original file are read again after the model call."""
    host = await faults.start_host()
    read = 0

    def is_nth(method: str, path: str) -> bool:
        nonlocal read
        read += reads_copy(method, path)
        return read == nth and reads_copy(method, path)

    faults.product.blobs.rule(faults.kill_rule(host, is_nth, when="after"))
    assert await faults.post(host, options=EDIT) == (0, {})
    assert faults.model_calls == 1
    await faults.start_host()
    await faults.finished()
    await assert_edited(faults, calls=2)


async def test_kill_between_composing_and_storing_pays_twice_at_most(faults: Rig) -> None:
    host = await faults.start_host()
    faults.product.blobs.rule(faults.kill_rule(host, stores_image, when="before", forward=False))
    assert await faults.post(host, options=EDIT) == (0, {})
    await faults.start_host()
    await faults.finished()
    await assert_edited(faults, calls=2)


async def test_kill_after_the_composed_image_is_stored_pays_once(faults: Rig) -> None:
    host = await faults.start_host()
    faults.product.blobs.rule(faults.kill_rule(host, stores_image, when="after"))
    assert await faults.post(host, options=EDIT) == (0, {})
    await faults.start_host()
    await faults.finished()
    await assert_edited(faults, calls=1)
