"""The stand-in's HTTP server: `/v1beta/models/{model}:generateContent` as google-genai calls it, and what tests ask of it."""

import asyncio
import base64
import json
import time
from dataclasses import asdict
from typing import Any

from aiohttp import web

from image_core.model.prices import KNOWN, cost_usd
from local.gemini.paint import FACTORS, SIZES_1K, painted
from local.gemini.script import Call, Script, Scripted, problem

MODELS = (*KNOWN, "gemini-3.1-flash-lite-image", "gemini-nano-banana-2.1")
BAD_KEYS = {"invalid", "revoked"}
SAYS = "This picture was painted by the local stand-in, not by a Gemini model."
LEAST_TIMEOUT_SECONDS = 10


class Standin:
    """`url` is where it listens once it has started; `calls` what it has seen."""

    def __init__(self, latency: float = 0.0) -> None:
        self.latency = latency
        self.script = Script()
        self.calls: list[Call] = []
        self.url = ""
        self._runner: web.AppRunner | None = None

    async def start(self, port: int = 0) -> str:
        app = web.Application(client_max_size=120_000_000)
        app.router.add_post("/{version}/models/{call}", self._generate)
        app.router.add_get("/{version}/models", self._list)
        app.router.add_get("/{version}/models/{model}", self._describe)
        app.router.add_get("/__calls", self._calls)
        app.router.add_post("/__script", self._scripted)
        app.router.add_delete("/__script", self._reset)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", port).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self.url

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    @property
    def billed_usd(self) -> float:
        """What all calls together cost, by its own count."""
        return round(sum(call.billed_usd for call in self.calls), 6)

    async def _generate(self, request: web.Request) -> web.StreamResponse:
        began = time.time()
        model, _, method = request.match_info["call"].partition(":")
        asked = json.loads(await request.read())
        refusal = _refusal(request, model, method, asked)
        reply = Scripted(*refusal) if refusal else self.script.next(model)
        parts = [part for content in asked.get("contents", []) for part in content.get("parts", [])]
        prompt = " ".join(part["text"] for part in parts if "text" in part)
        inputs = [_decoded(part["inlineData"]["data"]) for part in parts if "inlineData" in part]
        config = asked.get("generationConfig", {}).get("imageConfig") or {}
        body = reply.body
        if body is None and reply.status == 200:  # noqa: PLR2004 - the script says nothing else
            body = await _painting(model, inputs, prompt, config)
        self.calls.append(
            Call(
                model,
                began,
                reply.status,
                prompt,
                len(inputs),
                _billed(model, body),
                request.headers.get("X-Server-Timeout"),
                config,
            )
        )
        await asyncio.sleep(reply.delay or self.latency)
        return await _send(request, reply, body)

    async def _list(self, _: web.Request) -> web.Response:
        return web.json_response({"models": [_model(name) for name in MODELS]})

    async def _describe(self, request: web.Request) -> web.Response:
        name = request.match_info["model"]
        refusal = _refusal(request, name, "generateContent", {})
        if refusal:
            return web.json_response(refusal[1], status=refusal[0])
        return web.json_response(_model(name))

    async def _calls(self, _: web.Request) -> web.Response:
        return web.json_response({"calls": [asdict(call) for call in self.calls], "billedUsd": self.billed_usd})

    async def _scripted(self, request: web.Request) -> web.Response:
        self.script.add(*map(Scripted.from_json, await request.json()))
        return web.json_response({})

    async def _reset(self, _: web.Request) -> web.Response:
        self.script.clear()
        self.calls.clear()
        return web.json_response({})


def _decoded(data: str) -> bytes:
    """Either alphabet, as protobuf's JSON takes it: the SDK writes the URL-safe one."""
    return base64.b64decode(data.replace("-", "+").replace("_", "/"))


def _model(name: str) -> dict[str, Any]:
    return {"name": f"models/{name}", "displayName": name, "supportedGenerationMethods": ["generateContent"]}


