"""Images are streamed around the SDK: the wire has the bytes that the SDK writes, and its answers are read alike."""

import base64
import gzip
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from aiohttp import JsonPayload, web
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from google import genai
from google.genai import types

from image_core.images.image import Image
from image_core.models.gemini.client import API_VERSION, Gemini, _answer_of
from image_core.models.gemini.response import read
from image_core.models.gemini.streaming import CHUNK_BYTES, LONG, Exchange, PlaceholderLost, SentTwice, StreamedBody
from image_core.models.provider import Call, CallFailed, Reply
from tests.support.harness import sample_image
from tests.support.model_chain import PRO, FakeInputs

CUP = Image(sample_image(), "image/jpeg", 600, 400)
OTHER = Image(sample_image("coffee.jpg")[::-1], "image/png", 600, 400)
PROMPT = 'say "data": "x" \\ und Käse'

Answering = Callable[[web.Request], Awaitable[web.Response]]


@dataclass(slots=True)
class Service:
    """A server that records requests."""

    url: str = ""
    headers: list[dict[str, str]] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)


@asynccontextmanager
async def serving(answer: Answering, tls: ssl.SSLContext | None = None) -> AsyncIterator[Service]:
    service = Service()

    async def recorded(request: web.Request) -> web.Response:
        service.headers.append({name.lower(): value for name, value in request.headers.items()})
        service.bodies.append(await request.read())
        return await answer(request)

    app = web.Application(client_max_size=100_000_000)
    app.router.add_route("*", "/{path:.*}", recorded)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
    service.url = f"{'http' if tls is None else 'https'}://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield service
    finally:
        await runner.cleanup()


async def call_model(service: Service, inputs: FakeInputs, exchange: type[Exchange] = Exchange) -> Reply:
    gemini = Gemini("key", service.url, exchange=exchange)
    try:
        return await gemini.generate(Call(PRO, PROMPT, "16:9", "2K"), inputs, 30)
    finally:
        await gemini.close()


async def call_by_the_sdk_only(service: Service, images: tuple[Image, ...]) -> types.GenerateContentResponse:
    options = types.HttpOptions(base_url=service.url, api_version=API_VERSION)
    client = genai.Client(api_key="key", vertexai=False, http_options=options)
    parts = [types.Part.from_bytes(data=each.data, mime_type=each.mime_type) for each in images]
    config = types.GenerateContentConfig(
        response_modalities=["TEXT", "IMAGE"],
        image_config=types.ImageConfig(aspect_ratio="16:9", image_size="2K"),
        max_output_tokens=1120 + 2048 + 1024,
        automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
        automatic_continuation=False,
        http_options=types.HttpOptions(timeout=30_000),
    )
    contents = [types.Content(role="user", parts=[*parts, types.Part.from_text(text=PROMPT)])]
    try:
        return await client.aio.models.generate_content(model=PRO, contents=contents, config=config)
    finally:
        await client.aio.aclose()


def reply(*parts: Any) -> dict[str, Any]:
    return {"candidates": [{"content": {"parts": list(parts), "role": "model"}, "finishReason": "STOP"}]}


def part(data: str, **more: Any) -> dict[str, Any]:
    return {"inlineData": {"mimeType": "image/jpeg", "data": data}, **more}


PLAIN = base64.b64encode(CUP.data).decode()


async def answer_with_a_cup(_: web.Request) -> web.Response:
    return web.json_response(reply(part(PLAIN)))


@pytest.mark.parametrize("images", [(), (CUP,), (CUP, OTHER, CUP)], ids=["none", "one", "one of them twice"])
async def test_request_equals_that_of_the_sdk_alone(images: tuple[Image, ...]) -> None:
    async with serving(answer_with_a_cup) as service:
        await call_by_the_sdk_only(service, images)
        await call_model(service, FakeInputs(images))
    of_sdk, streamed = map(json.loads, service.bodies)
    for sdk_part in of_sdk["contents"][0]["parts"][:-1]:  # the SDK uses the URL-safe alphabet; the service accepts both
        data = base64.urlsafe_b64decode(sdk_part["inlineData"]["data"])
        sdk_part["inlineData"]["data"] = base64.b64encode(data).decode()
    assert streamed == of_sdk
    same = ("content-type", "content-length", "x-goog-api-key", "x-server-timeout", "user-agent")
    assert {name: service.headers[1].get(name) for name in same} == {
        name: service.headers[0].get(name) for name in same
    }
    assert service.headers[1]["accept-encoding"] == "identity"


