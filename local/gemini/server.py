"""The fake Gemini's HTTP server: `/v1beta/models/{model}:generateContent` for google-genai, and routes for tests."""

import asyncio
import base64
import json
import time
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from image_core.models.catalog import MODELS as KNOWN
from image_core.models.catalog import MOST_EXPENSIVE, PIXELS_OF_1K, ImageModel, retirement
from image_core.models.prices import cost_usd
from local.gemini.paint import FLASH, painted
from local.gemini.request import GenerateContent, Part
from local.gemini.script import Call, Script, Scripted, problem
from local.gemini.signatures import fault, signature, signed

NEWER = "gemini-4-image"
"""A model that is not in the catalog. It has the capabilities of the most expensive one."""
SAYS = "This image was painted by the local fake Gemini, not by a model."
LEAST_TIMEOUT_SECONDS = 10
TAKEN = {"image/png", "image/jpeg", "image/webp", "image/heic", "image/heif"}
KEY_INVALID = {
    "@type": "type.googleapis.com/google.rpc.ErrorInfo",
    "reason": "API_KEY_INVALID",
    "domain": "googleapis.com",
}

Problem = tuple[int, dict[str, Any]]
"""A status and the body that explains it."""


class FakeGemini:
    """The server. `url` is where it listens once it has started; `calls` are those that it has answered."""

    def __init__(self, latency: float = 0.0, *, shrink: int = 1) -> None:
        self.latency = latency
        self.shrink = shrink
        """Divides the sides of an image whose request names no size: a small one takes a fiftieth of the time."""
        self.script = Script()
        self.calls: list[Call] = []
        self.released = asyncio.Event()
        """Calls are answered while it is set. Clear it to hold them."""
        self.released.set()
        self.answering = asyncio.Event()
        """Set when an answer is about to be sent."""
        self.aborted = asyncio.Event()
        """Set when a caller has closed its connection before its answer."""
        self.keep_inputs = False
        self.inputs: list[tuple[tuple[str, bytes], ...]] = []
        """The type and the bytes of the images of each call since `keep_inputs` was set."""
        self.url = ""
        self._runner: web.AppRunner | None = None

    async def start(self, port: int = 0) -> str:
        """Listen on a port of loopback, by default a free one. Returns the URL."""
        app = web.Application(client_max_size=120_000_000)
        app.router.add_post("/v1beta/models/{call}", self._generate)
        app.router.add_get("/v1beta/models", self._list)
        app.router.add_get("/v1beta/models/{model}", self._describe)
        app.router.add_get("/__calls", self._calls)
        app.router.add_post("/__script", self._scripted)
        app.router.add_delete("/__script", self._reset)
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", port).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self.url

    async def stop(self) -> None:
        """Close every connection."""
        if self._runner is not None:
            await self._runner.cleanup()

    @property
    def billed_usd(self) -> float:
        """US dollars that all calls together cost."""
        return round(sum(call.billed_usd for call in self.calls), 6)

    async def _generate(self, request: web.Request) -> web.StreamResponse:
        began = time.time()
        model, _, method = request.match_info["call"].partition(":")
        raw = await request.read()
        asked = await asyncio.to_thread(GenerateContent.read, raw)
        refusal = _refusal(request, model, method) or await asyncio.to_thread(_invalid, model, asked)
        reply = Scripted(*refusal) if refusal else self.script.next(model, replays=bool(asked.earlier))
        body = reply.body
        if body is None and reply.status == 200:  # noqa: PLR2004 - the script says nothing else
            body = await asyncio.to_thread(_painting, model, asked, self.shrink, reply.shift)
            status = body.get("error", {}).get("code", reply.status)
            reply = replace(reply, status=status)
        if self.keep_inputs:
            self.inputs.append(tuple((image.mime_type or "", image.data or b"") for image in asked.inputs))
        self.calls.append(
            Call(
                model,
                began,
                reply.status,
                asked.prompt,
                len(asked.inputs),
                _billed(model, body),
                request.headers.get("X-Server-Timeout"),
                dict(asked.image_config),
                len(raw),
                asked.max_output_tokens,
                len(asked.earlier),
            )
        )
        try:
            await asyncio.sleep(reply.delay or self.latency)
            await self.released.wait()
        except asyncio.CancelledError:
            self.aborted.set()
            raise
        self.answering.set()
        return await send(request, reply, body)

    async def _list(self, _: web.Request) -> web.Response:
        return web.json_response({"models": [_model(name) for name in (*KNOWN, NEWER) if _is_served(name)]})

    async def _describe(self, request: web.Request) -> web.Response:
        name = request.match_info["model"]
        refusal = _refusal(request, name, "generateContent")
        if refusal:
            return web.json_response(refusal[1], status=refusal[0])
        return web.json_response(_model(name))

    async def _calls(self, _: web.Request) -> web.Response:
        return web.json_response({"calls": [asdict(call) for call in self.calls], "billedUsd": self.billed_usd})

    async def _scripted(self, request: web.Request) -> web.Response:
        given = await request.json()
        try:
            replies = [
                Scripted(**{**reply, "shift": tuple(reply.get("shift", (0, 0)))})
                for reply in (given if isinstance(given, list) else [given])
            ]
        except TypeError as error:
            return web.json_response({"error": str(error)}, status=400)
        self.script.add(*replies)
        return web.json_response({})

    async def _reset(self, _: web.Request) -> web.Response:
        self.script.clear()
        self.calls.clear()
        return web.json_response({})