def _refusal(request: web.Request, model: str, method: str, asked: dict[str, Any]) -> tuple[int, Any] | None:
    """What the service would not take, in the words it uses."""
    key = request.headers.get("x-goog-api-key", "")
    if key in {"", *BAD_KEYS}:
        reason = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}
        if key == "revoked":
            return 403, problem(403, "PERMISSION_DENIED", "Your API key was reported as leaked.")
        return 400, problem(400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key.", reason)
    if model not in MODELS or method != "generateContent":
        return 404, problem(404, "NOT_FOUND", f"models/{model} is not found for API version v1beta.")
    timeout = request.headers.get("X-Server-Timeout")
    if timeout is not None and float(timeout) < LEAST_TIMEOUT_SECONDS:
        return 400, problem(
            400, "INVALID_ARGUMENT", "Manually set deadline is too short. Minimum allowed deadline is 10s."
        )
    config = asked.get("generationConfig", {}).get("imageConfig") or {}
    if config.get("aspectRatio", "1:1") not in SIZES_1K or config.get("imageSize", "1K") not in FACTORS:
        return 400, problem(400, "INVALID_ARGUMENT", "Request contains an invalid argument.")
    return None


async def _painting(model: str, inputs: list[bytes], prompt: str, config: dict[str, Any]) -> dict[str, Any]:
    ratio, size = config.get("aspectRatio"), config.get("imageSize")
    try:
        picture = await asyncio.to_thread(painted, inputs, prompt, ratio, size)
    except OSError:
        return problem(400, "INVALID_ARGUMENT", "Unable to process input image.")
    encoded = base64.b64encode(picture).decode()
    pro = "pro" in model
    parts: list[dict[str, Any]] = [{"text": SAYS}, {"inlineData": {"mimeType": "image/png", "data": encoded}}]
    if pro:  # the pro models think first, and show what they thought
        parts.insert(0, {"text": "Let me think about the composition.", "thought": True})
    image_tokens = (2000 if size == "4K" else 1120) if pro else 1290
    words = max(1, len(prompt) // 4)
    return {
        "candidates": [{"content": {"role": "model", "parts": parts}, "finishReason": "STOP", "index": 0}],
        "usageMetadata": {
            "promptTokenCount": words + 258 * len(inputs),
            "candidatesTokenCount": image_tokens + 16,
            "totalTokenCount": words + 258 * len(inputs) + image_tokens + 16,
            "promptTokensDetails": [
                {"modality": "TEXT", "tokenCount": words},
                {"modality": "IMAGE", "tokenCount": 258 * len(inputs)},
            ],
            "candidatesTokensDetails": [
                {"modality": "IMAGE", "tokenCount": image_tokens},
                {"modality": "TEXT", "tokenCount": 16},
            ],
        },
        "modelVersion": model,
        "responseId": "stand-in",
    }


def _billed(model: str, body: Any) -> float:
    usage = body.get("usageMetadata") if isinstance(body, dict) else None
    if not usage:
        return 0.0
    counts = {
        detail["modality"]: detail.get("tokenCount", 0) for detail in usage.get("candidatesTokensDetails", [])
    } or {"TEXT": usage.get("candidatesTokenCount", 0)}
    return cost_usd(model, usage.get("promptTokenCount", 0), counts) or 0.0


async def _send(request: web.Request, reply: Scripted, body: Any) -> web.StreamResponse:
    data = body.encode() if isinstance(body, str) else json.dumps({} if body is None else body).encode()
    kind = "text/html" if isinstance(body, str) else "application/json"
    if reply.cut == "before":
        return _broken(request)
    response = web.StreamResponse(status=reply.status, headers={"Content-Type": f"{kind}; charset=UTF-8"})
    response.content_length = len(data)
    await response.prepare(request)
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


def _broken(request: web.Request, response: web.StreamResponse | None = None) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.abort()
    return response or web.Response()
