"""HTTP triggers: routes, requests and responses as Azure's host and worker handle them (see README.md)."""

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, quote, unquote_to_bytes

import azure.functions as func
from aiohttp import web

from local.functions_host.app import Function, LoadedApp
from local.functions_host.invocation import InvocationFailed, Invoker

log = logging.getLogger("local.functions_host")

MAX_BODY_BYTES = 104_857_600
"""The host's default (`FUNCTIONS_REQUEST_BODY_SIZE_LIMIT`)."""
MAX_HEADER_BYTES = 32_768
MAX_HEADERS = 100
MAX_LINE_BYTES = 8192
"""Kestrel's limits: bytes of all headers together, number of headers, bytes of the request line."""
RESPONSE_SECONDS = 230
"""Seconds after which the load balancer in front of Azure's host ends a request."""
NO_BODY = {204, 304}

CONSTRAINTS = {
    "int": r"-?\d+",
    "long": r"-?\d+",
    "guid": r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}",
    "alpha": r"[A-Za-z]+",
    "bool": r"(?i:true|false)",
}
_PARAMETER = re.compile(r"\{(\*{0,2})([A-Za-z_]\w*)(?::([a-z]+))?(\?)?\}")
_ENCODED_SLASH = re.compile("%2[fF]")
_ENCODED = re.compile("(%[0-9a-fA-F]{2})")
_PATH_CHARACTERS = "/!$&'()*+,-.:;=@_~"


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class HttpRoute:
    """A function with the paths and methods that it answers."""

    function: Function
    pattern: re.Pattern[str]
    methods: frozenset[str]


def http_route(function: Function) -> HttpRoute:
    """Return the route of an HTTP function, below the prefix. Literal parts match in any case."""
    route: str = function.trigger.get("route") or function.name
    expression = "".join(map(_segment, route.strip("/").split("/")))
    methods = function.trigger.get("methods") or ["GET", "POST"]
    return HttpRoute(function, re.compile(expression, re.IGNORECASE), frozenset(method.upper() for method in methods))


def _segment(segment: str) -> str:
    found = _PARAMETER.fullmatch(segment)
    if found is None:
        return f"/{re.escape(segment)}"
    star, name, constraint, optional = found.groups()
    if star:
        return f"(?:/(?P<{name}>.*))?"
    part = f"/(?P<{name}>{CONSTRAINTS.get(constraint or '', '[^/]+')})"
    return f"(?:{part})?" if optional else part


def http_runner(handler: Handler) -> web.AppRunner:
    """Return a server that reads requests as Kestrel does: bodies stay compressed, `HttpFunctions` limits headers."""
    app = web.Application(client_max_size=MAX_BODY_BYTES)
    app.router.add_route("*", r"/{path:[\s\S]*}", handler)  # also a path with a line break
    return web.AppRunner(
        app,
        access_log=None,
        handler_cancellation=False,
        shutdown_timeout=0.5,
        auto_decompress=False,
        # Above the limits, so that `_refused` answers what exceeds them.
        max_line_size=2 * MAX_HEADER_BYTES,
        max_field_size=2 * MAX_HEADER_BYTES,
        max_headers=2 * MAX_HEADERS,
    )