def _is_served(model: str) -> bool:
    return model == NEWER or (model in KNOWN and retirement(model, datetime.now(UTC).date()) is None)


def _line(model: str) -> ImageModel:
    return KNOWN.get(model, MOST_EXPENSIVE)


def _model(name: str) -> dict[str, Any]:
    return {"name": f"models/{name}", "displayName": name, "supportedGenerationMethods": ["generateContent"]}


def _refusal(request: web.Request, model: str, method: str) -> Problem | None:
    """Return the service's error for a refused key, an unknown model or a short timeout; None if there is none."""
    key = request.headers.get("x-goog-api-key", "")
    if not key:
        return 403, problem(403, "PERMISSION_DENIED", "Method doesn't allow unregistered callers. Please use API Key.")
    if key == "revoked":
        return 403, problem(403, "PERMISSION_DENIED", "Your API key was reported as leaked.")
    if key == "invalid":
        return _bad("API key not valid. Please pass a valid API key.", KEY_INVALID)
    if not _is_served(model) or method != "generateContent":
        return 404, problem(404, "NOT_FOUND", f"models/{model} is not found for API version v1beta.")
    timeout = request.headers.get("X-Server-Timeout")
    if timeout is not None and float(timeout) < LEAST_TIMEOUT_SECONDS:
        return _bad("Manually set deadline is too short. Minimum allowed deadline is 10s.")
    return None


def _invalid(model: str, asked: GenerateContent) -> Problem | None:
    """Return the service's error for a body that it does not accept; None if it accepts the body."""
    if not asked.valid:
        return _bad("Invalid JSON payload received.")
    line = _line(model)
    ratio, size = asked.image_config.get("aspectRatio", "1:1"), asked.image_config.get("imageSize", "1K")
    if ratio not in line.aspect_ratios or size not in line.image_sizes or len(asked.images) > line.max_input_images:
        return _bad("Request contains an invalid argument.")
    strange = next((image.mime_type for image in asked.images if image.mime_type not in TAKEN), None)
    if strange is not None:
        return _bad(f"Unsupported MIME type: {strange}")
    refused = fault(model, asked.turns) if line.thinks else None
    return None if refused is None else _bad(refused)


def _bad(message: str, *details: dict[str, Any]) -> Problem:
    return 400, problem(400, "INVALID_ARGUMENT", message, *details)


