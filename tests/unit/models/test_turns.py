"""A model's turn is stored as received, and replayed byte for byte at its position in the conversation."""

import base64
import json
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import JsonPayload, web

from image_core.errors import ModelFailed
from image_core.images.image import Image
from image_core.models.gemini.client import Gemini
from image_core.models.gemini.streaming import LONG, Exchange, PlaceholderLost
from image_core.models.gemini.turns import model_turn
from image_core.models.generated import Generated
from image_core.models.provider import Call
from image_core.models.turns import MAX_TURN_BYTES, EarlierTurn, ModelTurn
from local.gemini.script import Scripted, expired_signature, finished, overloaded, problem
from local.gemini.server import FakeGemini
from tests.support.harness import sample_image
from tests.support.model_chain import CUP, NEXT, PRO, ChainRig, FakeInputs

SIGNATURE = base64.b64encode(b"signed" * LONG).decode()
DATA = base64.b64encode(sample_image()).decode()


def content(**changed: Any) -> dict[str, Any]:
    """Return a model's turn: a thought, a text and an image."""
    image = {"inlineData": {"mimeType": "image/jpeg", "data": DATA}, "thoughtSignature": SIGNATURE, **changed}
    return {
        "role": "model",
        "parts": [{"text": "Hm.", "thought": True}, {"text": "Käse", "thoughtSignature": "QUJD", "new": [1]}, image],
    }


def kept(body: str) -> ModelTurn | None:
    """Return the turn that the client keeps of an answer with one candidate."""
    exchange = Exchange(FakeInputs(()), (), 0.0)
    answer = json.loads(exchange.with_placeholders(body.encode()))
    return model_turn(answer["candidates"][0]["content"], exchange.strings)


def answer(turn: dict[str, Any]) -> str:
    return json.dumps({"candidates": [{"content": turn, "finishReason": "STOP"}]})


def as_json(turn: ModelTurn) -> Any:
    return json.loads(b"".join(turn.pieces))


@pytest.mark.parametrize(
    "form",
    [json.dumps, lambda value: json.dumps(value, indent=2), lambda value: json.dumps(value, separators=(",", ":"))],
    ids=["plain", "indented", "compact"],
)
def test_turn_is_kept_with_every_part_and_field_in_order(form: Callable[[Any], str]) -> None:
    turn = kept(form({"candidates": [{"content": content()}]}))
    assert turn is not None
    assert as_json(turn) == content()
    assert [list(part) for part in as_json(turn)["parts"]] == [list(part) for part in content()["parts"]]
    assert (turn.images, turn.characters, turn.size) == (1, 7, len(b"".join(turn.pieces)))


def test_long_strings_are_kept_as_received_and_share_the_memory_of_the_response() -> None:
    written = answer(content()).replace("/", "\\/")
    turn = kept(written)
    assert turn is not None
    assert DATA.replace("/", "\\/").encode() in b"".join(turn.pieces)
    assert sum(len(piece) for piece in turn.pieces if isinstance(piece, memoryview)) > turn.size * 0.9


@pytest.mark.parametrize("role", [None, "assistant"])
def test_role_of_a_kept_turn_is_model(role: str | None) -> None:
    turn = kept(answer({**content(), "role": role}))
    assert turn is not None
    assert as_json(turn)["role"] == "model"


NOT_KEPT = {
    "an image without a signature": {"thoughtSignature": None},
    "a signature that is a number": {"thoughtSignature": 5},
    "only a draft": {"thought": True},
    "no image": {"inlineData": None},
}


@pytest.mark.parametrize("changed", NOT_KEPT.values(), ids=NOT_KEPT.keys())
def test_turn_that_the_service_would_refuse_is_not_kept(changed: dict[str, Any]) -> None:
    assert kept(answer(content())) is not None
    assert kept(answer(content(**changed))) is None


def test_turn_that_is_too_long_is_not_kept() -> None:
    data = {"inlineData": {"mimeType": "image/png", "data": "A" * MAX_TURN_BYTES}}
    assert kept(answer(content(**data))) is None


def earlier(turn: ModelTurn, *images: Image, prompt: str = "a watercolor") -> EarlierTurn:
    return EarlierTurn(images, prompt, memoryview(b"".join(turn.pieces)))


