"""A request and a response as plain values, independent of the framework that receives and sends them."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request.

    `headers` has lower-case names. `path` is below the route prefix, still percent-encoded, without a slash before it.
    """

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    started: float = field(default_factory=time.monotonic)
    """When the request arrived, in seconds of the monotonic clock: the response budget counts from here."""


@dataclass(frozen=True, slots=True)
class Response:
    """One HTTP response; `headers` in the case they are sent in."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    enqueue: tuple[str, ...] = ()
    """Messages for the generation queue, which the function sends with the response."""


def json_response(status: int, body: Mapping[str, object], headers: Mapping[str, str] | None = None) -> Response:
    """Return `body` as JSON that no cache keeps: answers are for one user."""
    return Response(
        status,
        json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode(),
        {"Content-Type": "application/json; charset=utf-8", "Cache-Control": "no-store", **(headers or {})},
    )
