"""The fake Gemini behaves as the service does, over HTTP, as any client would call it."""

import base64
import io
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import pytest
from PIL import Image, ImageChops, ImageStat

from image_core.settings import DEFAULT_CHAIN
from local.gemini.paint import FRAME
from local.gemini.script import expired_signature
from local.gemini.server import SAYS, FakeGemini
from tests.support.harness import sample_image

PRO, NANO, LITE = DEFAULT_CHAIN
INVALID = (400, "INVALID_ARGUMENT")
Change = Callable[[list[dict[str, Any]]], list[dict[str, Any]]]


@pytest.fixture
async def http(fake_gemini: FakeGemini) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(fake_gemini.url, headers={"x-goog-api-key": "key"}) as session:
        yield session


def inline(data: bytes, mime_type: str = "image/jpeg") -> dict[str, Any]:
    return {"inlineData": {"mimeType": mime_type, "data": base64.b64encode(data).decode()}}


def request_of(*parts: dict[str, Any], prompt: str = "a watercolor", **image_config: str) -> dict[str, Any]:
    contents = [{"role": "user", "parts": [*parts, {"text": prompt}]}]
    return {"contents": contents, "generationConfig": {"imageConfig": image_config}}


async def ask(http: aiohttp.ClientSession, body: Any, model: str = PRO) -> tuple[int, dict[str, Any]]:
    async with http.post(f"/v1beta/models/{model}:generateContent", json=body) as response:
        return response.status, await response.json()


def opened(part: dict[str, Any]) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(part["inlineData"]["data"])))


async def generated(http: aiohttp.ClientSession, body: Any, model: str = PRO) -> Image.Image:
    status, answer = await ask(http, body, model)
    assert status == 200
    return opened(answer["candidates"][0]["content"]["parts"][-1])


def difference(one: Image.Image, other: Image.Image) -> float:
    """Return 0 for equal images, 255 for an image and its negative."""
    return sum(ImageStat.Stat(ImageChops.difference(one.convert("RGB"), other.convert("RGB"))).mean) / 3


async def test_answer_has_thoughts_as_of_pro_models_and_names_itself_a_fake(http: aiohttp.ClientSession) -> None:
    _, answer = await ask(http, request_of(inline(sample_image())))
    parts = answer["candidates"][0]["content"]["parts"]
    assert [sorted(part) for part in parts] == [
        ["text", "thought"], ["inlineData", "thought"],
        ["text", "thoughtSignature"], ["inlineData", "thoughtSignature"],
    ]  # fmt: skip
    assert parts[2]["text"] == SAYS
    assert "fake" in SAYS
    assert opened(parts[1]).size != opened(parts[3]).size
    usage = answer["usageMetadata"]
    assert usage["totalTokenCount"] == sum(
        usage[name] for name in ("promptTokenCount", "candidatesTokenCount", "thoughtsTokenCount")
    )


SIZES = [
    (PRO, {"aspectRatio": "16:9"}, (1376, 768), 1120),
    (PRO, {"aspectRatio": "2:3", "imageSize": "2K"}, (1696, 2528), 1120),
    (PRO, {"aspectRatio": "1:1", "imageSize": "4K"}, (4096, 4096), 2000),
    (PRO, {}, (1264, 848), 1120),
    (NANO, {"aspectRatio": "8:1", "imageSize": "2K"}, (6144, 768), 1680),
    (NANO, {"aspectRatio": "1:4"}, (512, 2048), 1120),
    (LITE, {"aspectRatio": "21:9"}, (1584, 672), 1120),
]


@pytest.mark.parametrize(("model", "config", "size", "tokens"), SIZES, ids=[f"{row[0]} {row[1]}" for row in SIZES])
async def test_images_have_the_documented_sizes_and_tokens(
    fake_gemini: FakeGemini,
    http: aiohttp.ClientSession,
    model: str,
    config: dict[str, str],
    size: tuple[int, int],
    tokens: int,
) -> None:
    fake_gemini.shrink = 1
    _, answer = await ask(http, request_of(inline(sample_image()), prompt="black and white", **config), model)
    assert opened(answer["candidates"][0]["content"]["parts"][-1]).size == size
    assert answer["usageMetadata"]["candidatesTokensDetails"][0] == {"modality": "IMAGE", "tokenCount": tokens}


@pytest.mark.parametrize(
    "prompt", ["a watercolor", "cyberpunk", "a pencil sketch", "black and white", "high contrast", "at sunset", "nicer"]
)
async def test_every_style_changes_the_image_without_erasing_it(http: aiohttp.ClientSession, prompt: str) -> None:
    size = (1264, 848)
    made = await generated(http, request_of(inline(sample_image()), prompt=prompt))
    assert difference(made, Image.open(io.BytesIO(sample_image())).resize(size)) > 5
    assert max(ImageStat.Stat(made.convert("L")).stddev) > 15


