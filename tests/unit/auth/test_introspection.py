"""Database sessions: the front end is asked, briefly remembered, and its silence is not a 401."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
from aiohttp import web

from image_core.auth import introspection
from image_core.auth.introspection import session_endpoint
from image_core.auth.sessions import Sessions, sessions_from
from image_core.clock import Clock
from image_core.errors import SessionUnavailable, Unauthorized
from image_core.settings import Settings

COOKIE = "next-auth.session-token=opaque-1"
ADA: dict[str, Any] = {"user": {"email": "Ada@example.com"}, "expires": "2999-01-01T00:00:00.000Z"}


class FrontEnd:
    """A front end's session endpoint that answers as it is told, and to whom it is told (`sessions`, by cookie)."""

    def __init__(self) -> None:
        self.sessions: set[str] | None = None
        self.location = "/elsewhere"
        self.headers: list[Mapping[str, str]] = []
        self.paths: list[str] = []
        self.busy = 0
        self.busiest = 0
        self.gate: asyncio.Event | None = None
        self.awaited = 1
        self.arrived = asyncio.Event()
        self.answer: Any = ADA
        self.status = 200
        self.raw: bytes | None = None
        self.seen: list[str] = []
        self.url = ""

    async def handle(self, request: web.Request) -> web.Response:
        cookie = request.headers.get("Cookie", "")
        self.seen.append(cookie)
        self.headers.append(request.headers)
        self.paths.append(request.path)
        self.busy += 1
        self.busiest = max(self.busiest, self.busy)
        if self.busy == self.awaited:
            self.arrived.set()
        try:
            if self.gate is not None and (self.sessions is None or cookie not in self.sessions):
                await self.gate.wait()
        finally:
            self.busy -= 1
        if self.raw is not None:
            return web.Response(body=self.raw, status=self.status)
        answer = self.answer if self.sessions is None or cookie in self.sessions else {}
        return web.json_response(answer, status=self.status, headers={"Set-Cookie": "x=1", "Location": self.location})

    async def redirect(self, request: web.Request) -> web.Response:
        """As `trailingSlash` of Next.js does it."""
        self.paths.append(request.path)
        raise web.HTTPPermanentRedirect(f"{request.path}/?{request.query_string}".rstrip("?"))


@pytest.fixture
async def front() -> AsyncIterator[FrontEnd]:
    end = FrontEnd()
    app = web.Application()
    app.router.add_get("/api/auth/session", end.handle)
    app.router.add_get("/shop/api/auth/session", end.redirect)
    app.router.add_get("/shop/api/auth/session/", end.handle)
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
    made = sessions_from(settings, Clock(monotonic=lambda: time.now))
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
async def test_no_session_is_401_and_is_remembered_briefly(
    front: FrontEnd, sessions: Sessions, time: Time, answer: Any
) -> None:
    front.answer = answer
    for _ in range(3):
        with pytest.raises(Unauthorized):
            await sessions.user({"cookie": COOKIE})
    assert len(front.seen) == 1
    front.answer = ADA
    time.now += introspection.REFUSED_SECONDS + 1
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
    away = sessions_from(settings)
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


async def asking(front: FrontEnd, time: Time, path: str = "") -> Sessions:
    settings = Settings.read({"NEXTAUTH_JWT": "introspect", "NEXTAUTH_URL": front.url + path})
    return sessions_from(settings, Clock(monotonic=lambda: time.now))


