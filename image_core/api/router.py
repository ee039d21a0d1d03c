"""The one table of routes, and the edge where every error becomes an answer."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import unquote

from image_core.api.failures import error_response
from image_core.api.http import Request, Response
from image_core.auth.user import User
from image_core.errors import (
    Busy,
    ImageError,
    Internal,
    MethodNotAllowed,
    Misconfigured,
    NotFound,
    SessionUnavailable,
    StorageUnavailable,
    Unauthorized,
    UploadFailed,
)
from image_core.runtime.telemetry import where

if TYPE_CHECKING:
    from image_core.api.origin import OriginPolicy
    from image_core.api.response_budget import ResponseBudget
    from image_core.runtime.memory_budget import MemoryBudget
    from image_core.settings import Settings

log = logging.getLogger("image_core.api")

MAX_SEGMENT_CHARACTERS = 1024
"""Of one part of a path, decoded: no id and no name of ours is longer."""

LIVENESS = "health"
"""What a platform asks of a process that has loaded nothing yet: no setting is read for it, unless another site's page asks."""


class SessionCheck(Protocol):
    """`session.Sessions`."""

    async def user(self, headers: Any) -> User: ...


class Resources(Protocol):
    """What the routes lead to; each is built when it is first asked for (`wiring.App`)."""

    @property
    def settings(self) -> "Settings": ...
    @property
    def memory_budget(self) -> "MemoryBudget": ...
    @property
    def budget(self) -> "ResponseBudget": ...
    @property
    def guard(self) -> "OriginPolicy": ...
    @property
    def sessions(self) -> SessionCheck: ...
    @property
    def image(self) -> Any: ...
    @property
    def upload(self) -> Any: ...
    @property
    def generations(self) -> Any: ...
    @property
    def images(self) -> Any: ...
    @property
    def usage(self) -> Any: ...
    @property
    def models(self) -> Any: ...
    @property
    def health(self) -> Any: ...
    @property
    def docs(self) -> Any: ...


Handler = Callable[..., Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Route:
    """`path` is below the route prefix; a part in braces takes one segment and is handed on. `public`: no session."""

    method: str
    path: str
    handler: Callable[[Resources], Handler]
    public: bool = False


ROUTES = (
    Route("POST", "image", lambda resources: resources.image.post),
    Route("POST", "upload", lambda resources: resources.upload.post),
    Route("GET", "generations", lambda resources: resources.generations.list),
    Route("GET", "generations/{id}", lambda resources: resources.generations.get),
    Route("POST", "generations/{id}/cancel", lambda resources: resources.generations.cancel),
    Route("DELETE", "generations/{id}", lambda resources: resources.generations.delete),
    Route("GET", "images/{name}", lambda resources: resources.images.get),
    Route("DELETE", "images/{name}", lambda resources: resources.images.delete),
    Route("GET", "models", lambda resources: resources.models.get),
    Route("GET", "usage", lambda resources: resources.usage.get),
    Route("GET", "health", lambda resources: resources.health.get, public=True),
    Route("GET", "openapi.json", lambda resources: resources.docs.document, public=True),
    Route("GET", "docs", lambda resources: resources.docs.page, public=True),
)


class Api:
    """Every request comes in here, and none leaves without an answer."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources

    async def handle(self, request: Request) -> Response:
        """The answer. Raises nothing."""
        try:
            response = await self._dispatch(request)
        except ImageError as error:
            _log_error(error)
            response = error_response(error)
        except Exception as error:  # noqa: BLE001 - the edge: whatever it is, the caller gets an answer of the contract
            log.error("unexpected %s", where(error))  # noqa: TRY400 - its message may hold what the caller sent
            response = error_response(UploadFailed() if _literal(request.path) == "upload" else Internal())
        if request.method == "HEAD":
            response = replace(response, body=b"")
        if _literal(request.path) == LIVENESS and "origin" not in request.headers:
            return response
        try:
            cors = self._resources.guard.cors_headers(request)
        except Misconfigured:
            return response
        return replace(response, headers={**response.headers, **cors}) if cors else response

    async def _dispatch(self, request: Request) -> Response:
        segments = _segments(request.path)
        candidates = [(route, found) for route in ROUTES if (found := _match(route.path, segments)) is not None]
        if not candidates:
            raise NotFound
        methods = tuple(method for route, _ in candidates for method in _methods(route))
        if request.method == "OPTIONS":
            return self._resources.guard.preflight(request, methods)
        chosen = next(((route, found) for route, found in candidates if request.method in _methods(route)), None)
        if chosen is None:
            raise MethodNotAllowed(methods)
        route, found = chosen
        if route.public:
            return await route.handler(self._resources)(request)
        self._resources.guard.check_cross_site(request)
        if not request.body:
            user = await self._resources.sessions.user(request.headers)
            return await self._in_time(request, route.handler(self._resources)(request, user, *found))
        # What is longer than any route takes is refused by each route as soon as it has its turn.
        length = min(len(request.body), self._resources.settings.max_request_bytes)
        with self._resources.memory_budget.body(length) as body:
            user = await self._resources.sessions.user(request.headers)
            body.assign(user.id)
            return await self._in_time(request, route.handler(self._resources)(request, user, *found))

    async def _in_time(self, request: Request, handling: Awaitable[Response]) -> Response:
        """The response, before the proxy in front gives up. Raises StorageUnavailable where it does not come in time.

        Handlers keep to the response budget by themselves, as long as the services that they call answer or fail.
        """
        timeout = asyncio.timeout(self._resources.budget.to_the_last(request))
        try:
            async with timeout:
                return await handling
        except TimeoutError as error:
            if not timeout.expired():
                raise
            raise StorageUnavailable from error


def _methods(route: Route) -> tuple[str, ...]:
    """Every GET answers HEAD too: the same status and headers, without the body (RFC 9110, 9.3.2)."""
    return ("GET", "HEAD") if route.method == "GET" else (route.method,)


def _literal(path: str) -> str:
    """A path without parameters, in the form in which it is compared: the host compares literal parts without case."""
    return path.strip("/").lower()


def _segments(path: str) -> list[str]:
    """The parts of a path as it was sent. A part that decodes to something with a slash in it is not one of ours."""
    decoded = [unquote(part) for part in path.strip("/").split("/")]
    if any("/" in part or "\\" in part or "\0" in part or len(part) > MAX_SEGMENT_CHARACTERS for part in decoded):
        raise NotFound
    return decoded


def _match(pattern: str, segments: list[str]) -> list[str] | None:
    parts = pattern.split("/")
    if len(parts) != len(segments):
        return None
    found = []
    for part, segment in zip(parts, segments, strict=True):
        if part.startswith("{"):
            if segment in {"", ".", ".."}:
                return None
            found.append(segment)
        elif part != segment.lower():
            return None
    return found


def _log_error(error: ImageError) -> None:
    """One line for an operator; never what the caller sent."""
    if isinstance(error, Unauthorized):
        log.info("unauthorized: %s", error.reason)
    elif isinstance(error, Misconfigured):
        log.error("misconfigured: %s", error.reason or error.message)
    elif error.status >= Internal.status:
        level = logging.WARNING if isinstance(error, Busy | SessionUnavailable) else logging.ERROR
        log.log(level, "answered %d %s", error.status, error.code)
