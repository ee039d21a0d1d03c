"""The table of routes: find the route of a path and a method."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import unquote

from image_core.api.http import Request, Response
from image_core.auth.user import User
from image_core.errors import MethodNotAllowed, NotFound

MAX_SEGMENT_CHARACTERS = 1024
"""The longest part of a path, decoded: all ids and names of this API are shorter."""


class PublicHandler(Protocol):
    """Answers a route that needs no session."""

    async def handle(self, request: Request, /) -> Response:
        """Return the response. Raises ImageError."""
        ...


class UserHandler(Protocol):
    """Answers a route for the user of the session."""

    async def handle(self, request: Request, user: User, /) -> Response:
        """Return the response. Raises ImageError."""
        ...


class ItemHandler(Protocol):
    """Answers a route whose path names a generation or an image."""

    async def handle(self, request: Request, user: User, name: str, /) -> Response:
        """Return the response. `name`: the part of the path in braces, decoded. Raises ImageError."""
        ...


class Handlers(Protocol):
    """The handler of each route, named as its operation in the OpenAPI document; built when it is first used."""

    @property
    def generate_image(self) -> UserHandler:
        """Answers `POST /api/image`."""
        ...

    @property
    def upload_image(self) -> UserHandler:
        """Answers `POST /api/upload`."""
        ...

    @property
    def list_generations(self) -> UserHandler:
        """Answers `GET /api/generations`."""
        ...

    @property
    def get_generation(self) -> ItemHandler:
        """Answers `GET /api/generations/{id}`."""
        ...

    @property
    def cancel_generation(self) -> ItemHandler:
        """Answers `POST /api/generations/{id}/cancel`."""
        ...

    @property
    def delete_generation(self) -> ItemHandler:
        """Answers `DELETE /api/generations/{id}`."""
        ...

    @property
    def get_image(self) -> ItemHandler:
        """Answers `GET /api/images/{name}`."""
        ...

    @property
    def delete_upload(self) -> ItemHandler:
        """Answers `DELETE /api/images/{name}`."""
        ...

    @property
    def list_models(self) -> UserHandler:
        """Answers `GET /api/models`."""
        ...

    @property
    def get_usage(self) -> UserHandler:
        """Answers `GET /api/usage`."""
        ...

    @property
    def get_health(self) -> PublicHandler:
        """Answers `GET /api/health`."""
        ...

    @property
    def get_document(self) -> PublicHandler:
        """Answers `GET /api/openapi.json`."""
        ...

    @property
    def get_page(self) -> PublicHandler:
        """Answers `GET /api/docs`."""
        ...


@dataclass(frozen=True, slots=True)
class Route:
    """A method and a path below the route prefix. A part of the path in braces stands for one segment."""

    method: str
    path: str

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods that it answers: HEAD beside GET, with the same status and headers (RFC 9110, 9.3.2)."""
        return ("GET", "HEAD") if self.method == "GET" else (self.method,)

    @property
    def public(self) -> bool:
        """Whether it needs no session."""
        return isinstance(self, PublicRoute)


@dataclass(frozen=True, slots=True)
class PublicRoute(Route):
    """A route without a session."""

    handler: Callable[[Handlers], PublicHandler]


@dataclass(frozen=True, slots=True)
class UserRoute(Route):
    """A route for the user of the session."""

    handler: Callable[[Handlers], UserHandler]
    takes_body: bool = field(default=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class ItemRoute(Route):
    """A route for one generation or image of the user."""

    handler: Callable[[Handlers], ItemHandler]


ROUTES: tuple[PublicRoute | UserRoute | ItemRoute, ...] = (
    UserRoute("POST", "image", lambda handlers: handlers.generate_image, takes_body=True),
    UserRoute("POST", "upload", lambda handlers: handlers.upload_image, takes_body=True),
    UserRoute("GET", "generations", lambda handlers: handlers.list_generations),
    ItemRoute("GET", "generations/{id}", lambda handlers: handlers.get_generation),
    ItemRoute("POST", "generations/{id}/cancel", lambda handlers: handlers.cancel_generation),
    ItemRoute("DELETE", "generations/{id}", lambda handlers: handlers.delete_generation),
    ItemRoute("GET", "images/{name}", lambda handlers: handlers.get_image),
    ItemRoute("DELETE", "images/{name}", lambda handlers: handlers.delete_upload),
    UserRoute("GET", "models", lambda handlers: handlers.list_models),
    UserRoute("GET", "usage", lambda handlers: handlers.get_usage),
    PublicRoute("GET", "health", lambda handlers: handlers.get_health),
    PublicRoute("GET", "openapi.json", lambda handlers: handlers.get_document),
    PublicRoute("GET", "docs", lambda handlers: handlers.get_page),
)


@dataclass(frozen=True, slots=True)
class Found:
    """The routes of one path, and the segment that stands where the pattern has braces; empty where it has none."""

    routes: tuple[PublicRoute | UserRoute | ItemRoute, ...]
    name: str

    @property
    def methods(self) -> tuple[str, ...]:
        """All methods of the path, without OPTIONS."""
        return tuple(method for route in self.routes for method in route.methods)

    def route(self, method: str) -> PublicRoute | UserRoute | ItemRoute:
        """Return the route of a method. Raises MethodNotAllowed."""
        for route in self.routes:
            if method in route.methods:
                return route
        raise MethodNotAllowed(self.methods)


def find(path: str) -> Found:
    """Return the routes of a path below the route prefix, which is still percent-encoded. Raises NotFound."""
    segments = [unquote(part) for part in path.strip("/").split("/")]
    # No id and no name of this API holds one of these, so nothing behind a route has to expect them.
    if any("/" in part or "\\" in part or "\0" in part or len(part) > MAX_SEGMENT_CHARACTERS for part in segments):
        raise NotFound
    names = [(route, name) for route in ROUTES if (name := _match(route.path, segments)) is not None]
    if not names:
        raise NotFound
    return Found(tuple(route for route, _ in names), names[0][1])


def fixed(path: str) -> str:
    """Return a path without parameters in the form of the table: the case of its letters does not count."""
    return path.strip("/").lower()


def _match(pattern: str, segments: list[str]) -> str | None:
    """Return the segment where the pattern has braces, empty where it has none; None where the path is another one."""
    parts = pattern.split("/")
    if len(parts) != len(segments):
        return None
    name = ""
    for part, segment in zip(parts, segments, strict=True):
        if part.startswith("{"):
            if segment in {"", ".", ".."}:
                return None
            name = segment
        elif part != segment.lower():
            return None
    return name
