"""Database sessions: the front end is asked, briefly remembered, and its silence is not a 401."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from image_core.clock import Clock
from image_core.errors import SessionUnavailable, Unauthorized
from image_core.session import Sessions
from image_core.session import introspect as introspection
from image_core.session.introspect import session_endpoint
from image_core.settings import Settings

COOKIE = "next-auth.session-token=opaque-1"
ADA: dict[str, Any] = {"user": {"email": "Ada@example.com"}, "expires": "2999-01-01T00:00:00.000Z"}


class FrontEnd:
    """A front end's session endpoint that answers as it is told."""

    def __init__(self) -> None:
        self.answer: Any = ADA
        self.status = 200
        self.raw: bytes | None = None
        self.delay = 0.0
        self.seen: list[str] = []
        self.url = ""

    async def handle(self, request: web.Request) -> web.Response:
        self.seen.append(request.headers.get("Cookie", ""))
        await asyncio.sleep(self.delay)
        if self.raw is not None:
            return web.Response(body=self.raw, status=self.status)
        return web.json_response(
            self.answer, status=self.status, headers={"Set-Cookie": "x=1", "Location": "/elsewhere"}
        )


@pytest.fixture
async def front() -> AsyncIterator[FrontEnd]:
    end = FrontEnd()
    app = web.Application()
    app.router.add_get("/api/auth/session", end.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    end.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield end
    await runner.cleanup()


class Time:
    """A monotonic clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 1000.0


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
async def sessions(front: FrontEnd, time: Time) -> AsyncIterator[Sessions]:
    settings = Settings.read({"NEXTAUTH_JWT": "introspect", "NEXTAUTH_URL": front.url})
    made = Sessions(settings, Clock(monotonic=lambda: time.now))
    yield made
    await made.close()


async def test_the_front_end_says_who_it_is_and_gets_the_session_cookie_alone(
    front: FrontEnd, sessions: Sessions
) -> None:
    user = await sessions.user({"cookie": f"tracking=1; {COOKIE}; theme=dark"})
    assert user.id == "ada@example.com"
    assert front.seen == [COOKIE]


async def test_the_answer_is_remembered_briefly_and_for_that_cookie_only(
    front: FrontEnd, sessions: Sessions, time: Time
) -> None:
    for _ in range(3):
        await sessions.user({"cookie": COOKIE})
    assert len(front.seen) == 1
    await sessions.user({"cookie": f"{COOKIE}2"})
    assert len(front.seen) == 2
    time.now += introspection.CACHED_SECONDS + 1
    await sessions.user({"cookie": COOKIE})
    assert len(front.seen) == 3


@pytest.mark.parametrize(
    "answer",
    [
        {},
        None,
        [],
        {"user": None},
        {"user": {"name": "x"}, "expires": ADA["expires"]},
        {"user": ADA["user"]},
        {"user": ADA["user"], "expires": "2001-01-01T00:00:00.000Z"},
        {"user": ADA["user"], "expires": 7},
    ],
    ids=str,
)
async def test_no_session_is_401_and_is_not_remembered(front: FrontEnd, sessions: Sessions, answer: Any) -> None:
    front.answer = answer
    with pytest.raises(Unauthorized):
        await sessions.user({"cookie": COOKIE})
    front.answer = ADA
    assert (await sessions.user({"cookie": COOKIE})).id == "ada@example.com"


@pytest.mark.parametrize(
    ("status", "raw"), [(500, None), (302, None), (404, None), (200, b"<html>"), (200, b"{" * 70_000)]
)
async def test_a_front_end_that_does_not_answer_properly_is_503(
    front: FrontEnd, sessions: Sessions, status: int, raw: bytes | None
) -> None:
    front.status, front.raw = status, raw
    with pytest.raises(SessionUnavailable):
        await sessions.user({"cookie": COOKIE})


async def test_a_front_end_that_is_away_is_503() -> None:
    settings = Settings.read({"NEXTAUTH_JWT": "introspect", "NEXTAUTH_URL": "http://127.0.0.1:9"})
    away = Sessions(settings)
    with pytest.raises(SessionUnavailable):
        await away.user({"cookie": COOKIE})
    await away.close()


@pytest.mark.parametrize(
    ("url", "endpoint"),
    [
        ("https://example.com", "https://example.com/api/auth/session"),
        ("https://example.com/", "https://example.com/api/auth/session"),
        ("https://example.com/shop/api/auth", "https://example.com/shop/api/auth/session"),
    ],
)
def test_the_endpoint_follows_nextauths_rule(url: str, endpoint: str) -> None:
    assert session_endpoint(url) == endpoint