async def sent(inputs: FakeInputs, *, exchange: type[Exchange] = Exchange) -> list[Any]:
    """Call the model with context and return the bodies of its requests."""
    bodies = []

    async def reply(request: web.Request) -> web.Response:
        bodies.append(await request.json())
        return web.json_response(json.loads(answer(content())))

    app = web.Application(client_max_size=100_000_000)
    app.router.add_route("*", "/{path:.*}", reply)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    settings = {"GEMINI_API_KEY": "key", "GOOGLE_GEMINI_BASE_URL": f"http://127.0.0.1:{runner.addresses[0][1]}"}
    gemini = Gemini(settings["GEMINI_API_KEY"], settings["GOOGLE_GEMINI_BASE_URL"], exchange=exchange)
    try:
        replied = await gemini.generate(Call(PRO, "brighter", in_context=True), inputs, 30)
        assert replied.in_context is bool(inputs.earlier)
    finally:
        await gemini.close()
        await runner.cleanup()
    return bodies


def user(prompt: str, *images: Image) -> dict[str, Any]:
    parts: list[dict[str, Any]] = [
        {"inlineData": {"mime_type": image.mime_type, "data": base64.b64encode(image.data).decode()}}
        for image in images
    ]
    return {"role": "user", "parts": [*parts, {"text": prompt}]}


async def test_earlier_turns_are_sent_between_their_prompts_and_the_new_prompt() -> None:
    turn = kept(answer(content()))
    assert turn is not None
    other = replace(CUP, data=CUP.data + b"\0")
    inputs = FakeInputs((CUP, other), (earlier(turn, CUP), earlier(turn, prompt='say "it"')), PRO)
    (body,) = await sent(inputs)
    assert body["contents"] == [
        user("a watercolor", CUP), content(), user('say "it"'), content(), user("brighter", other),
    ]  # fmt: skip
    assert inputs.times_sent == 1


async def test_without_turns_the_earlier_image_is_an_input() -> None:
    (body,) = await sent(FakeInputs((CUP,)))
    assert body["contents"] == [user("brighter", CUP)]


class WithoutPlaceholders(Exchange):
    """An exchange without a placeholder in its request."""

    async def payload(self, body: object) -> Any:
        if not self._sdk_alone:
            raise PlaceholderLost
        return await super().payload(body)


async def test_sdk_alone_sends_the_turns_too() -> None:
    turn = kept(answer({"role": "model", "parts": [content()["parts"][2]]}))
    assert turn is not None
    (body,) = await sent(FakeInputs((CUP,), (earlier(turn, CUP),), PRO), exchange=WithoutPlaceholders)
    (part,) = body["contents"][1]["parts"]
    assert base64.urlsafe_b64decode(part["thoughtSignature"]) == base64.b64decode(SIGNATURE)
    assert base64.urlsafe_b64decode(part["inlineData"]["data"]) == sample_image()


async def edited(rig: ChainRig, made: Generated, *images: Image, **options: Any) -> tuple[Generated, FakeInputs]:
    """Edit `made` with its turns as context."""
    assert made.turn is not None
    inputs = FakeInputs((made.image, *images), (earlier(made.turn, CUP),), made.model, continues=True)
    return await rig.generate("high contrast", inputs=inputs, **options), inputs


async def test_model_is_sent_its_own_turns(rig: ChainRig, fake_gemini: FakeGemini) -> None:
    made, _ = await edited(rig, await rig.generate(), CUP)
    assert (made.in_context, made.warnings, rig.outcomes) == (True, (), [(PRO, "ok")])
    assert [(call.turns, call.inputs) for call in fake_gemini.calls] == [(0, 1), (1, 1)]


async def test_other_model_is_sent_only_the_image(rig: ChainRig, fake_gemini: FakeGemini) -> None:
    made, _ = await edited(rig, await rig.generate(), CUP, model=NEXT)
    assert (made.model, made.in_context) == (NEXT, False)
    assert [warning.partition(":")[0] for warning in made.warnings] == ["context_not_kept"]
    assert f"the earlier turns are of {PRO}" in made.warnings[0]
    assert (fake_gemini.calls[-1].turns, fake_gemini.calls[-1].inputs) == (0, 2)