class HttpFunctions:
    """Serves the HTTP functions of an app."""

    def __init__(self, application: LoadedApp, invoker: Invoker) -> None:
        self._prefix = f"/{application.route_prefix}" if application.route_prefix else ""
        self._invoker = invoker
        http = [function for function in application.functions if function.trigger["type"] == "httpTrigger"]
        self.routes = [http_route(function) for function in sorted(http, key=lambda function: function.name)]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer with the first function, in the order of names, whose route and methods match; else 404."""
        refused = _refused(request)
        if refused is not None:
            return web.Response(status=refused)
        path = decoded_path(request.rel_url.raw_path)
        if self._prefix and not (path + "/").lower().startswith(self._prefix.lower() + "/"):
            return web.Response(status=404)
        below = path[len(self._prefix) :].rstrip("/")
        for route in self.routes:
            found = route.pattern.fullmatch(below)
            if found is not None and request.method in route.methods:
                return await self._invoke(route.function, request, path, found.groupdict())
        return web.Response(status=404)

    async def _invoke(
        self, function: Function, request: web.Request, path: str, found: dict[str, Any]
    ) -> web.StreamResponse:
        length = request.content_length or 0
        if length > MAX_BODY_BYTES:
            return web.Response(status=500)
        query = f"?{request.rel_url.raw_query_string}" if request.rel_url.raw_query_string else ""
        asked = func.HttpRequest(
            request.method,
            f"{request.scheme}://{request.host}{encoded_path(path)}{query}",
            headers={name: ",".join(request.headers.getall(name)) for name in request.headers},
            params=joined_query(request.rel_url.raw_query_string),
            route_params={name: value for name, value in found.items() if value is not None},
            # Where no length was announced the host reads nothing: a body in chunks arrives empty.
            body=await request.read() if length > 0 else b"",
        )
        try:
            result = await asyncio.wait_for(self._invoker.invoke(function, asked), RESPONSE_SECONDS)
        except InvocationFailed:
            return web.Response(status=500)
        except TimeoutError:
            return web.Response(status=504)
        return await _respond(request, result)


def _refused(request: web.Request) -> int | None:
    """Return the status with which Kestrel refuses the request before any function; None if it accepts it."""
    sizes = [len(name) + len(value) + len(": \r\n") for name, value in request.raw_headers]
    if len(sizes) > MAX_HEADERS or sum(sizes) > MAX_HEADER_BYTES:
        return 431
    if len(f"{request.method} {request.raw_path} HTTP/1.1\r\n") > MAX_LINE_BYTES:
        return 414
    try:
        for _, value in request.raw_headers:
            value.decode()
    except UnicodeDecodeError:
        return 400
    return None


def decoded_path(raw: str) -> str:
    """Return a path as ASP.NET does: without dot segments, decoded except for `%2F` and what is not UTF-8."""
    kept = (_ENCODED_SLASH.findall(raw), _ENCODED_SLASH.split(raw))
    parts = [_decoded(part) for part in kept[1]]
    joined = parts[0] + "".join(slash + part for slash, part in zip(kept[0], parts[1:], strict=True))
    segments: list[str] = []
    pieces = joined.split("/")
    for number, piece in enumerate(pieces):
        if piece in {".", ".."}:
            if piece == ".." and len(segments) > 1:
                segments.pop()
            if number == len(pieces) - 1:
                segments.append("")
        else:
            segments.append(piece)
    return "/".join(segments)


def _decoded(text: str) -> str:
    try:
        return unquote_to_bytes(text).decode()
    except UnicodeDecodeError:
        return text


def encoded_path(path: str) -> str:
    """Return a decoded path as the host writes it into the request's URL: what looks encoded is kept."""
    return "".join(
        part if _ENCODED.fullmatch(part) else quote(part, safe=_PATH_CHARACTERS) for part in _ENCODED.split(path)
    )


def joined_query(raw: str) -> dict[str, str]:
    """Return query parameters by name: names match in any case, repeated values are joined, empty ones dropped."""
    names: dict[str, str] = {}
    values: dict[str, list[str]] = {}
    for name, value in parse_qsl(raw, keep_blank_values=True):
        values.setdefault(names.setdefault(name.lower(), name), []).append(value)
    joined = {name: ",".join(each) for name, each in values.items()}
    return {name: value for name, value in joined.items() if value}


async def _respond(request: web.Request, result: Any) -> web.StreamResponse:
    """Send a function's return value as the worker does: in chunks, without `Content-Length`."""
    if isinstance(result, str):
        result = func.HttpResponse(result)
    if result is None:
        return web.Response(status=204)
    if not isinstance(result, func.HttpResponse):
        log.error("an HTTP function returned %s instead of an HttpResponse", type(result).__name__)
        return web.Response(status=500)
    body = result.get_body()
    headers = dict(result.headers.items())
    if not any(name.lower() == "content-type" for name in headers):
        # Also where there is no body: a 204 or 304 that names no type is sent as `text/plain`.
        headers["Content-Type"] = f"{result.mimetype}; charset={result.charset}"
    response = web.StreamResponse(status=result.status_code, headers=_without_length(headers.items()))
    if body and request.method != "HEAD" and result.status_code not in NO_BODY:
        response.enable_chunked_encoding()
    elif request.method != "HEAD" and result.status_code not in NO_BODY:
        response.content_length = 0
    await response.prepare(request)
    if body and request.method != "HEAD" and result.status_code not in NO_BODY:
        await response.write(body)
    await response.write_eof()
    return response


def _without_length(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    return {name: value for name, value in headers if name.lower() != "content-length"}
