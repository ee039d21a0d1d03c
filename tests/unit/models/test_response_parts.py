"""The parts of a response: the image among drafts and text, the reason for a missing image, and the usage."""

import io
import struct
import warnings
from typing import Any

import pytest
from PIL import Image

from image_core.errors import ModelUnavailable, NoImage, Refused
from image_core.images import metadata
from image_core.models.gemini.response import SENTENCES
from local.gemini.script import Scripted, finished
from tests.support.gemini_responses import part
from tests.support.model_chain import ChainRig


def image(color: str = "red", kind: str = "PNG", size: tuple[int, int] = (8, 6)) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, color).save(out, kind)
    return out.getvalue()


RED, BLUE, JPEG = image("red"), image("blue"), image("green", "JPEG")

FOUND: list[tuple[str, list[dict[str, Any]], bytes, str | None]] = [
    ("text, then image", [{"text": "a"}, part(RED)], RED, "a"),
    ("image, then text", [part(RED), {"text": "a"}], RED, "a"),
    ("text before and after an image", [{"text": "a"}, part(RED), {"text": "b"}], RED, "ab"),
    ("the last of two", [part(BLUE), part(RED)], RED, None),
    ("the last of ten", [*[part(BLUE)] * 9, part(RED)], RED, None),
    ("a draft after the image", [part(RED), part(BLUE, thought=True)], RED, None),
    ("a thought before the image", [{"text": "hm", "thought": True}, part(RED)], RED, None),
    ("drafts only", [part(BLUE, thought=True), part(RED, thought=True)], RED, None),
    ("a draft that is marked by a string", [part(BLUE), part(RED, thought="true")], BLUE, None),
    ("a broken image after the image", [part(RED), part(RED[:-20])], RED, None),
    ("JPEG declared as PNG", [part(JPEG)], JPEG, None),
    ("an image declared as text", [part(RED, "text/plain")], RED, None),
]


@pytest.mark.parametrize(("parts", "data", "text"), [row[1:] for row in FOUND], ids=[row[0] for row in FOUND])
async def test_image_is_found_among_the_parts(
    rig: ChainRig, parts: list[dict[str, Any]], data: bytes, text: str | None
) -> None:
    rig.fake_gemini.script.add(finished("STOP", *parts))
    made = await rig.generate()
    assert made.image.data == data
    assert made.image.mime_type == ("image/jpeg" if data == JPEG else "image/png")
    assert (made.image.width, made.image.height) == (8, 6)
    assert made.text == text


def without_end(kind: str) -> bytes:
    return image("red", kind, (64, 48))[: -2 if kind == "JPEG" else -12]


def with_bad_text(where: str) -> bytes:
    """Return a PNG with a text chunk whose checksum is wrong, at the front or before the end."""
    whole = image("red", "PNG", (64, 48))
    at = 33 if where == "front" else len(whole) - 12
    return whole[:at] + struct.pack(">I", 9) + b"tEXtComment\0x" + b"\0\0\0\0" + whole[at:]


REPAIRED = [
    ("a JPEG without its end mark", without_end("JPEG")),
    ("a PNG without its end", without_end("PNG")),
    ("a PNG with a bad text chunk at its front", with_bad_text("front")),
    ("a PNG with a bad text chunk at its end", with_bad_text("end")),
    ("a JPEG whose last bytes are missing", image("red", "JPEG", (64, 48))[:-12]),
]


@pytest.mark.parametrize("data", [row[1] for row in REPAIRED], ids=[row[0] for row in REPAIRED])
async def test_incomplete_image_that_can_be_decoded_is_kept(rig: ChainRig, data: bytes) -> None:
    rig.fake_gemini.script.add(finished("STOP", part(data)))
    made = await rig.generate()
    assert len(rig.models) == 1
    with Image.open(io.BytesIO(made.image.data)) as opened:
        opened.load()
        red = opened.convert("RGB").getpixel((10, 10))
    assert isinstance(red, tuple)
    assert red[0] > 200
    assert metadata.whole(made.image.data, made.image.mime_type)