async def test_a_redirect_within_the_front_ends_origin_is_followed_with_the_cookie(front: FrontEnd, time: Time) -> None:
    sessions = await asking(front, time, "/shop/api/auth")
    assert (await sessions.user({"cookie": COOKIE})).id == "ada@example.com"
    assert front.paths == ["/shop/api/auth/session", "/shop/api/auth/session/"]
    assert front.seen == [COOKIE]
    await sessions.close()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_to_another_origin_is_not_followed(front: FrontEnd, sessions: Sessions, status: int) -> None:
    other = FrontEnd()
    app = web.Application()
    app.router.add_get("/{path:.*}", other.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port = runner.addresses[0][1]
    front.status = status
    for location in (
        *(f"http://127.0.0.1:{port}/api/auth/session", f"//127.0.0.1:{port}/x", f"http://localhost:{port}/x"),
        *(front.url.replace("http", "https"), f"http://user@{front.url[7:]}/x", "http://[", "javascript:1", ""),
        f"{front.url}@127.0.0.1:{port}/x",
    ):
        front.location = location
        with pytest.raises(SessionUnavailable):
            await sessions.user({"cookie": COOKIE})
    assert other.seen == []
    await runner.cleanup()


async def test_redirects_in_a_circle_end(front: FrontEnd, sessions: Sessions) -> None:
    front.status, front.location = 307, "/api/auth/session"
    with pytest.raises(SessionUnavailable):
        await sessions.user({"cookie": COOKIE})
    assert len(front.seen) == 1 + introspection.MAX_REDIRECTS


async def test_a_cookie_is_asked_about_once_at_a_time(front: FrontEnd, sessions: Sessions) -> None:
    front.gate = asyncio.Event()
    waiting = [asyncio.create_task(sessions.user({"cookie": COOKIE})) for _ in range(20)]
    await front.arrived.wait()
    waiting[0].cancel()  # which must not fail the others
    front.gate.set()
    found = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(found[0], asyncio.CancelledError)
    assert {user.id for user in found[1:]} == {"ada@example.com"}  # type: ignore[union-attr] # each is a User
    assert len(front.seen) == 1


async def test_strangers_cannot_exhaust_the_front_end_nor_delay_those_who_are_signed_in(
    front: FrontEnd, sessions: Sessions, time: Time
) -> None:
    front.sessions = {COOKIE}
    await sessions.user({"cookie": COOKIE})
    time.now += introspection.CACHED_SECONDS + 1
    front.gate, front.awaited = asyncio.Event(), introspection.CONNECTIONS
    front.arrived.clear()
    count = introspection.CONNECTIONS + introspection.MAX_WAITING + 50
    strangers = [
        asyncio.create_task(sessions.user({"cookie": f"next-auth.session-token=wrong-{n}"})) for n in range(count)
    ]
    await front.arrived.wait()
    # Every connection for strangers is taken; one that was a session before has others.
    assert (await sessions.user({"cookie": COOKIE})).id == "ada@example.com"
    front.gate.set()
    found = await asyncio.gather(*strangers, return_exceptions=True)
    assert front.busiest <= introspection.CONNECTIONS + 1
    assert sum(isinstance(each, Unauthorized) for each in found) == count - 50
    assert sum(isinstance(each, SessionUnavailable) for each in found) == 50


async def test_wrong_cookies_do_not_drive_out_sessions_that_are_remembered(
    front: FrontEnd, sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(introspection, "MAX_CACHED", 5)
    front.sessions = {COOKIE}
    await sessions.user({"cookie": COOKIE})
    for n in range(12):
        with pytest.raises(Unauthorized):
            await sessions.user({"cookie": f"next-auth.session-token=wrong-{n}"})
    before = len(front.seen)
    await sessions.user({"cookie": COOKIE})
    with pytest.raises(Unauthorized):
        await sessions.user({"cookie": "next-auth.session-token=wrong-11"})
    assert len(front.seen) == before
    with pytest.raises(Unauthorized):
        await sessions.user({"cookie": "next-auth.session-token=wrong-0"})
    assert len(front.seen) == before + 1


async def test_what_else_is_sent_does_not_spoil_an_opaque_session(front: FrontEnd, sessions: Sessions) -> None:
    front.sessions = {COOKIE}
    for header in (
        f"next-auth.session-token.0=stray; {COOKIE}; next-auth.session-token.1=",
        f"theme=dark,{COOKIE},lang=de",
        f"next-auth.session-token=stale; {COOKIE}",
    ):
        assert (await sessions.user({"cookie": header})).id == "ada@example.com"


async def test_an_opaque_session_is_sent_as_it_came(front: FrontEnd, sessions: Sessions) -> None:
    for value in ("a%2Cb%3D", "a,b", "a,b=="):
        front.sessions = {f"next-auth.session-token={value}"}
        await sessions.user({"cookie": f"next-auth.session-token={value}"})


async def test_an_ambiguous_header_is_asked_about_a_few_times_at_most(front: FrontEnd, sessions: Sessions) -> None:
    front.answer = {}
    header = "; ".join(f"next-auth.session-token={n}" for n in range(15))
    with pytest.raises(Unauthorized):
        await sessions.user({"cookie": header})
    assert len(front.seen) == introspection.MAX_READINGS


async def test_a_compressed_answer_is_not_asked_for(front: FrontEnd, sessions: Sessions) -> None:
    await sessions.user({"cookie": COOKIE})
    assert front.headers[0]["Accept-Encoding"] == "identity"