async def test_generated_image_shows_every_input(http: aiohttp.ClientSession) -> None:
    def plain(color: str) -> dict[str, Any]:
        out = io.BytesIO()
        Image.new("RGB", (300, 200), color).save(out, "PNG")
        return inline(out.getvalue(), "image/png")

    three = await generated(http, request_of(plain("red"), plain("green"), plain("blue"), prompt="high contrast"))
    for position, channel in enumerate((0, 1, 2)):
        pixel = three.getpixel((three.width * (2 * position + 1) // 6, three.height // 2))
        assert isinstance(pixel, tuple)
        assert max(range(3), key=lambda at: pixel[at]) == channel


REFUSED = [
    ("no key", {"x-goog-api-key": ""}, request_of(), PRO, (403, "PERMISSION_DENIED")),
    ("a wrong key", {"x-goog-api-key": "invalid"}, request_of(), PRO, INVALID),
    ("a revoked key", {"x-goog-api-key": "revoked"}, request_of(), PRO, (403, "PERMISSION_DENIED")),
    ("an unknown model", {}, request_of(), "gemini-1", (404, "NOT_FOUND")),
    ("an unknown ratio", {}, request_of(aspectRatio="5:1"), PRO, INVALID),
    ("an unknown size", {}, request_of(imageSize="8K"), PRO, INVALID),
    ("a size that the model does not make", {}, request_of(imageSize="2K"), LITE, INVALID),
    ("a ratio that the model does not make", {}, request_of(aspectRatio="1:8"), PRO, INVALID),
    ("too many images", {}, request_of(*[inline(sample_image())] * 15), PRO, INVALID),
    ("a model that was shut down", {}, request_of(), "gemini-2.5-flash-image", (404, "NOT_FOUND")),
    ("an unsupported type", {}, request_of(inline(b"GIF89a", "image/gif")), PRO, INVALID),
    ("an invalid image", {}, request_of(inline(b"not one")), PRO, INVALID),
    ("invalid base64", {}, request_of({"inlineData": {"mimeType": "image/png", "data": "x"}}), PRO, INVALID),
    ("no contents", {}, {"contents": None}, PRO, INVALID),
    ("not an object", {}, [], PRO, INVALID),
    ("a deadline that is too short", {"X-Server-Timeout": "9"}, request_of(), PRO, INVALID),
]


@pytest.mark.parametrize(
    ("headers", "body", "model", "expected"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED]
)
async def test_invalid_request_is_refused_as_by_the_service(
    fake_gemini: FakeGemini,
    http: aiohttp.ClientSession,
    headers: dict[str, str],
    body: Any,
    model: str,
    expected: tuple[int, str],
) -> None:
    async with http.post(f"/v1beta/models/{model}:generateContent", json=body, headers=headers) as response:
        error = (await response.json())["error"]
    assert (response.status, error["status"], error["code"]) == (*expected, expected[0])
    assert fake_gemini.calls[-1].status == expected[0]
    assert fake_gemini.billed_usd == 0
    if headers.get("x-goog-api-key") == "invalid":
        assert error["details"][0]["reason"] == "API_KEY_INVALID"


async def test_descriptions_of_models_cost_nothing(fake_gemini: FakeGemini, http: aiohttp.ClientSession) -> None:
    async with http.get("/v1beta/models") as response:
        assert f"models/{PRO}" in [model["name"] for model in (await response.json())["models"]]
    for model, status in ((PRO, 200), ("gemini-1", 404)):
        async with http.get(f"/v1beta/models/{model}") as response:
            assert response.status == status
    assert fake_gemini.calls == []


async def test_answers_can_be_scripted_over_http(http: aiohttp.ClientSession) -> None:
    script = [
        {"status": 503, "body": {"error": {"code": 503}}, "model": LITE, "times": 2, "headers": {"Retry-After": "3"}}
    ]
    async with http.post("/__script", json=script) as response:
        assert response.status == 200
    assert (await ask(http, request_of(inline(sample_image()))))[0] == 200
    async with http.post(f"/v1beta/models/{LITE}:generateContent", json=request_of()) as response:
        assert (response.status, response.headers["Retry-After"]) == (503, "3")
    assert (await ask(http, request_of(), LITE))[0] == 503
    async with http.get("/__calls") as response:
        recorded = await response.json()
    assert [(call["model"], call["status"]) for call in recorded["calls"]] == [(PRO, 200), (LITE, 503), (LITE, 503)]
    assert recorded["calls"][0]["bytes"] > len(sample_image())
    assert recorded["billedUsd"] > 0.13
    await http.delete("/__script")
    async with http.get("/__calls") as response:
        assert (await response.json())["calls"] == []


async def test_script_with_an_unknown_field_is_refused(http: aiohttp.ClientSession) -> None:
    async with http.post("/__script", json=[{"sttaus": 503}]) as response:
        assert response.status == 400


def conversation(answer: dict[str, Any], *parts: dict[str, Any], prompt: str = "at sunset") -> dict[str, Any]:
    """Return a request that continues the conversation after `answer`."""
    return {
        "contents": [
            {"role": "user", "parts": [inline(sample_image()), {"text": "a watercolor"}]},
            answer["candidates"][0]["content"],
            {"role": "user", "parts": [*parts, {"text": prompt}]},
        ]
    }


def turns_shown(image: Image.Image) -> int:
    """Return the number of framed images in the lower left corner."""
    row = image.height - 9  # through the lower edges of the frames
    colours = [image.getpixel((x, row)) == FRAME for x in range(image.width)]
    return sum(here and not before for before, here in zip([False, *colours], colours, strict=False))


async def test_conversation_continues_from_its_newest_image_and_shows_each_earlier_one(
    fake_gemini: FakeGemini, http: aiohttp.ClientSession
) -> None:
    _, first = await ask(http, request_of(inline(sample_image())))
    body = conversation(first, prompt="high contrast")
    status, second = await ask(http, body)
    assert status == 200
    assert second["usageMetadata"]["promptTokensDetails"][1] == {"modality": "IMAGE", "tokenCount": 3 * 560}
    body["contents"] += [second["candidates"][0]["content"], {"role": "user", "parts": [{"text": "high contrast"}]}]
    status, third = await ask(http, body)
    assert status == 200
    images = [opened(answer["candidates"][0]["content"]["parts"][-1]) for answer in (first, second, third)]
    assert [turns_shown(image) for image in images] == [0, 1, 2]
    assert [(call.turns, call.inputs, call.prompt) for call in fake_gemini.calls] == [
        (0, 1, "a watercolor"), (1, 0, "high contrast"), (2, 0, "high contrast"),
    ]  # fmt: skip
    upper = (0, 0, images[0].width, images[0].height // 2)
    contrast = await generated(http, request_of(inline(sample_image()), prompt="high contrast"))
    assert difference(images[1].crop(upper), images[0].crop(upper)) < difference(
        images[1].crop(upper), contrast.crop(upper)
    )


def without(part: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in part.items() if key != name}


CHANGED: dict[str, Change] = {
    "an image without its signature": lambda parts: [*parts[:3], without(parts[3], "thoughtSignature")],
    "a text without its signature": lambda parts: [*parts[:2], without(parts[2], "thoughtSignature"), parts[3]],
    "a changed signature": lambda parts: [
        *parts[:3],
        parts[3] | {"thoughtSignature": "AAAA" + parts[3]["thoughtSignature"][4:]},
    ],
    "a signature that is not base64": lambda parts: [*parts[:3], parts[3] | {"thoughtSignature": "%"}],
    "signatures on each other's parts": lambda parts: [
        *parts[:2],
        parts[2] | {"thoughtSignature": parts[3]["thoughtSignature"]},
        parts[3] | {"thoughtSignature": parts[2]["thoughtSignature"]},
    ],
    "another image under the signature": lambda parts: [*parts[:3], parts[3] | inline(sample_image())],
    "another text under the signature": lambda parts: [*parts[:2], parts[2] | {"text": "other"}, parts[3]],
    "a signature on a thought": lambda parts: [
        parts[0] | {"thoughtSignature": parts[2]["thoughtSignature"]},
        *parts[1:],
    ],
}


@pytest.mark.parametrize("change", CHANGED.values(), ids=CHANGED.keys())
async def test_replayed_turn_that_was_changed_is_refused(http: aiohttp.ClientSession, change: Change) -> None:
    _, answer = await ask(http, request_of(inline(sample_image())))
    assert (await ask(http, conversation(answer)))[0] == 200
    content = answer["candidates"][0]["content"]
    content["parts"] = change(content["parts"])
    status, refusal = await ask(http, conversation(answer))
    assert (status, refusal["error"]["status"]) == INVALID
    assert "signature" in refusal["error"]["message"]


async def test_missing_signature_is_refused_with_its_position(http: aiohttp.ClientSession) -> None:
    _, answer = await ask(http, request_of(inline(sample_image())))
    del answer["candidates"][0]["content"]["parts"][3]["thoughtSignature"]
    _, refusal = await ask(http, conversation(answer))
    assert refusal["error"]["message"].startswith(
        "Image part is missing a thought_signature in content position 2, part position 4."
    )


async def test_turn_of_another_model_is_refused(http: aiohttp.ClientSession) -> None:
    _, answer = await ask(http, request_of(inline(sample_image())))
    assert (await ask(http, conversation(answer), NANO))[0] == 400


async def test_turns_that_do_not_alternate_are_refused(http: aiohttp.ClientSession) -> None:
    _, answer = await ask(http, request_of(inline(sample_image())))
    user, model, last = conversation(answer)["contents"]
    for contents in ([user, model], [model, last], [user, last], [user, model, model, last], [user, user, model, last]):
        status, refusal = await ask(http, {"contents": contents})
        assert (status, refusal["error"]["status"]) == INVALID
        assert "multiturn" in refusal["error"]["message"]


async def test_signature_can_expire(fake_gemini: FakeGemini, http: aiohttp.ClientSession) -> None:
    _, answer = await ask(http, request_of(inline(sample_image())))
    fake_gemini.script.add(expired_signature())
    assert (await ask(http, request_of(inline(sample_image()))))[0] == 200
    assert (await ask(http, conversation(answer)))[0] == 400
    assert (await ask(http, conversation(answer)))[0] == 200
