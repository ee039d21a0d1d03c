"""Masked edits over HTTP: nothing changes outside the mask, whatever the model answers.

In everything else a request with a mask is like any other.
"""

import asyncio
import io
from typing import Any

import PIL.Image
import pytest
from PIL import ImageChops, ImageDraw

from local.gemini.script import Scripted
from tests.support.eventually import eventually
from tests.support.faulty_proxy import Rule, blob_error
from tests.support.harness import Answer, Harness, data_url, sample_image
from tests.support.image_files import saved
from tests.support.paths import IMAGES

CUP = data_url(sample_image(), "image/jpeg")


def photograph(name: str = "coffee.jpg") -> PIL.Image.Image:
    return PIL.Image.open(IMAGES / name).convert("RGB")


def disc(size: tuple[int, int] = (600, 400)) -> PIL.Image.Image:
    """Return a mask that is white where the image is to be edited."""
    mask = PIL.Image.new("L", size)
    ImageDraw.Draw(mask).ellipse((size[0] // 3, size[1] // 3, 2 * size[0] // 3, 2 * size[1] // 3), fill=255)
    return mask


MASK = data_url(saved(disc(), "PNG"))


def changed(image: bytes, before: PIL.Image.Image, where: PIL.Image.Image) -> int:
    """Return the number of values that differ where `where` is not black."""
    difference = ImageChops.difference(PIL.Image.open(io.BytesIO(image)).convert("RGB"), before)
    return sum(sum(channel.histogram(where)[1:]) for channel in difference.split())


def assert_edited(image: bytes, before: PIL.Image.Image | None = None, mask: PIL.Image.Image | None = None) -> None:
    before, mask = before or photograph(), mask or disc()
    assert changed(image, before, ImageChops.invert(mask)) == 0
    assert changed(image, before, mask) > 1000


async def edited(product: Harness, *images: str, mask: str = MASK, **fields: Any) -> Answer:
    return await product.generate(*images, mask=mask, **fields)


async def test_mask_limits_what_changes_and_the_image_keeps_its_size(product: Harness) -> None:
    product.fake_gemini.keep_inputs = True
    answer = await edited(product)
    assert answer.status == 200
    body = answer.json
    assert (body["width"], body["height"], body["mimeType"]) == (600, 400, "image/png")
    assert body["imageUrl"].endswith(".png")
    assert_edited(answer.image)
    (call,) = product.fake_gemini.calls
    ((mime_type, sent),) = product.fake_gemini.inputs[0]
    assert mime_type == "image/png"
    detail = (await product.call("GET", f"/api/generations/{body['id']}")).json
    crop = detail["mask"]["crop"]
    assert call.image_config["aspectRatio"] == crop["aspectRatio"]
    assert PIL.Image.open(io.BytesIO(sent)).size == (crop["width"], crop["height"])
    shown = await product.call("GET", detail["mask"]["url"])
    assert list(PIL.Image.open(io.BytesIO(shown.body)).convert("L").tobytes()) == list(disc().tobytes())
    (page,) = (await product.call("GET", "/api/generations")).json["items"]
    assert "mask" not in page


async def test_dry_run_has_the_crop_of_the_generation(product: Harness) -> None:
    checked = (await edited(product, dryRun=True)).json
    crop = checked["crop"]
    assert crop["x"] <= 200
    assert crop["y"] <= 133
    assert crop["x"] + crop["width"] > 400
    assert crop["y"] + crop["height"] > 266
    assert not product.fake_gemini.calls
    done = await edited(product)
    detail = (await product.call("GET", f"/api/generations/{done.json['id']}")).json
    assert detail["mask"]["crop"] == crop
    assert checked["estimatedCostUsd"] == (await product.generate(CUP, dryRun=True)).json["estimatedCostUsd"]


@pytest.mark.parametrize(
    ("mask", "status", "code", "words"),
    [
        (data_url(saved(PIL.Image.new("L", (600, 400)), "PNG")), 400, "invalid_image", "nothing to edit"),
        (data_url(saved(PIL.Image.new("L", (400, 600), 255), "PNG")), 400, "invalid_image", "another shape"),
        (data_url(b"no image at all"), 400, "invalid_image", "not those of an image"),
        (data_url(b"<svg xmlns='http://www.w3.org/2000/svg'/>"), 400, "invalid_image", "SVG"),
        ("data:image/png;base64,*", 400, "invalid_image", "base64"),
        ("http://127.0.0.1/mask.png", 400, "url_not_allowed", ""),
        (data_url((IMAGES / "unusual" / "bomb.png").read_bytes()), 413, "image_too_large", "pixels"),
    ],
)
async def test_unusable_mask_is_refused_before_anything_is_paid(
    product: Harness, mask: str, status: int, code: str, words: str
) -> None:
    for fields in ({}, {"dryRun": True}):
        answer = await edited(product, mask=mask, **fields)
        assert (answer.status, answer.json["code"], answer.json["field"]) == (status, code, "mask")
        assert words in answer.json["details"]
        assert "imageIndex" not in answer.json
    assert not product.fake_gemini.calls


async def test_mask_with_an_aspect_ratio_is_refused(product: Harness) -> None:
    answer = await edited(product, aspectRatio="16:9")
    assert (answer.status, answer.json["code"], answer.json["field"]) == (400, "invalid_request", "aspectRatio")


@pytest.mark.parametrize("mask", ["", None])
async def test_empty_mask_counts_as_absent(product: Harness, mask: str | None) -> None:
    answer = await product.generate(CUP, mask=mask, aspectRatio="1:1")
    assert answer.status == 200
    assert answer.json["width"] == answer.json["height"]


async def test_mask_of_the_whole_image_counts_as_absent(product: Harness) -> None:
    full = data_url(saved(PIL.Image.new("L", (300, 200), 255), "PNG"))
    with_mask, without = await edited(product, mask=full), await product.generate(CUP)
    assert (with_mask.json["width"], with_mask.json["mimeType"]) == (without.json["width"], without.json["mimeType"])
    assert "mask" not in (await product.call("GET", f"/api/generations/{with_mask.json['id']}")).json
    assert "crop" not in (await edited(product, mask=full, dryRun=True)).json


async def test_mask_by_address_and_in_another_size(product: Harness) -> None:
    first = await edited(product)
    url = (await product.call("GET", f"/api/generations/{first.json['id']}")).json["mask"]["url"]
    assert_edited((await edited(product, mask=url)).image)
    large = disc((1800, 1200))
    answer = await edited(product, mask=data_url(saved(large, "PNG")))
    assert_edited(answer.image, mask=large.resize((600, 400), PIL.Image.Resampling.NEAREST))


async def test_transparent_part_of_a_mask_is_edited(product: Harness) -> None:
    mask = photograph().copy()
    mask.putalpha(ImageChops.invert(disc()))
    assert_edited((await edited(product, mask=data_url(saved(mask, "PNG")))).image)


async def test_rotated_photograph_keeps_its_own_pixels(product: Harness) -> None:
    """The model gets an upright JPEG; the pixels of the result are those of the file."""
    exif = PIL.Image.Exif()
    exif[0x112] = 6
    rotated = saved(photograph().transpose(PIL.Image.Transpose.ROTATE_90), "JPEG", exif=exif, quality=80)
    upright = PIL.Image.open(io.BytesIO(rotated)).convert("RGB").transpose(PIL.Image.Transpose.ROTATE_270)
    answer = await edited(product, data_url(rotated, "image/jpeg"))
    assert answer.status == 200
    assert_edited(answer.image, upright)
    record = await product.record(answer.json["id"])
    assert record is not None
    name = record["edit"]["original"]
    folder = [blob for blob in await product.blob_names("catafract-private", "inputs/") if blob.endswith(name)]
    assert len(folder) == 1
    assert (await product.call("GET", f"/api/images/input-{name}")).status == 404


async def test_other_inputs_go_to_the_model_as_well(product: Harness) -> None:
    answer = await edited(product, CUP, data_url(sample_image("cat.png")))
    assert_edited(answer.image)
    assert product.fake_gemini.calls[0].inputs == 2


async def test_edit_of_an_earlier_generation_keeps_its_pixels(product: Harness) -> None:
    first = await product.generate(CUP, prompt="in the snow")
    before = PIL.Image.open(io.BytesIO(first.image)).convert("RGB")
    mask = disc(before.size)
    body = {"from": first.json["id"], "mask": data_url(saved(mask, "PNG")), "prompt": "in blue"}
    answer = await product.call("POST", "/api/image", body)
    assert answer.status == 200
    assert answer.json["width"] == before.width
    assert changed(answer.image, before, ImageChops.invert(mask)) == 0
    assert changed(answer.image, before, mask) > 100


@pytest.mark.parametrize(("wanted", "mime_type"), [("jpeg", "image/jpeg"), ("webp", "image/webp")])
async def test_result_has_the_requested_format(product: Harness, wanted: str, mime_type: str) -> None:
    answer = await edited(product, outputFormat=wanted, outputQuality=95)
    assert (answer.json["mimeType"], answer.json["width"]) == (mime_type, 600)
    near = ImageChops.difference(PIL.Image.open(io.BytesIO(answer.image)).convert("RGB"), photograph()).convert("L")
    outside = near.histogram(ImageChops.invert(disc()))
    assert sum(value * count for value, count in enumerate(outside)) / sum(outside) < 4


async def test_idempotency_key_covers_the_mask(product: Harness) -> None:
    headers = {"Idempotency-Key": "edit"}
    first = await edited(product, headers=headers)
    again = await edited(product, headers=headers)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.image == first.image
    other = data_url(saved(ImageChops.invert(disc()), "PNG"))
    assert (await edited(product, mask=other, headers=headers)).status == 422
    assert (await product.generate(CUP, headers=headers)).status == 422
    assert len(product.fake_gemini.calls) == 1


async def test_queued_edit_is_composed_by_the_process_that_runs_it(product: Harness) -> None:
    accepted = await edited(product, headers={"Prefer": "respond-async"})
    assert accepted.status == 202
    (message,) = accepted.enqueue
    async with product.another() as other:
        await other.app.resume(message.encode())
        done = (await other.call("GET", f"/api/generations/{accepted.json['id']}")).json
        assert done["status"] == "succeeded"
        image = await other.call("GET", done["thumbnailUrl"].partition("?")[0])
    assert_edited(image.body)


@pytest.mark.parametrize("shift", [(0, 0), (21, -13)])
async def test_slightly_shifted_answer_is_aligned(product: Harness, shift: tuple[int, int]) -> None:
    """With this prompt, the fake Gemini keeps the image and changes its colours."""
    product.fake_gemini.script.add(Scripted(shift=shift))
    answer = await edited(product, prompt="in blue", imageSize="1K")
    assert answer.json["warnings"] == []
    assert_edited(answer.image)
    lightness = PIL.Image.open(io.BytesIO(answer.image)).convert("HSV").getchannel("V")
    difference = ImageChops.difference(lightness, photograph().convert("HSV").getchannel("V")).histogram(disc())
    assert sum(value * count for value, count in enumerate(difference)) / sum(difference) < 6


async def test_answer_that_cannot_be_aligned_gives_a_warning(product: Harness) -> None:
    product.fake_gemini.script.add(Scripted(shift=(300, 200)))
    answer = await edited(product, prompt="in blue", imageSize="1K")
    assert [warning.partition(":")[0] for warning in answer.json["warnings"]] == ["mask_misaligned"]
    assert_edited(answer.image)


async def test_crop_that_is_larger_than_the_models_image_gives_a_warning(product: Harness) -> None:
    large = photograph().resize((3000, 2000))
    mask = data_url(saved(disc((600, 400)), "PNG"))
    image = data_url(saved(large, "JPEG"), "image/jpeg")
    answer = await edited(product, image, mask=mask, prompt="in blue", imageSize="1K", includeBase64=False)
    assert [warning.partition(":")[0] for warning in answer.json["warnings"]] == ["size_reduced"]
    answer = await edited(product, image, mask=mask, prompt="in blue", imageSize="2K", includeBase64=False)
    assert answer.json["warnings"] == []


async def test_private_edit_is_readable_by_its_owner_only(product: Harness) -> None:
    async with product.another(IMAGE_ACCESS="private") as private:
        answer = await edited(private)
        assert_edited(answer.image)
        assert_edited((await private.call("GET", answer.json["imageUrl"])).body)
        url = (await private.call("GET", f"/api/generations/{answer.json['id']}")).json["mask"]["url"]
        again = await edited(private, answer.json["imageUrl"], mask=url)
        assert again.status == 200
        async with private.another("eve@example.com") as other:
            assert (await other.call("GET", url)).status == 404
            stolen = await edited(other, mask=url)
            assert (stolen.status, stolen.json["field"]) == (400, "mask")


async def test_image_that_is_being_composed_overrides_a_cancellation(product: Harness) -> None:
    composing = asyncio.Event()
    reading = product.blobs.rule(Rule(reads_input_copy, before=composing.wait))
    running = asyncio.create_task(edited(product, headers={"Idempotency-Key": "canceled"}))
    await asyncio.wait_for(reading.hit.wait(), 30)
    (item,) = (await product.call("GET", "/api/generations")).json["items"]
    canceling = asyncio.create_task(product.call("POST", f"/api/generations/{item['id']}/cancel"))

    async def requested() -> bool:
        return bool(((await product.record(item["id"])) or {}).get("cancelRequestedAt"))

    await eventually(requested)
    composing.set()
    answer = await running
    assert answer.status == 200
    assert_edited(answer.image)
    assert (await canceling).json["status"] == "succeeded"


def reads_input_copy(method: str, path: str) -> bool:
    return method == "GET" and "/inputs/" in path


async def test_composing_waits_for_the_end_of_a_storage_outage(product: Harness) -> None:
    outage = product.blobs.rule(Rule(reads_input_copy, 1000, forward=False))
    running = asyncio.create_task(edited(product))
    await asyncio.wait_for(outage.hit.wait(), 30)
    assert len(product.fake_gemini.calls) == 1
    product.blobs.rules.remove(outage)
    answer = await running
    assert answer.status == 200
    assert_edited(answer.image)


async def test_missing_input_copy_leaves_the_models_image_with_a_warning(product: Harness) -> None:
    product.blobs.rule(Rule(reads_input_copy, 1000, answer=blob_error(404, "BlobNotFound")))
    answer = await edited(product)
    assert answer.status == 200
    assert [warning.partition(":")[0] for warning in answer.json["warnings"]] == ["mask_not_applied"]
    assert len(product.fake_gemini.calls) == 1


async def test_earlier_image_that_is_too_large_for_a_mask_is_409_for_from(product: Harness) -> None:
    first = await product.generate()
    mask = data_url(saved(disc((79, 53)), "PNG"))
    async with product.another(MAX_DECODED_PIXELS="10000") as small:
        answer = await small.call("POST", "/api/image", {"from": first.json["id"], "prompt": "blue", "mask": mask})
        other = await small.generate(data_url(first.image), mask=mask)
    assert (answer.status, answer.json["field"]) == (409, "from")
    assert "imageIndex" not in answer.json
    assert "10,000" in answer.json["details"]
    assert (other.status, other.json["imageIndex"]) == (413, 0)
    assert len(product.fake_gemini.calls) == 1
