"""`GET /api/openapi.json` and `GET /api/docs`: the API's description of itself, for programs and for people."""

import asyncio
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from image_core.api.conditional import is_known
from image_core.api.http import Request, Response

CACHE = "public, max-age=300"
"""The `Cache-Control` of both forms: they change with a new version or new settings only."""


@dataclass(frozen=True, slots=True)
class Described:
    """The OpenAPI document and the page that is made from it, as they are sent."""

    document: Response
    page: Response


class Documentation:
    """Builds the description when it is first asked for, once for the process.

    `build` returns the OpenAPI document. It takes half a second, most of it imports, and so runs in a thread.
    """

    def __init__(self, build: Callable[[], Mapping[str, Any]]) -> None:
        self._build = build
        self._building = asyncio.Lock()
        self._described: Described | None = None

    async def described(self) -> Described:
        """Return both forms."""
        async with self._building:
            if self._described is None:
                self._described = await asyncio.to_thread(self._describe)
            return self._described

    def _describe(self) -> Described:
        from image_core.api.openapi.page import POLICY, page  # noqa: PLC0415 - not loaded before it is asked for

        document = dict(self._build())
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


class GetDocument:
    """Answers with the OpenAPI document."""

    def __init__(self, documentation: Documentation) -> None:
        self._documentation = documentation

    async def handle(self, request: Request) -> Response:
        """Return the document, or 304 where the caller has it."""
        return _unless_known(request, (await self._documentation.described()).document)


class GetPage:
    """Answers with the page that is made of the document."""

    def __init__(self, documentation: Documentation) -> None:
        self._documentation = documentation

    async def handle(self, request: Request) -> Response:
        """Return the page, or 304 where the caller has it."""
        return _unless_known(request, (await self._documentation.described()).page)


def _answer(body: bytes, headers: dict[str, str]) -> Response:
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    more = {"ETag": etag, "Cache-Control": CACHE, "X-Content-Type-Options": "nosniff"}
    return Response(200, body, {**headers, **more})


def _unless_known(request: Request, answer: Response) -> Response:
    return Response(304, b"", answer.headers) if is_known(request, answer.headers["ETag"]) else answer