async def test_next_model_is_called_without_the_turns_of_a_model_that_is_down(
    rig: ChainRig, fake_gemini: FakeGemini
) -> None:
    first = await rig.generate()
    fake_gemini.script.add(overloaded(), overloaded())
    made, _ = await edited(rig, first)
    assert rig.outcomes == [(PRO, "model_unavailable"), (PRO, "model_unavailable"), (NEXT, "ok")]
    assert [call.turns for call in fake_gemini.calls[1:]] == [1, 1, 0]
    assert made.warnings[0].startswith("context_not_kept")


async def test_refused_signature_leads_to_one_more_call_without_the_turns(
    rig: ChainRig, fake_gemini: FakeGemini
) -> None:
    first = await rig.generate()
    fake_gemini.script.add(expired_signature())
    made, inputs = await edited(rig, first)
    assert rig.outcomes == [(PRO, "context_refused"), (PRO, "ok")]
    assert (made.in_context, [call.turns for call in fake_gemini.calls[1:]]) == (False, [1, 0])
    assert made.warnings[0].startswith("context_not_kept")
    assert inputs.times_sent == 2
    assert rig.slept == []
    assert fake_gemini.calls[1].billed_usd == 0


async def test_refusal_of_the_turns_does_not_count_as_an_attempt(rig: ChainRig, fake_gemini: FakeGemini) -> None:
    first = await rig.generate()
    fake_gemini.script.add(overloaded(), expired_signature(), overloaded())
    await edited(rig, first)
    assert rig.outcomes == [
        (PRO, "model_unavailable"), (PRO, "context_refused"), (PRO, "model_unavailable"), (NEXT, "ok"),
    ]  # fmt: skip


async def test_missing_turns_leave_the_image_as_an_input(rig: ChainRig, fake_gemini: FakeGemini) -> None:
    inputs = FakeInputs((CUP,), (), PRO, continues=True)
    made = await rig.generate(inputs=inputs)
    assert (made.in_context, fake_gemini.calls[-1].inputs) == (False, 1)
    assert "cannot be read" in made.warnings[0]


async def test_request_that_is_refused_also_without_the_turns_fails(rig: ChainRig, fake_gemini: FakeGemini) -> None:
    first = await rig.generate()
    fake_gemini.script.add(Scripted(400, problem(400, "INVALID_ARGUMENT", "No."), times=2))
    assert first.turn is not None
    inputs = FakeInputs((CUP,), (earlier(first.turn, CUP),), PRO, continues=True)
    with pytest.raises(ModelFailed, match="400 INVALID_ARGUMENT"):
        await rig.generate(inputs=inputs)
    assert rig.outcomes == [(PRO, "context_refused"), (PRO, "model_error")]


async def test_image_without_a_signature_leaves_no_turn(rig: ChainRig, fake_gemini: FakeGemini) -> None:
    fake_gemini.script.add(finished("STOP", {"inlineData": {"mimeType": "image/jpeg", "data": DATA}}))
    made = await rig.generate()
    assert made.turn is None


class CountingWriter:
    """A writer that counts the bytes."""

    size = 0

    async def write(self, chunk: bytes | memoryview) -> None:
        self.size += len(chunk)


async def test_turns_are_sent_without_copies() -> None:
    answer = b'{"role":"model","parts":["' + b"A" * 20_000_000 + b'"]}'
    with Exchange(FakeInputs(()), (), 0.0, turns=[EarlierTurn((), "x", memoryview(answer))] * 3) as exchange:
        placeholders = [base64.b64encode(turn.answer).decode() for turn in exchange.turns()]
        contents = [{"parts": [{"text": mark}], "role": "model"} for mark in placeholders]
        written = CountingWriter()
        tracemalloc.start()
        try:
            streamed = await exchange.payload(JsonPayload({"contents": contents}))
            assert streamed is not None
            await streamed.write(written)  # type: ignore[arg-type] # it has the only method that is used
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert written.size == streamed.size == 3 * len(answer) + len('{"contents": [, , ]}')
    assert peak < 1_000_000
