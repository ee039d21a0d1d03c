"""What a reply holds: the image among drafts and words, the reason where there is none, and what it cost."""

import io
import os
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
    ("text around it is joined", [{"text": "a"}, part(RED), {"text": "b"}], RED, "ab"),
    ("the last of two", [part(BLUE), part(RED)], RED, None),
    ("the last of ten", [*[part(BLUE)] * 9, part(RED)], RED, None),
    ("not the draft behind it", [part(RED), part(BLUE, thought=True)], RED, None),
    ("not what was thought", [{"text": "hm", "thought": True}, part(RED)], RED, None),
    ("the last draft where there is nothing else", [part(BLUE, thought=True), part(RED, thought=True)], RED, None),
    ("a draft that says so in a string", [part(BLUE), part(RED, thought="true")], BLUE, None),
    ("a broken last one is none", [part(RED), part(RED[:-20])], RED, None),
    ("JPEG that says PNG", [part(JPEG)], JPEG, None),
    ("an image that says it is text", [part(RED, "text/plain")], RED, None),
]


@pytest.mark.parametrize(("parts", "data", "text"), [row[1:] for row in FOUND], ids=[row[0] for row in FOUND])
async def test_image_is_found_among_the_parts(
    bench: ChainRig, parts: list[dict[str, Any]], data: bytes, text: str | None
) -> None:
    bench.fake_gemini.script.add(finished("STOP", *parts))
    made = await bench.generate()
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
async def test_incomplete_image_that_can_be_decoded_is_kept(bench: ChainRig, data: bytes) -> None:
    bench.fake_gemini.script.add(finished("STOP", part(data)))
    made = await bench.generate()
    assert len(bench.models) == 1
    with Image.open(io.BytesIO(made.image.data)) as opened:
        opened.load()
        red = opened.convert("RGB").getpixel((10, 10))
    assert isinstance(red, tuple)
    assert red[0] > 200
    assert metadata.whole(made.image.data, made.image.mime_type)


@pytest.mark.parametrize("kind", ["GIF", "BMP", "TIFF"])
async def test_image_of_a_kind_that_is_not_kept_becomes_a_png(bench: ChainRig, kind: str) -> None:
    bench.fake_gemini.script.add(finished("STOP", part(image("red", kind, (64, 48)))))
    made = await bench.generate()
    assert (len(bench.models), made.image.mime_type, made.image.width) == (1, "image/png", 64)
    with Image.open(io.BytesIO(made.image.data)) as opened:
        assert opened.convert("RGB").getpixel((10, 10)) == (255, 0, 0)


async def test_whole_image_goes_before_one_that_must_be_repaired(bench: ChainRig) -> None:
    bench.fake_gemini.script.add(finished("STOP", part(RED), part(without_end("JPEG"))))
    assert (await bench.generate()).image.data == RED


NONE: list[tuple[str, Scripted]] = [
    ("no candidates", Scripted(200, {"candidates": []})),
    ("candidates null", Scripted(200, {"candidates": None})),
    ("no content", Scripted(200, {"candidates": [{"finishReason": "STOP"}]})),
    ("parts null", Scripted(200, {"candidates": [{"content": {"parts": None}, "finishReason": "STOP"}]})),
    ("only words that were thought", finished("STOP", {"text": "hm", "thought": True})),
    ("only words", finished("STOP", {"text": "a"})),
    ("a picture that cannot be opened", finished("STOP", part(b"not an image at all"))),
    ("a picture that is cut off", finished("STOP", part(RED[:45]))),
    ("an empty picture", finished("STOP", part(b""))),
]


@pytest.mark.parametrize("reply", [row[1] for row in NONE], ids=[row[0] for row in NONE])
async def test_answer_without_an_image_is_retried_and_then_an_error(bench: ChainRig, reply: Scripted) -> None:
    bench.fake_gemini.script.add(*(Scripted(200, reply.body) for _ in range(6)))
    with pytest.raises(NoImage) as caught:
        await bench.generate()
    assert not isinstance(caught.value, Refused)
    assert caught.value.body()["retryable"] is True
    assert caught.value.details
    assert len(bench.attempts) == 6


REFUSALS = [
    "SAFETY", "IMAGE_SAFETY", "PROHIBITED_CONTENT", "IMAGE_PROHIBITED_CONTENT", "RECITATION", "IMAGE_RECITATION",
    "BLOCKLIST", "SPII", "LANGUAGE", "ESCALATION", "IMAGE_SAFETY_OF_TOMORROW",
]  # fmt: skip


@pytest.mark.parametrize("reason", REFUSALS)
async def test_a_refusal_says_what_to_do_and_is_never_retried(bench: ChainRig, reason: str) -> None:
    bench.fake_gemini.script.add(finished(reason, {"text": "No."}))
    with pytest.raises(Refused) as caught:
        await bench.generate()
    body = caught.value.body()
    assert (body["error"], body["code"], body["finishReason"], body["text"]) == (
        "No image was generated", "refused", reason, "No.",
    )  # fmt: skip
    assert "Change the" in body["details"]
    assert len(bench.fake_gemini.calls) == 1


