"""Answer every request: check its origin, session and body, call its route's handler, turn errors into responses."""

import asyncio
import logging
from collections.abc import Awaitable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from image_core.api.http import Request, Response, json_response
from image_core.api.router import Handlers, ItemRoute, PublicRoute, UserRoute, find, fixed
from image_core.auth.user import User
from image_core.errors import (
    Busy,
    ImageError,
    Internal,
    LengthRequired,
    MethodNotAllowed,
    Misconfigured,
    RequestTooLarge,
    SessionUnavailable,
    StorageUnavailable,
    Unauthorized,
    UnsupportedMediaType,
    UploadFailed,
)
from image_core.runtime.telemetry import where

if TYPE_CHECKING:
    from image_core.api.origin import OriginPolicy
    from image_core.api.response_budget import ResponseBudget
    from image_core.runtime.memory_budget import MemoryBudget

log = logging.getLogger("image_core.api")

LIVENESS = "health"
"""The path that a platform asks of a process that has loaded nothing yet: no setting is read for it, unless it has an
`Origin`."""
SHOWN_CHARACTERS = 40
"""Number of characters of a header that an error message repeats."""


class SessionCheck(Protocol):
    """Finds the user of a request (`auth.sessions.Sessions`)."""

    async def user(self, headers: Mapping[str, str]) -> User:
        """Return the user. Raises Unauthorized, SessionUnavailable."""
        ...


class Application(Protocol):
    """The parts that requests need before their handlers run. Implemented by `app.Application`.

    Each part is built when it is first used. Raises Misconfigured if a setting cannot be used.
    """

    @property
    def handlers(self) -> Handlers:
        """The handlers of the routes."""
        ...

    @property
    def max_request_bytes(self) -> int:
        """The length of the longest body that a route takes."""
        ...

    @property
    def memory_budget(self) -> "MemoryBudget":
        """The memory of this process."""
        ...

    @property
    def response_budget(self) -> "ResponseBudget":
        """The time until a response has to leave."""
        ...

    @property
    def origin_policy(self) -> "OriginPolicy":
        """The rules for requests from other sites."""
        ...

    @property
    def sessions(self) -> SessionCheck:
        """The check of session cookies."""
        ...


class Api:
    """Answers HTTP requests."""

    def __init__(self, application: Application) -> None:
        self._application = application

    async def handle(self, request: Request) -> Response:
        """Return the response. Raises nothing."""
        try:
            response = await self._dispatch(request)
        except ImageError as error:
            _log_error(error)
            response = error_response(error)
        except Exception as error:  # noqa: BLE001 - the outermost function: each request gets an answer of the contract
            log.error("unexpected %s", where(error))  # noqa: TRY400 - its message may hold what the caller sent
            response = error_response(UploadFailed() if fixed(request.path) == "upload" else Internal())
        if request.method == "HEAD":
            response = replace(response, body=b"")
        if fixed(request.path) == LIVENESS and "origin" not in request.headers:
            return response
        try:
            cors = self._application.origin_policy.cors_headers(request)
        except Misconfigured:
            return response
        return replace(response, headers={**response.headers, **cors}) if cors else response

    async def _dispatch(self, request: Request) -> Response:
        found = find(request.path)
        if request.method == "OPTIONS":
            return self._application.origin_policy.preflight(request, found.methods)
        route = found.route(request.method)
        if isinstance(route, PublicRoute):
            return await route.handler(self._application.handlers).handle(request)
        self._application.origin_policy.check_cross_site(request)
        if not request.body:
            user = await self._application.sessions.user(request.headers)
            return await self._in_time(request, self._call(route, request, user, found.name))
        # A longer body is refused below, after the session was checked.
        length = min(len(request.body), self._application.max_request_bytes)
        with self._application.memory_budget.body(length) as body:
            user = await self._application.sessions.user(request.headers)
            body.assign(user.id)
            return await self._in_time(request, self._call(route, request, user, found.name))

    async def _call(self, route: UserRoute | ItemRoute, request: Request, user: User, name: str) -> Response:
        if isinstance(route, ItemRoute):
            return await route.handler(self._application.handlers).handle(request, user, name)
        if route.takes_body:
            check_body(request, self._application.max_request_bytes)
        return await route.handler(self._application.handlers).handle(request, user)

    async def _in_time(self, request: Request, handling: Awaitable[Response]) -> Response:
        """Return the response before the proxy in front gives up. Raises StorageUnavailable where it takes too long.

        Handlers keep to the response budget by themselves, as long as the services that they call answer or fail.
        """
        timeout = asyncio.timeout(self._application.response_budget.to_the_last(request))
        try:
            async with timeout:
                return await handling
        except TimeoutError as error:
            if not timeout.expired():
                raise
            raise StorageUnavailable from error


def check_body(request: Request, max_bytes: int) -> None:
    """Raise LengthRequired, UnsupportedMediaType or RequestTooLarge for a body that cannot be read."""
    # The host reads a body only where Content-Length is greater than 0. A body that was sent in chunks arrives empty:
    # only this header tells it from a request without a body.
    if not request.body and request.headers.get("transfer-encoding"):
        raise LengthRequired
    encodings = (encoding.strip() for encoding in request.headers.get("content-encoding", "").split(","))
    for encoding in encodings:
        if encoding.lower() not in {"", "identity"}:
            raise UnsupportedMediaType(f"Content-Encoding {encoding[:SHOWN_CHARACTERS]!r}: send the body unpacked")
    if len(request.body) > max_bytes:
        raise RequestTooLarge(f"The limit is {max_bytes} bytes")


def error_response(error: ImageError) -> Response:
    """Return the response for an error."""
    from image_core.api.wire.errors import ErrorBody  # noqa: PLC0415 - a health check does without pydantic

    headers = {}
    if error.retry_after is not None:
        headers["Retry-After"] = str(error.retry_after)
    if isinstance(error, MethodNotAllowed):
        headers["Allow"] = ", ".join(error.allowed)
    return json_response(error.status, ErrorBody.of(error).to_wire(), headers)


def _log_error(error: ImageError) -> None:
    """Log one line for operators, without anything that the caller sent."""
    if isinstance(error, Unauthorized):
        log.info("unauthorized: %s", error.reason)
    elif isinstance(error, Misconfigured):
        log.error("misconfigured: %s", error.reason or error.message)
    elif error.status >= Internal.status:
        level = logging.WARNING if isinstance(error, Busy | SessionUnavailable) else logging.ERROR
        log.log(level, "answered %d %s", error.status, error.code)