@pytest.mark.parametrize("kind", ["GIF", "BMP", "TIFF"])
async def test_image_of_another_type_becomes_a_png(rig: ChainRig, kind: str) -> None:
    rig.fake_gemini.script.add(finished("STOP", part(image("red", kind, (64, 48)))))
    made = await rig.generate()
    assert (len(rig.models), made.image.mime_type, made.image.width) == (1, "image/png", 64)
    with Image.open(io.BytesIO(made.image.data)) as opened:
        assert opened.convert("RGB").getpixel((10, 10)) == (255, 0, 0)


async def test_valid_image_is_preferred_to_one_that_must_be_repaired(rig: ChainRig) -> None:
    rig.fake_gemini.script.add(finished("STOP", part(RED), part(without_end("JPEG"))))
    assert (await rig.generate()).image.data == RED


NONE: list[tuple[str, Scripted]] = [
    ("no candidates", Scripted(200, {"candidates": []})),
    ("candidates null", Scripted(200, {"candidates": None})),
    ("no content", Scripted(200, {"candidates": [{"finishReason": "STOP"}]})),
    ("parts null", Scripted(200, {"candidates": [{"content": {"parts": None}, "finishReason": "STOP"}]})),
    ("only a thought", finished("STOP", {"text": "hm", "thought": True})),
    ("only text", finished("STOP", {"text": "a"})),
    ("an image that cannot be opened", finished("STOP", part(b"not an image at all"))),
    ("an image that is cut off", finished("STOP", part(RED[:45]))),
    ("an empty image", finished("STOP", part(b""))),
]


@pytest.mark.parametrize("reply", [row[1] for row in NONE], ids=[row[0] for row in NONE])
async def test_answer_without_an_image_is_retried_and_then_an_error(rig: ChainRig, reply: Scripted) -> None:
    rig.fake_gemini.script.add(*(Scripted(200, reply.body) for _ in range(6)))
    with pytest.raises(NoImage) as caught:
        await rig.generate()
    assert not isinstance(caught.value, Refused)
    assert caught.value.body()["retryable"] is True
    assert caught.value.details
    assert len(rig.attempts) == 6


REFUSALS = [
    "SAFETY", "IMAGE_SAFETY", "PROHIBITED_CONTENT", "IMAGE_PROHIBITED_CONTENT", "RECITATION", "IMAGE_RECITATION",
    "BLOCKLIST", "SPII", "LANGUAGE", "ESCALATION", "IMAGE_SAFETY_BY_ANOTHER_NAME",
]  # fmt: skip


@pytest.mark.parametrize("reason", REFUSALS)
async def test_refusal_has_advice_and_is_not_retried(rig: ChainRig, reason: str) -> None:
    rig.fake_gemini.script.add(finished(reason, {"text": "No."}))
    with pytest.raises(Refused) as caught:
        await rig.generate()
    body = caught.value.body()
    assert (body["error"], body["code"], body["finishReason"], body["text"]) == (
        "No image was generated", "refused", reason, "No.",
    )  # fmt: skip
    assert "Change the" in body["details"]
    assert len(rig.fake_gemini.calls) == 1


@pytest.mark.parametrize("reason", ["SAFETY", "OTHER", "PROHIBITED_CONTENT", "A_NEW_ONE"])
async def test_blocked_prompt_is_a_refusal_for_any_reason(rig: ChainRig, reason: str) -> None:
    rig.fake_gemini.script.add(Scripted(200, {"promptFeedback": {"blockReason": reason}}))
    with pytest.raises(Refused) as caught:
        await rig.generate()
    assert caught.value.finish_reason == reason


@pytest.mark.parametrize("reason", ["NO_IMAGE", "IMAGE_OTHER", "OTHER", "MAX_TOKENS", "A_NEW_ONE", None])
async def test_other_finish_reason_is_reported_and_retried(rig: ChainRig, reason: str | None) -> None:
    rig.fake_gemini.script.add(*(finished(reason) for _ in range(6)))
    with pytest.raises(NoImage) as caught:
        await rig.generate()
    assert caught.value.finish_reason == reason