FORMS: list[tuple[str, str | bytes]] = [
    ("compact", json.dumps(reply(part(PLAIN)), separators=(",", ":"))),
    ("indented", json.dumps(reply(part(PLAIN)), indent=2)),
    ("in the URL-safe alphabet", json.dumps(reply(part(base64.urlsafe_b64encode(CUP.data).decode())))),
    ("without padding", json.dumps(reply(part(PLAIN.rstrip("="))))),
    ("with escaped slashes", json.dumps(reply(part(PLAIN))).replace("/", "\\/")),
    ("with an escaped equals sign", json.dumps(reply(part(PLAIN))).replace("=", "\\u003d")),
    ("after a draft", json.dumps(reply(part(base64.b64encode(OTHER.data).decode(), thought=True), part(PLAIN)))),
    ("with a long signature", json.dumps(reply(part(PLAIN, thoughtSignature="QUJD" * LONG)))),
    ("after a text that resembles it", json.dumps(reply({"text": '"data": "' + "QUJD" * LONG + '"'}, part(PLAIN)))),
]


@pytest.mark.parametrize("body", [row[1] for row in FORMS], ids=[row[0] for row in FORMS])
@pytest.mark.parametrize("coding", ["identity", "gzip"])
async def test_image_is_returned_as_the_service_sent_it(body: str, coding: str) -> None:
    raw = body.encode() if coding == "identity" else gzip.compress(body.encode())

    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=raw, content_type="application/json", headers={"Content-Encoding": coding})

    async with serving(answer) as service:
        got = await call_model(service, FakeInputs((CUP,)))
        alone = await call_by_the_sdk_only(service, (CUP,))
    assert got.image is not None
    assert got.image.data == CUP.data
    parts = (alone.candidates or [])[0].content.parts or []  # type: ignore[union-attr] # the SDK's types have None everywhere
    assert got.text == ("".join(each.text for each in parts if each.text) or None)


WRAPPED = json.dumps(reply(part(base64.encodebytes(CUP.data).decode())))

# Responses of paid calls that the SDK alone cannot read, with something invalid in the image or beside it.
INVALID_PARTS: list[tuple[str, str]] = [
    ("line breaks in the base64", WRAPPED),
    ("raw line breaks in the base64", WRAPPED.replace("\\n", "\r\n")),
    (
        "one character too many",
        json.dumps(reply(part(base64.b64encode(CUP.data + b"\0" * (-len(CUP.data) % 3)).decode() + "A"))),
    ),
    ("usage that is a string", json.dumps({**reply(part(PLAIN)), "usageMetadata": "none"})),
    ("a count that is a list", json.dumps({**reply(part(PLAIN)), "usageMetadata": {"promptTokenCount": [1]}})),
    (
        "ratings that are a number",
        json.dumps({"candidates": [{**reply(part(PLAIN))["candidates"][0], "safetyRatings": 5}]}),
    ),
    ("a part that is a string", json.dumps(reply("word", None, part(PLAIN)))),
    ("a text that is a number", json.dumps(reply({"text": 5}, part(PLAIN)))),
    (
        "a finish reason that is an object",
        json.dumps({"candidates": [{**reply(part(PLAIN))["candidates"][0], "finishReason": {}}]}),
    ),
    ("a feedback that is a list", json.dumps({**reply(part(PLAIN)), "promptFeedback": []})),
    ("names in snake case", json.dumps(reply({"inline_data": {"mime_type": "image/jpeg", "data": PLAIN}}))),
    ("an array around it", json.dumps([reply(part(PLAIN))])),
    (
        "a second candidate that has it",
        json.dumps({"candidates": [{"finishReason": "STOP"}, *reply(part(PLAIN))["candidates"]]}),
    ),
    ("an error that is null", json.dumps({**reply(part(PLAIN)), "error": None})),
]


@pytest.mark.parametrize("body", [row[1] for row in INVALID_PARTS], ids=[row[0] for row in INVALID_PARTS])
async def test_image_is_found_beside_invalid_parts(body: str) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(text=body, content_type="application/json")

    async with serving(answer) as service:
        got = await call_model(service, FakeInputs((CUP,)))
    assert len(service.bodies) == 1
    assert got.image is not None
    assert got.image.data.rstrip(b"\0") == CUP.data
    assert got.image.mime_type == "image/jpeg"


BROKEN = [
    ("an invalid character", part("!" + PLAIN[1:])),
    ("padding in the middle", part(PLAIN[:2000] + "==" + PLAIN[2000:])),
]


@pytest.mark.parametrize("broken", [row[1] for row in BROKEN], ids=[row[0] for row in BROKEN])
async def test_invalid_base64_is_no_image(broken: dict[str, Any]) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.json_response(reply(broken))

    async with serving(answer) as service:
        got = await call_model(service, FakeInputs((CUP,)))
    assert (got.image, got.refused) == (None, False)


async def test_broken_draft_does_not_lose_the_image() -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.json_response(reply(part("!" * 2 * LONG, thought=True), part(PLAIN)))

    async with serving(answer) as service:
        got = await call_model(service, FakeInputs((CUP,)))
    assert got.image is not None


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_redirect_is_not_followed(status: int) -> None:
    async with serving(answer_with_a_cup) as elsewhere:

        async def moved(_: web.Request) -> web.Response:
            return web.Response(status=status, headers={"Location": f"{elsewhere.url}/v1beta/x"})

        async with serving(moved) as service:
            with pytest.raises(CallFailed):
                await call_model(service, FakeInputs((CUP,)))
    assert len(service.bodies) == 1
    assert elsewhere.bodies == []