def _painting(model: str, asked: GenerateContent, shrink: int, shift: tuple[int, int]) -> dict[str, Any]:
    """Paint a reply of `model`; the body of a 400 if an input cannot be read. Call it in a thread."""
    line = _line(model)
    ratio, size = asked.image_config.get("aspectRatio"), asked.image_config.get("imageSize")
    bound = asked.max_output_tokens
    if not asked.wants_image or (bound is not None and bound < line.tokens_of(size)):
        return _cut_short(asked, line)
    try:
        inputs = [image.data for image in asked.inputs if image.data is not None]
        pixels = PIXELS_OF_1K if line.thinks else FLASH
        divisor = shrink if size is None else 1
        made: dict[str, tuple[int, int]] = {
            name: (pixels[name][0] // divisor, pixels[name][1] // divisor) for name in line.aspect_ratios
        }
        draft, image = painted(inputs, asked.prompt, made, ratio, size, asked.earlier, shift)
    except (OSError, ValueError):
        return _bad("Unable to process input image.")[1]
    parts = [Part(SAYS), Part(None, "image/png", image)]
    if line.thinks:  # their answers begin with their thoughts: text and a draft
        thoughts = (
            Part("Let me think about the composition.", thought=True),
            Part(None, "image/png", draft, thought=True),
        )
        parts = [*thoughts, *parts]
        parts = [
            replace(part, signature=signature(model, part) if sign else None)
            for part, sign in zip(parts, signed(parts), strict=True)
        ]
    content = {"role": "model", "parts": [_wire(part) for part in parts]}
    return {
        "candidates": [{"content": content, "finishReason": "STOP", "index": 0}],
        "usageMetadata": _usage(asked, line, line.tokens_of(size), said=16, thoughts=48 if line.thinks else 0),
        "modelVersion": model,
        "responseId": "fake",
    }


def _wire(part: Part) -> dict[str, Any]:
    """Return a part of an answer as JSON."""
    wire: dict[str, Any] = {"text": part.text}
    if part.data is not None:
        wire = {"inlineData": {"mimeType": part.mime_type, "data": base64.b64encode(part.data).decode()}}
    if part.thought:
        wire["thought"] = True
    if part.signature is not None:
        wire["thoughtSignature"] = base64.b64encode(part.signature).decode()
    return wire


def _cut_short(asked: GenerateContent, line: ImageModel) -> dict[str, Any]:
    """Return an answer without an image, which was not requested or exceeds the output limit. Its text is billed."""
    usage = _usage(asked, line, 0, said=min(16, asked.max_output_tokens or 16), thoughts=0)
    return {"candidates": [{"finishReason": "MAX_TOKENS", "index": 0}], "usageMetadata": usage, "responseId": "fake"}


def _usage(asked: GenerateContent, line: ImageModel, made: int, *, said: int, thoughts: int) -> dict[str, Any]:
    """Count tokens: of images as ai.google.dev/gemini-api/docs/pricing says, of text one for four characters."""
    seen = len(asked.images) * (560 if line.thinks else 258)
    words = max(1, len(asked.text) // 4)
    counted = {
        "promptTokenCount": words + seen,
        "candidatesTokenCount": made + said,
        "totalTokenCount": words + seen + made + said + thoughts,
        "promptTokensDetails": [
            {"modality": "TEXT", "tokenCount": words},
            {"modality": "IMAGE", "tokenCount": seen},
        ],
        "candidatesTokensDetails": [
            *([{"modality": "IMAGE", "tokenCount": made}] if made else []),
            {"modality": "TEXT", "tokenCount": said},
        ],
    }
    return counted | {"thoughtsTokenCount": thoughts} if thoughts else counted


def _billed(model: str, body: Any) -> float:
    usage = body.get("usageMetadata") if isinstance(body, dict) else None
    if not usage:
        return 0.0
    counts = {
        detail["modality"]: detail.get("tokenCount", 0) for detail in usage.get("candidatesTokensDetails", [])
    } or {"TEXT": usage.get("candidatesTokenCount", 0)}
    counts["THOUGHTS"] = usage.get("thoughtsTokenCount", 0)
    return cost_usd(model, usage.get("promptTokenCount", 0), counts) or 0.0


async def send(request: web.Request, reply: Scripted, body: Any) -> web.StreamResponse:
    """Send `body` with the status and headers of `reply`, up to the point where `reply` breaks the connection."""
    data = body.encode() if isinstance(body, str) else await asyncio.to_thread(_written, body)
    kind = "text/html" if isinstance(body, str) else "application/json"
    if reply.cut == "before":
        return _broken(request)
    headers = {"Content-Type": f"{kind}; charset=UTF-8", **reply.headers}
    response = web.StreamResponse(status=reply.status, headers=headers)
    response.content_length = len(data)
    await response.prepare(request)
    if reply.cut == "headers":
        return _broken(request, response)
    half = len(data) // 2
    await response.write(data[:half])
    if reply.cut == "body":
        return _broken(request, response)
    if reply.trickle:
        steps = 20
        for place in range(steps):
            await asyncio.sleep(reply.trickle / steps)
            await response.write(data[half + place : half + place + 1])
        half += steps
    await response.write(data[half:])
    await response.write_eof()
    return response


def _written(body: Any) -> bytes:
    return json.dumps({} if body is None else body).encode()


def _broken(request: web.Request, response: web.StreamResponse | None = None) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.abort()
    return response or web.Response()