async def test_unknown_finish_reason_causes_no_python_warning(rig: ChainRig) -> None:
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        warnings.filterwarnings("ignore", "Inheritance class AiohttpClientSession", DeprecationWarning)
        rig.fake_gemini.script.add(finished("AN_UNKNOWN_REASON", part(RED)))
        await rig.generate()
    assert [str(warning.message) for warning in warned] == []


async def test_lone_surrogate_in_the_text_does_not_lose_the_image(rig: ChainRig) -> None:
    rig.fake_gemini.script.add(finished("STOP", {"text": "caf\ud83d"}, part(RED)))
    made = await rig.generate()
    assert (made.text, made.image.data) == ("caf?", RED)


async def test_long_finish_reason_is_cut(rig: ChainRig) -> None:
    rig.fake_gemini.script.add(Scripted(200, {"promptFeedback": {"blockReason": "A" * 100_000}}))
    with pytest.raises(Refused) as caught:
        await rig.generate()
    assert caught.value.finish_reason == "A" * 64


def test_every_finish_reason_about_images_has_a_sentence() -> None:
    from google.genai import types  # noqa: PLC0415 - the SDK is loaded where it is needed

    about_calls_of_tools = ("TOOL", "FUNCTION", "SIGNATURE", "MALFORMED", "UNSPECIFIED")
    known = {reason.value for reason in (*types.FinishReason, *types.BlockedReason)}
    about_images = {reason for reason in known if not any(word in reason for word in about_calls_of_tools)}
    assert {reason for reason in about_images if reason not in SENTENCES} <= {
        *("JAILBREAK", "MODEL_ARMOR"),  # Vertex AI; as block reasons they are refusals
        *("CONTINUATION", "PUP_LIMITED_DISABLED"),  # not about images; the second is about the operator's account
    }
    assert all(sentence.endswith(".") for sentence in SENTENCES.values())


async def test_broken_base64_is_an_invalid_reply(rig: ChainRig) -> None:
    broken = {"inlineData": {"mimeType": "image/png", "data": "@@@not base64@@@"}}
    rig.fake_gemini.script.add(*(finished("STOP", broken) for _ in range(6)))
    with pytest.raises((ModelUnavailable, NoImage)):
        await rig.generate()
    assert {attempt.outcome for attempt in rig.attempts} <= {"invalid_reply", "no_image"}


async def test_image_of_twenty_megabytes_is_returned(rig: ChainRig) -> None:
    out = io.BytesIO()
    Image.new("RGB", (2600, 2600)).save(out, "PNG", compress_level=0)
    rig.fake_gemini.script.add(finished("STOP", part(out.getvalue())))
    made = await rig.generate()
    assert len(made.image.data) > 20_000_000
    assert made.image.width == 2600


async def test_tokens_are_counted_by_modality_and_priced(rig: ChainRig) -> None:
    made = await rig.generate("x" * 400)
    assert made.usage.output_by_modality == {"IMAGE": 1120, "TEXT": 16, "THOUGHTS": 48}
    assert made.usage.input_by_modality == {"TEXT": 100, "IMAGE": 560}
    assert made.usage.cost_usd == pytest.approx(rig.fake_gemini.billed_usd)
    assert made.usage.cost_usd == pytest.approx(660 * 2e-6 + 1120 * 120e-6 + (16 + 48) * 12e-6)


async def test_thoughts_and_tokens_without_a_modality_are_counted(rig: ChainRig) -> None:
    usage = {"promptTokenCount": 10, "candidatesTokenCount": 1120, "thoughtsTokenCount": 50}
    rig.fake_gemini.script.add(finished("STOP", part(RED), usage=usage))
    made = await rig.generate()
    assert made.usage.output_by_modality == {"IMAGE": 1120, "THOUGHTS": 50}
    assert (made.usage.input_tokens, made.usage.output_tokens) == (10, 1170)


async def test_billed_refusal_has_its_usage_in_the_attempt(rig: ChainRig) -> None:
    rig.fake_gemini.script.add(finished("IMAGE_SAFETY", usage={"promptTokenCount": 300, "candidatesTokenCount": 20}))
    with pytest.raises(Refused):
        await rig.generate()
    usage = rig.attempts[0].usage
    assert usage is not None
    assert usage.cost_usd == pytest.approx(300 * 2e-6 + 20 * 12e-6)