@pytest.mark.parametrize("reason", ["SAFETY", "OTHER", "PROHIBITED_CONTENT", "A_NEW_ONE"])
async def test_a_blocked_prompt_is_a_refusal_whatever_the_reason(bench: ChainRig, reason: str) -> None:
    bench.fake_gemini.script.add(Scripted(200, {"promptFeedback": {"blockReason": reason}}))
    with pytest.raises(Refused) as caught:
        await bench.generate()
    assert caught.value.finish_reason == reason


@pytest.mark.parametrize("reason", ["NO_IMAGE", "IMAGE_OTHER", "OTHER", "MAX_TOKENS", "A_NEW_ONE", None])
async def test_another_reason_is_data_and_tried_again(bench: ChainRig, reason: str | None) -> None:
    bench.fake_gemini.script.add(*(finished(reason) for _ in range(6)))
    with pytest.raises(NoImage) as caught:
        await bench.generate()
    assert caught.value.finish_reason == reason


async def test_a_new_reason_is_no_warning_in_the_log(bench: ChainRig) -> None:
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        warnings.filterwarnings("ignore", "Inheritance class AiohttpClientSession", DeprecationWarning)
        bench.fake_gemini.script.add(finished("A_REASON_OF_TOMORROW", part(RED)))
        await bench.generate()
    assert [str(warning.message) for warning in warned] == []


async def test_lone_surrogate_in_the_text_does_not_lose_the_image(bench: ChainRig) -> None:
    bench.fake_gemini.script.add(finished("STOP", {"text": "caf\ud83d"}, part(RED)))
    made = await bench.generate()
    assert (made.text, made.image.data) == ("caf?", RED)


async def test_a_reason_of_any_length_is_cut(bench: ChainRig) -> None:
    bench.fake_gemini.script.add(Scripted(200, {"promptFeedback": {"blockReason": "A" * 100_000}}))
    with pytest.raises(Refused) as caught:
        await bench.generate()
    assert caught.value.finish_reason == "A" * 64


def test_every_known_reason_has_a_sentence_for_a_person() -> None:
    from google.genai import types  # noqa: PLC0415 - the SDK is loaded where it is needed

    about_calls_of_tools = ("TOOL", "FUNCTION", "SIGNATURE", "MALFORMED", "UNSPECIFIED")
    known = {reason.value for reason in (*types.FinishReason, *types.BlockedReason)}
    pictures = {reason for reason in known if not any(word in reason for word in about_calls_of_tools)}
    assert {reason for reason in pictures if reason not in SENTENCES} <= {
        *("JAILBREAK", "MODEL_ARMOR"),  # of Vertex AI; refusals by their being a block reason
        *("CONTINUATION", "PUP_LIMITED_DISABLED"),  # not of images; the second is the operator's matter
    }
    assert all(sentence.endswith(".") for sentence in SENTENCES.values())


async def test_broken_base64_is_no_reply(bench: ChainRig) -> None:
    broken = {"inlineData": {"mimeType": "image/png", "data": "@@@not base64@@@"}}
    bench.fake_gemini.script.add(*(finished("STOP", broken) for _ in range(6)))
    with pytest.raises((ModelUnavailable, NoImage)):
        await bench.generate()
    assert {attempt.outcome for attempt in bench.attempts} <= {"invalid_reply", "no_image"}


async def test_image_of_twenty_megabytes_is_returned(bench: ChainRig) -> None:
    noise = Image.frombytes("RGB", (2600, 2600), os.urandom(2600 * 2600 * 3))
    out = io.BytesIO()
    noise.save(out, "PNG", compress_level=0)
    bench.fake_gemini.script.add(finished("STOP", part(out.getvalue())))
    made = await bench.generate()
    assert len(made.image.data) > 20_000_000
    assert made.image.width == 2600


async def test_tokens_are_counted_by_modality_and_priced(bench: ChainRig) -> None:
    made = await bench.generate("x" * 400)
    assert made.usage.output_by_modality == {"IMAGE": 1120, "TEXT": 16, "THOUGHTS": 48}
    assert made.usage.input_by_modality == {"TEXT": 100, "IMAGE": 560}
    assert made.usage.cost_usd == pytest.approx(bench.fake_gemini.billed_usd)
    assert made.usage.cost_usd == pytest.approx(660 * 2e-6 + 1120 * 120e-6 + (16 + 48) * 12e-6)


async def test_thoughts_cost_too_and_what_the_details_leave_out_is_counted(bench: ChainRig) -> None:
    usage = {"promptTokenCount": 10, "candidatesTokenCount": 1120, "thoughtsTokenCount": 50}
    bench.fake_gemini.script.add(finished("STOP", part(RED), usage=usage))
    made = await bench.generate()
    assert made.usage.output_by_modality == {"IMAGE": 1120, "THOUGHTS": 50}
    assert (made.usage.input_tokens, made.usage.output_tokens) == (10, 1170)


async def test_a_refusal_that_was_billed_is_in_its_attempt(bench: ChainRig) -> None:
    bench.fake_gemini.script.add(finished("IMAGE_SAFETY", usage={"promptTokenCount": 300, "candidatesTokenCount": 20}))
    with pytest.raises(Refused):
        await bench.generate()
    usage = bench.attempts[0].usage
    assert usage is not None
    assert usage.cost_usd == pytest.approx(300 * 2e-6 + 20 * 12e-6)