async def test_inputs_are_released_after_they_are_sent_and_before_the_response() -> None:
    inputs = FakeInputs((CUP, OTHER))
    times_sent: list[int] = []

    async def answer(_: web.Request) -> web.Response:
        times_sent.append(inputs.times_sent)
        return web.json_response(reply(part(PLAIN)))

    async with serving(answer) as service:
        await call_model(service, inputs)
    assert times_sent == [1]
    assert inputs.times_sent == 1
    size = len(json.dumps(reply(part(PLAIN))))
    assert inputs.waited_for == [size]
    assert inputs.more == [size * 3 // 4]  # what is decoded from it


async def test_closed_exchange_holds_no_bytes() -> None:
    body = json.dumps(reply(part(PLAIN))).encode()
    with Exchange(FakeInputs((CUP,)), (CUP,), 0.0) as exchange:
        exchange.with_placeholders(body)
        assert exchange.received_bytes == len(PLAIN)
        assert len(list(exchange.placeholders())) == 1
    assert exchange.received_bytes == 0
    assert list(exchange.placeholders()) == []


async def test_request_without_exactly_one_placeholder_for_an_image_is_not_sent() -> None:
    for body in (JsonPayload({"contents": []}), b"", None):
        with pytest.raises(PlaceholderLost):
            await Exchange(FakeInputs((CUP,)), (CUP,), 0.0).payload(body)
    twice = Exchange(FakeInputs((CUP,)), (CUP,), 0.0)
    ((mark, _),) = twice.placeholders()
    whole = JsonPayload({"data": base64.b64encode(mark).decode()})
    assert await twice.payload(whole) is not None
    with pytest.raises(SentTwice):
        await twice.payload(whole)


@pytest.mark.parametrize("size", [0, 1, 2, 3, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES + 2])
async def test_streamed_body_has_its_announced_size(size: int) -> None:
    data = bytes(range(256)) * (size // 256 + 1)
    sent: list[bool] = []
    streamed = StreamedBody([b"<", Image(data[:size], "image/png", 1, 1), b">"], lambda: sent.append(True))
    written = _Written()
    await streamed.write(written)  # type: ignore[arg-type] # it has the only method that is used
    assert written.all == b"<" + base64.b64encode(data[:size]) + b">"
    assert streamed.size == len(written.all)
    assert sent == [True]


class _Written:
    def __init__(self) -> None:
        self.all = b""

    async def write(self, chunk: bytes) -> None:
        self.all += chunk


def certificate(folder: Path) -> Path:
    """Write a self-signed certificate for 127.0.0.1 and its key to one file."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path = folder / "both.pem"
    path.write_bytes(private + made.public_bytes(Encoding.PEM))
    return path


@pytest.mark.parametrize("trusted", [True, False])
async def test_only_a_service_with_a_trusted_certificate_is_called(
    trusted: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = certificate(tmp_path)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(both)
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(both))
    async with serving(answer_with_a_cup, tls) as service:
        if trusted:
            assert (await call_model(service, FakeInputs((CUP,)))).image is not None
        else:
            with pytest.raises(CallFailed) as caught:
                await call_model(service, FakeInputs((CUP,)))
            assert caught.value.lost
    assert len(service.bodies) == trusted


async def test_answer_without_its_raw_body_is_read_from_the_sdks_types() -> None:
    answer = types.GenerateContentResponse.model_validate(
        {
            **reply({"text": "Here."}, part(PLAIN)),
            "usageMetadata": {"promptTokenCount": 7, "candidatesTokenCount": 1120},
        }
    )
    with Exchange(FakeInputs(()), (), 0.0) as exchange:
        got = read(_answer_of(answer, None), PRO, exchange.data)
    assert got.image is not None
    assert (got.image.data, got.text, got.finish_reason) == (CUP.data, "Here.", "STOP")
    assert got.usage is not None
    assert got.usage.output_by_modality == {"IMAGE": 1120}


class WithoutPlaceholders(Exchange):
    """An exchange without a placeholder in its request, as with a release of the SDK that writes bodies differently."""

    async def payload(self, body: object) -> StreamedBody | None:
        if not self._sdk_alone:
            raise PlaceholderLost
        return await super().payload(body)


@pytest.mark.parametrize("images", [(CUP,), (CUP, OTHER, CUP)], ids=["one", "one of them twice"])
async def test_lost_placeholders_lead_to_the_same_call_by_the_sdk_alone(
    images: tuple[Image, ...], caplog: pytest.LogCaptureFixture
) -> None:
    inputs = FakeInputs(images)
    async with serving(answer_with_a_cup) as service:
        got = await call_model(service, inputs, WithoutPlaceholders)
        await call_by_the_sdk_only(service, images)
    after_loss, sdk_only = service.bodies
    assert after_loss == sdk_only
    assert got.image is not None
    assert got.image.data == CUP.data
    assert inputs.times_sent == 1
    assert "google-genai writes its requests in a new way" in caplog.text
