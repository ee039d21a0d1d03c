"""`GET /api/openapi.json` and `GET /api/docs`: the API's description of itself, for programs and for people."""

import asyncio
import hashlib
import json
from dataclasses import dataclass

from image_core.api.http import Request, Response
from image_core.clock import Clock
from image_core.settings import Settings

CACHE = "public, max-age=300"
"""Seconds: it changes with a new version or new settings only."""


@dataclass(frozen=True, slots=True)
class Described:
    """Both forms, made once for the process."""

    document: Response
    page: Response


class DocsHandler:
    """Building takes half a second, most of it imports: in a thread, when somebody asks for the first time."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._building = asyncio.Lock()
        self._described: Described | None = None

    async def document(self, request: Request) -> Response:
        return _unless_known(request, (await self._describe()).document)

    async def page(self, request: Request) -> Response:
        return _unless_known(request, (await self._describe()).page)

    async def _describe(self) -> Described:
        async with self._building:
            if self._described is None:
                self._described = await asyncio.to_thread(self._build)
            return self._described

    def _build(self) -> Described:
        from image_core.api.openapi.document import build  # noqa: PLC0415 - it costs half a second, and few ask for it
        from image_core.api.openapi.page import POLICY, page  # noqa: PLC0415 - the same

        document = build(self._settings, self._clock)
        raw = json.dumps(document, ensure_ascii=False, indent=2).encode()
        return Described(
            _answer(raw, {"Content-Type": "application/json; charset=utf-8"}),
            _answer(
                page(document).encode(),
                {
                    "Content-Type": "text/html; charset=utf-8",
                    "Content-Security-Policy": POLICY,
                    "Referrer-Policy": "no-referrer",
                },
            ),
        )


def _answer(body: bytes, headers: dict[str, str]) -> Response:
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    more = {"ETag": etag, "Cache-Control": CACHE, "X-Content-Type-Options": "nosniff"}
    return Response(200, body, {**headers, **more})


def _unless_known(request: Request, answer: Response) -> Response:
    """304 where the caller has it (RFC 9110)."""
    known = [tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")]
    if answer.headers["ETag"] in known:
        return Response(304, b"", answer.headers)
    return answer
