"""HTTP triggers: routes with ASP.NET's precedence, requests and responses as the worker makes them."""

import asyncio
import logging
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import azure.functions as func
from aiohttp import web

from local.functions.application import Application, Function
from local.functions.invocation import InvocationFailed, Invoker

log = logging.getLogger("local.functions")

MAX_BODY_BYTES = 100 * 1024 * 1024
"""The real host's default (`FUNCTIONS_REQUEST_BODY_SIZE_LIMIT`)."""
RESPONSE_SECONDS = 230
"""The load balancer in front of the real one gives up then."""

# ASP.NET Core, "Route template precedence": literal text first, then parameters, then what takes the rest of the path.
LITERAL, CONSTRAINED, PARAMETER, CATCH_ALL = range(1, 5)
CONSTRAINTS = {
    "int": r"-?\d+",
    "long": r"-?\d+",
    "guid": r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}",
    "alpha": r"[A-Za-z]+",
    "bool": r"(?i:true|false)",
}
_PARAMETER = re.compile(r"\{(\*{0,2})([A-Za-z_]\w*)(?::([a-z]+))?(\?)?\}")


@dataclass(frozen=True, slots=True)
class HttpRoute:
    function: Function
    pattern: re.Pattern[str]
    precedence: tuple[int, ...]
    methods: frozenset[str]


def http_route(function: Function) -> HttpRoute:
    """The route of an HTTP function, below the prefix."""
    route: str = function.trigger.get("route") or function.name
    segments = route.strip("/").split("/")
    expression, precedence = "", []
    for segment in segments:
        part, rank = _segment(segment)
        expression += part
        precedence.append(rank)
    methods = function.trigger.get("methods") or ["GET", "POST"]
    return HttpRoute(
        function,
        re.compile(expression, re.IGNORECASE),
        tuple(precedence),
        frozenset(method.upper() for method in methods),
    )


def _segment(segment: str) -> tuple[str, int]:
    found = _PARAMETER.fullmatch(segment)
    if found is None:
        return f"/{re.escape(segment)}", LITERAL
    star, name, constraint, optional = found.groups()
    if star:
        return f"(?:/(?P<{name}>.*))?", CATCH_ALL
    inner = CONSTRAINTS.get(constraint or "", "[^/]+")
    part = f"/(?P<{name}>{inner})"
    return (f"(?:{part})?" if optional else part), CONSTRAINED if constraint else PARAMETER


class HttpFront:
    """Serves the HTTP functions of an app."""

    def __init__(self, application: Application, invoker: Invoker) -> None:
        self._prefix = f"/{application.route_prefix}" if application.route_prefix else ""
        self._invoker = invoker
        self.routes = sorted(
            (http_route(function) for function in application.functions if function.trigger["type"] == "httpTrigger"),
            key=lambda route: route.precedence,
        )

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """The answer of the function whose route this is. 404 where there is none, or none for the method: as the real one."""
        path = request.rel_url.raw_path
        if self._prefix and not (path + "/").lower().startswith(self._prefix.lower() + "/"):
            return web.Response(status=404)
        below = path[len(self._prefix) :].rstrip("/") or "/"
        for route in self.routes:
            found = route.pattern.fullmatch(below if below != "/" else "")
            if found is not None and request.method in route.methods:
                return await self._invoke(route.function, request, found.groupdict())
        return web.Response(status=404)

    async def _invoke(self, function: Function, request: web.Request, found: dict[str, Any]) -> web.StreamResponse:
        try:
            body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            return web.Response(status=413)
        # A header that is sent twice reaches the worker as one, with a comma between; cookies with a semicolon.
        headers = {
            name: ("; " if name.lower() == "cookie" else ", ").join(request.headers.getall(name))
            for name in request.headers
        }
        asked = func.HttpRequest(
            request.method,
            str(request.url),
            headers=headers,
            params=dict(request.query),
            # ASP.NET decodes route values, but leaves an encoded slash as it is.
            route_params={name: _decoded(value) for name, value in found.items() if value is not None},
            body=body,
        )
        try:
            result = await asyncio.wait_for(self._invoker.invoke(function, asked), RESPONSE_SECONDS)
        except InvocationFailed:
            return web.Response(status=500)
        except TimeoutError:
            return web.Response(status=504)
        return _response(result)


def _decoded(value: str) -> str:
    return "%2F".join(unquote(part) for part in re.split("%2[fF]", value))


def _response(result: Any) -> web.Response:
    """What the worker makes of a function's return value."""
    if result is None:
        return web.Response(status=204)
    if isinstance(result, str):
        return web.Response(text=result)
    if not isinstance(result, func.HttpResponse):
        log.error("a function returned %s, which is no HTTP response", type(result).__name__)
        return web.Response(status=500)
    response = web.Response(status=result.status_code, body=result.get_body())
    headers = dict(result.headers.items())
    if not any(name.lower() == "content-type" for name in headers):
        headers["Content-Type"] = f"{result.mimetype}; charset={result.charset}"
    for name, value in headers.items():
        response.headers[name] = value
    return response
