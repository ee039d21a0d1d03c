"""An application without services: scripted handlers, and a session for every request with a cookie."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from image_core.api.http import Request, Response
from image_core.api.origin import OriginPolicy
from image_core.api.response_budget import ResponseBudget
from image_core.auth.user import User
from image_core.clock import Clock
from image_core.errors import Unauthorized
from image_core.runtime.memory_budget import MemoryBudget

ADA = User("ada@example.com")


async def answer_200(request: Request, *rest: User | str) -> Response:
    """Answer 200 with a body."""
    return Response(200, b"{}")


@dataclass
class FakeHandler:
    """Answers any route with `does`, and records the arguments of its calls."""

    does: Callable[..., Awaitable[Response]] = answer_200
    calls: list[tuple[Request | User | str, ...]] = field(default_factory=list)

    async def handle(self, request: Request, *rest: User | str) -> Response:
        """Record the call and answer it with `does`."""
        self.calls.append((request, *rest))
        return await self.does(request, *rest)


@dataclass
class FakeHandlers:
    """One handler for each route."""

    generate_image: FakeHandler = field(default_factory=FakeHandler)
    upload_image: FakeHandler = field(default_factory=FakeHandler)
    list_generations: FakeHandler = field(default_factory=FakeHandler)
    get_generation: FakeHandler = field(default_factory=FakeHandler)
    cancel_generation: FakeHandler = field(default_factory=FakeHandler)
    delete_generation: FakeHandler = field(default_factory=FakeHandler)
    get_image: FakeHandler = field(default_factory=FakeHandler)
    delete_upload: FakeHandler = field(default_factory=FakeHandler)
    list_models: FakeHandler = field(default_factory=FakeHandler)
    get_usage: FakeHandler = field(default_factory=FakeHandler)
    get_health: FakeHandler = field(default_factory=FakeHandler)
    get_document: FakeHandler = field(default_factory=FakeHandler)
    get_page: FakeHandler = field(default_factory=FakeHandler)


class FakeSessions:
    """Sessions in which every cookie is valid."""

    async def user(self, headers: Mapping[str, str]) -> User:
        """Return Ada. Raises Unauthorized without a cookie."""
        if "cookie" not in headers:
            raise Unauthorized("no_session_cookie")
        return ADA


@dataclass
class FakeApplication:
    """Implements `api.dispatch.Application`."""

    handlers: FakeHandlers = field(default_factory=FakeHandlers)
    max_request_bytes: int = 100
    memory_budget: MemoryBudget = field(default_factory=lambda: MemoryBudget(1000))
    response_budget: ResponseBudget = field(default_factory=lambda: ResponseBudget(None, Clock()))
    origin_policy: OriginPolicy = field(default_factory=lambda: OriginPolicy(["https://studio.example.com"], None))
    sessions: FakeSessions = field(default_factory=FakeSessions)
