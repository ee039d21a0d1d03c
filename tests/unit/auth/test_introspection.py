"""Database sessions: the front end is asked whose they are, its answer is cached, and without an answer it is a 503."""

import asyncio
import gc
import gzip
import json
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from aiohttp import web
from yarl import URL

from image_core.auth import introspection
from image_core.auth.introspection import Introspection, is_same_origin, session_endpoint
from image_core.auth.sessions import Sessions, sessions_from
from image_core.auth.user import User
from image_core.clock import Clock
from image_core.errors import SessionUnavailable, Unauthorized
from image_core.settings import Settings
from tests.support.fakes.clock import START, FakeClock

NAME = "next-auth.session-token"
COOKIE = f"{NAME}=opaque-1"
ADA: dict[str, Any] = {"user": {"email": "Ada@example.com"}, "expires": "2999-01-01T00:00:00.000Z"}


class FrontEnd:
    """A front end's session endpoint that gives `answer`; where `sessions` is set, only to these `Cookie` headers."""

    def __init__(self) -> None:
        self.sessions: set[str] | None = None
        self.location: str | None = "/elsewhere"
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
        self.encoding: str | None = None
        self.parts: list[bytes] = []
        self.cookies: list[str] = []
        self.url = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        cookie = request.headers.get("Cookie", "")
        self.cookies.append(cookie)
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
        if self.parts:
            return await self._in_parts(request)
        answer = self.answer if self.sessions is None or cookie in self.sessions else {}
        body = json.dumps(answer).encode() if self.raw is None else self.raw
        headers = {"Set-Cookie": "x=1", "Location": self.location, "Content-Encoding": self.encoding}
        return web.Response(
            body=body, status=self.status, headers={name: value for name, value in headers.items() if value is not None}
        )

    async def _in_parts(self, request: web.Request) -> web.StreamResponse:
        """Send `parts` one after another, so that the client receives each alone."""
        response = web.StreamResponse()
        await response.prepare(request)
        for part in self.parts:
            await response.write(part)
            for _ in range(10):
                await asyncio.sleep(0)
        return response

    async def redirect(self, request: web.Request) -> web.Response:
        """Redirect to the path with a slash, as `trailingSlash` of Next.js does."""
        self.paths.append(request.path)
        raise web.HTTPPermanentRedirect(f"{request.path}/?{request.query_string}".rstrip("?"))


async def started(front: FrontEnd, app: web.Application) -> web.AppRunner:
    """Start `app` on loopback; `front.url` becomes its address."""
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    front.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    return runner


@pytest.fixture
async def front() -> AsyncIterator[FrontEnd]:
    front = FrontEnd()
    app = web.Application()
    app.router.add_get("/api/auth/session", front.handle)
    app.router.add_get("/shop/api/auth/session", front.redirect)
    app.router.add_get("/shop/api/auth/session/", front.handle)
    runner = await started(front, app)
    yield front
    if front.gate is not None:
        front.gate.set()
    await runner.cleanup()


@pytest.fixture
async def elsewhere() -> AsyncIterator[FrontEnd]:
    """Start a server at another origin, which answers every path."""
    other = FrontEnd()
    app = web.Application()
    app.router.add_get("/{path:.*}", other.handle)
    runner = await started(other, app)
    yield other
    await runner.cleanup()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def sessions(front: FrontEnd, clock: FakeClock) -> AsyncIterator[Sessions]:
    made = sessions_at(front.url, clock.clock)
    yield made
    await made.close()


@pytest.fixture
async def loop_errors() -> AsyncIterator[list[dict[str, Any]]]:
    """Record what the event loop would log: errors in callbacks, exceptions of tasks that nothing retrieved."""
    errors: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: errors.append(context))
    yield errors
    loop.set_exception_handler(None)


def sessions_at(url: str, clock: Clock | None = None) -> Sessions:
    return sessions_from(Settings.read({"NEXTAUTH_JWT": "introspect", "NEXTAUTH_URL": url}), clock)


async def refusal(sessions: Sessions, cookie: str) -> str:
    """Return the reason for which a `Cookie` header is refused."""
    with pytest.raises(Unauthorized) as caught:
        await sessions.user({"cookie": cookie})
    return caught.value.reason


async def test_the_front_end_receives_the_session_cookie_only(front: FrontEnd, sessions: Sessions) -> None:
    user = await sessions.user({"cookie": f"tracking=1; {COOKIE}; theme=dark"})
    assert user.id == "ada@example.com"
    assert front.cookies == [COOKIE]


async def test_chunks_and_sessions_of_two_names_are_sent_in_one_request(front: FrontEnd, sessions: Sessions) -> None:
    await sessions.user({"cookie": f"{NAME}.1=b; {NAME}.0=a; __Secure-{NAME}=c"})
    assert front.cookies == [f"__Secure-{NAME}=c; {NAME}.0=a; {NAME}.1=b"]


async def test_of_a_name_with_two_values_both_are_tried_beside_the_other_names(
    front: FrontEnd, sessions: Sessions
) -> None:
    front.sessions = {f"{NAME}=second"}
    user = await sessions.user({"cookie": f"{NAME}=first; __Secure-{NAME}=only; {NAME}=second"})
    assert user.id == "ada@example.com"
    assert front.cookies == [f"__Secure-{NAME}=only; {NAME}=first", f"{NAME}=second"]


async def test_cookies_that_the_front_end_sets_are_not_sent_with_other_sessions(
    front: FrontEnd, clock: FakeClock
) -> None:
    sessions = sessions_at(front.url.replace("127.0.0.1", "localhost"), clock.clock)
    await sessions.user({"cookie": COOKIE})
    await sessions.user({"cookie": f"{COOKIE}2"})
    assert front.cookies == [COOKIE, f"{COOKIE}2"]
    await sessions.close()


async def test_sessions_are_not_sent_through_a_proxy_of_the_environment(
    front: FrontEnd, elsewhere: FrontEnd, sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, elsewhere.url)
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "")
    await sessions.user({"cookie": COOKIE})
    assert (front.cookies, elsewhere.cookies) == ([COOKIE], [])


async def test_the_front_end_is_asked_for_json_that_is_not_compressed(front: FrontEnd, sessions: Sessions) -> None:
    await sessions.user({"cookie": COOKIE})
    assert front.headers[0]["Accept"] == "application/json"
    assert front.headers[0]["Accept-Encoding"] == "identity"


async def test_a_compressed_answer_is_not_unpacked(front: FrontEnd, sessions: Sessions) -> None:
    front.raw, front.encoding = gzip.compress(json.dumps(ADA).encode()), "gzip"
    with pytest.raises(SessionUnavailable):
        await sessions.user({"cookie": COOKIE})


@pytest.mark.parametrize("value", ["a%2Cb%3D", "a,b", "a,b=="])
async def test_an_opaque_session_is_sent_as_it_came(front: FrontEnd, sessions: Sessions, value: str) -> None:
    front.sessions = {f"{NAME}={value}"}
    assert (await sessions.user({"cookie": f"{NAME}={value}"})).id == "ada@example.com"


@pytest.mark.parametrize("value", ["opaque-é", "opaque-\x01", "opaque-\x7f", "a\r\nX-Header: 1"], ids=ascii)
async def test_a_cookie_that_no_header_may_hold_is_refused_and_not_sent(
    front: FrontEnd, sessions: Sessions, value: str
) -> None:
    assert await refusal(sessions, f"{NAME}={value}") == "bad_cookie"
    assert front.cookies == []


async def test_without_a_session_nothing_is_asked(front: FrontEnd, clock: FakeClock) -> None:
    verifier = Introspection(front.url, clock.clock)
    with pytest.raises(Unauthorized) as caught:
        await verifier.user(())
    assert caught.value.reason == "no_session_cookie"
    assert front.cookies == []


async def test_a_session_is_cached_for_a_while_and_for_its_cookie_only(
    front: FrontEnd, sessions: Sessions, clock: FakeClock
) -> None:
    await sessions.user({"cookie": COOKIE})
    await clock.advance(introspection.CACHED_SECONDS - 0.01)
    await sessions.user({"cookie": COOKIE})
    assert front.cookies == [COOKIE]
    front.answer = {}
    assert await refusal(sessions, f"{COOKIE}2") == "no_session"
    await clock.advance(0.01)
    assert await refusal(sessions, COOKIE) == "no_session"
    assert front.cookies == [COOKIE, f"{COOKIE}2", COOKIE]


USER = ADA["user"]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ({}, "no_session"),
        (None, "no_session"),
        ([], "no_session"),
        ({"user": None}, "no_session"),
        ({"user": "ada@example.com", "expires": ADA["expires"]}, "no_session"),
        ({"user": {"name": "x"}, "expires": ADA["expires"]}, "no_user"),
        ({"user": {"email": "ada"}, "expires": ADA["expires"]}, "bad_user"),
        ({"user": USER}, "no_exp"),
        ({"user": USER, "expires": None}, "no_exp"),
        ({"user": USER, "expires": 7}, "no_exp"),
        ({"user": USER, "expires": "tomorrow"}, "no_exp"),
        ({"user": USER, "expires": "2001-01-01T00:00:00.000Z"}, "expired"),
    ],
    ids=str,
)
async def test_a_refusal_has_its_reason_and_is_cached_for_a_while(
    front: FrontEnd, sessions: Sessions, clock: FakeClock, answer: Any, reason: str
) -> None:
    front.answer = answer
    assert await refusal(sessions, COOKIE) == reason
    front.answer = ADA
    await clock.advance(introspection.REFUSED_SECONDS - 0.01)
    assert await refusal(sessions, COOKIE) == reason
    assert front.cookies == [COOKIE]
    await clock.advance(0.01)
    assert (await sessions.user({"cookie": COOKIE})).id == "ada@example.com"


async def test_the_reason_of_the_most_likely_reading_is_given(front: FrontEnd, sessions: Sessions) -> None:
    front.answer = {}
    assert await refusal(sessions, f"{NAME}=opaque; {NAME}=é") == "no_session"
    assert await refusal(sessions, f"{NAME}=é; {NAME}=opaque") == "bad_cookie"


EAST, WEST = timezone(timedelta(hours=2)), timezone(timedelta(hours=-2))
SECOND = timedelta(seconds=1)


def without_offset(moment: datetime) -> str:
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat()


@pytest.mark.parametrize(
    ("expires", "valid"),
    [
        (START.isoformat(), False),
        ((START + SECOND).isoformat(), True),
        ((START - SECOND).astimezone(WEST).isoformat(), False),
        ((START + SECOND).astimezone(WEST).isoformat(), True),
        ((START - SECOND).astimezone(EAST).isoformat(), False),
        ((START + SECOND).astimezone(EAST).isoformat(), True),
        (without_offset(START), False),
        (without_offset(START + SECOND), True),
        ("9999-12-31T23:59:59-12:00", True),
        ("0001-01-01T00:00:00+12:00", False),
    ],
)
async def test_a_session_is_valid_before_it_expires(
    front: FrontEnd, sessions: Sessions, expires: str, valid: bool
) -> None:
    front.answer = {**ADA, "expires": expires}
    if valid:
        assert (await sessions.user({"cookie": COOKIE})).id == "ada@example.com"
    else:
        assert await refusal(sessions, COOKIE) == "expired"


@pytest.mark.parametrize(
    ("user", "user_id"),
    [
        ({"email": "Ada@example.com", "sub": "7", "id": "8"}, "ada@example.com"),
        ({"email": None, "sub": "7", "id": "8"}, "sub:7"),
        ({"sub": "7"}, "sub:7"),
        ({"id": "8"}, "sub:8"),
        ({"sub": "", "id": 8}, "sub:8"),
    ],
    ids=str,
)
async def test_a_user_is_known_by_email_then_subject_then_id(
    front: FrontEnd, sessions: Sessions, user: dict[str, Any], user_id: str
) -> None:
    front.answer = {**ADA, "user": user}
    assert (await sessions.user({"cookie": COOKIE})).id == user_id


@pytest.mark.parametrize(
    ("status", "raw"),
    [(500, None), (401, b"{}"), (204, b""), (302, None), (404, None), (200, b"<html>"), (200, b""), (200, b"\xff")],
)
async def test_a_front_end_that_does_not_answer_with_a_session_is_503_and_not_cached(
    front: FrontEnd, sessions: Sessions, status: int, raw: bytes | None
) -> None:
    front.status, front.raw = status, raw
    with pytest.raises(SessionUnavailable):
        await sessions.user({"cookie": COOKIE})
    front.status, front.raw = 200, None
    assert (await sessions.user({"cookie": COOKIE})).id == "ada@example.com"


def padded(size: int) -> bytes:
    """Return a session of `size` bytes."""
    body = json.dumps({**ADA, "x": ""}).encode()
    return body[:-2] + b"x" * (size - len(body)) + body[-2:]


async def test_an_answer_may_have_64_kib_and_no_more(front: FrontEnd, sessions: Sessions) -> None:
    front.raw = padded(introspection.MAX_ANSWER_BYTES)
    assert (await sessions.user({"cookie": COOKIE})).id == "ada@example.com"
    front.raw = padded(introspection.MAX_ANSWER_BYTES + 1)
    with pytest.raises(SessionUnavailable):
        await sessions.user({"cookie": f"{COOKIE}2"})


async def test_an_answer_may_arrive_in_parts(front: FrontEnd, sessions: Sessions) -> None:
    answer = json.dumps(ADA).encode()
    front.parts = [answer[:10], answer[10:30], answer[30:]]
    assert (await sessions.user({"cookie": COOKIE})).id == "ada@example.com"


@pytest.mark.parametrize("beginning", [b"[", b'{"a":'], ids=["lists", "objects"])
async def test_deeply_nested_json_is_503(front: FrontEnd, sessions: Sessions, beginning: bytes) -> None:
    front.raw = beginning * (60_000 // len(beginning))
    with pytest.raises(SessionUnavailable):
        await sessions.user({"cookie": COOKIE})


async def test_a_front_end_that_cannot_be_reached_is_503() -> None:
    unreachable = sessions_at("http://127.0.0.1:9")
    with pytest.raises(SessionUnavailable):
        await unreachable.user({"cookie": COOKIE})
    await unreachable.close()


async def test_a_front_end_that_does_not_answer_in_time_is_503(front: FrontEnd, clock: FakeClock) -> None:
    front.gate = asyncio.Event()
    sessions = Sessions(Introspection(front.url, clock.clock, timeout=0.05))
    with pytest.raises(SessionUnavailable):
        await sessions.user({"cookie": COOKIE})
    assert front.cookies == [COOKIE]
    await sessions.close()


@pytest.mark.parametrize(
    ("url", "endpoint"),
    [
        ("https://example.com", "https://example.com/api/auth/session"),
        ("https://example.com/", "https://example.com/api/auth/session"),
        ("https://example.com/shop/api/auth", "https://example.com/shop/api/auth/session"),
        ("https://example.com/shop/api/auth/", "https://example.com/shop/api/auth/session"),
        ("https://example.com/X", "https://example.com/X/session"),
    ],
)
def test_the_endpoint_follows_nextauths_rule(url: str, endpoint: str) -> None:
    assert session_endpoint(url) == endpoint


async def test_a_redirect_within_the_front_ends_origin_is_followed_with_the_cookie(
    front: FrontEnd, clock: FakeClock
) -> None:
    sessions = sessions_at(f"{front.url}/shop/api/auth", clock.clock)
    assert (await sessions.user({"cookie": COOKIE})).id == "ada@example.com"
    assert front.paths == ["/shop/api/auth/session", "/shop/api/auth/session/"]
    assert front.cookies == [COOKIE]
    await sessions.close()


ELSEWHERE: list[tuple[str, str | None]] = [
    ("another port", "http://{other}/api/auth/session"),
    ("another port, without a scheme", "//{other}/api/auth/session"),
    ("another host", "http://localhost:{port}/api/auth/session"),
    ("another scheme", "https://{front}/api/auth/session"),
    ("a user", "http://user@{front}/api/auth/session"),
    ("a password", "http://:password@{front}/api/auth/session"),
    ("the front end as the user", "http://{front}@{other}/api/auth/session"),
    ("no URL", "http://["),
    ("no host", "https:///api/auth/session"),
    ("a script", "javascript:1"),
    ("an empty address", ""),
    ("no address", None),
]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("location", [row[1] for row in ELSEWHERE], ids=[row[0] for row in ELSEWHERE])
async def test_a_redirect_to_another_origin_is_not_followed(
    front: FrontEnd, elsewhere: FrontEnd, sessions: Sessions, location: str | None, status: int
) -> None:
    authority, other = front.url.removeprefix("http://"), elsewhere.url.removeprefix("http://")
    front.status = status
    front.location = location and location.format(front=authority, other=other, port=authority.partition(":")[2])
    with pytest.raises(SessionUnavailable):
        await sessions.user({"cookie": COOKIE})
    assert front.paths == ["/api/auth/session"]
    assert elsewhere.paths == []


@pytest.mark.parametrize(
    ("target", "same"),
    [
        ("https://example.com:443/session", True),
        ("https://EXAMPLE.com/session", True),
        ("https://example.com:8443/session", False),
        ("http://example.com:443/session", False),
        ("http://example.com/session", False),
        ("https://www.example.com/session", False),
        ("https://user@example.com/session", False),
        ("https://:password@example.com/session", False),
        ("https:///session", False),
    ],
)
def test_an_origin_is_a_scheme_a_host_and_a_port(target: str, *, same: bool) -> None:
    assert is_same_origin(URL(target), URL("https://example.com/api/auth/session")) == same


async def test_redirects_in_a_circle_end(front: FrontEnd, sessions: Sessions) -> None:
    front.status, front.location = 307, "/api/auth/session"
    with pytest.raises(SessionUnavailable):
        await sessions.user({"cookie": COOKIE})
    assert len(front.cookies) == 1 + introspection.MAX_REDIRECTS


async def test_simultaneous_callers_with_one_cookie_share_one_request(front: FrontEnd, sessions: Sessions) -> None:
    front.gate = asyncio.Event()
    waiting = [asyncio.create_task(sessions.user({"cookie": COOKIE})) for _ in range(20)]
    await front.arrived.wait()
    waiting[0].cancel()  # which must not fail the others
    front.gate.set()
    found = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(found[0], asyncio.CancelledError)
    assert [user.id for user in found[1:] if isinstance(user, User)] == ["ada@example.com"] * 19
    assert len(front.cookies) == 1


async def test_a_request_that_fails_after_its_caller_is_gone_is_no_error_of_the_process(
    front: FrontEnd, sessions: Sessions, clock: FakeClock, loop_errors: list[dict[str, Any]]
) -> None:
    front.gate, front.answer = asyncio.Event(), {}
    caller = asyncio.create_task(sessions.user({"cookie": COOKIE}))
    await front.arrived.wait()
    caller.cancel()
    await asyncio.wait({caller})
    del caller  # its traceback refers to the request
    front.gate.set()
    await refusal(sessions, f"{COOKIE}2")  # its answer arrives after that of the first request
    assert await refusal(sessions, COOKIE) == "no_session"
    assert len(front.cookies) == 2
    gc.collect()
    assert loop_errors == []


async def test_close_ends_running_requests_and_may_be_called_twice(
    front: FrontEnd, sessions: Sessions, loop_errors: list[dict[str, Any]]
) -> None:
    front.gate = asyncio.Event()
    caller = asyncio.create_task(sessions.user({"cookie": COOKIE}))
    await front.arrived.wait()
    await sessions.close()
    with pytest.raises(asyncio.CancelledError):
        await caller
    await sessions.close()
    gc.collect()
    assert loop_errors == []


async def test_unknown_cookies_neither_exhaust_the_front_end_nor_delay_known_sessions(
    front: FrontEnd, sessions: Sessions, clock: FakeClock
) -> None:
    front.sessions = {COOKIE}
    await sessions.user({"cookie": COOKIE})
    await clock.advance(introspection.CACHED_SECONDS)
    front.gate, front.awaited = asyncio.Event(), introspection.CONNECTIONS
    front.arrived.clear()
    count = introspection.CONNECTIONS + introspection.MAX_WAITING + 50
    unknown = [asyncio.create_task(sessions.user({"cookie": f"{NAME}=wrong-{n}"})) for n in range(count)]
    await front.arrived.wait()
    # Every connection for unknown cookies is taken; one that was a session before has others.
    assert (await sessions.user({"cookie": COOKIE})).id == "ada@example.com"
    front.gate.set()
    found = await asyncio.gather(*unknown, return_exceptions=True)
    assert front.busiest <= introspection.CONNECTIONS + 1
    assert sum(isinstance(each, Unauthorized) for each in found) == count - 50
    assert sum(isinstance(each, SessionUnavailable) for each in found) == 50


async def test_of_too_many_cached_sessions_the_oldest_is_removed(
    front: FrontEnd, sessions: Sessions, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(introspection, "MAX_CACHED", 3)

    async def asked(*numbers: int) -> list[str]:
        """Send these sessions; return those that the front end was asked about."""
        front.cookies.clear()
        for number in numbers:
            await sessions.user({"cookie": f"{NAME}={number}"})
        return [cookie.removeprefix(f"{NAME}=") for cookie in front.cookies]

    assert await asked(1, 2, 3) == ["1", "2", "3"]
    assert await asked(1, 2, 3) == []
    await clock.advance(introspection.CACHED_SECONDS)
    assert await asked(1) == ["1"]  # stored again: 2 is the oldest now
    await clock.advance(-introspection.CACHED_SECONDS)
    assert await asked(4, 3, 1, 4) == ["4"]
    assert await asked(2) == ["2"]


async def test_unknown_cookies_do_not_displace_cached_sessions(
    front: FrontEnd, sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(introspection, "MAX_CACHED", 5)
    front.sessions = {COOKIE}
    await sessions.user({"cookie": COOKIE})
    for n in range(12):
        await refusal(sessions, f"{NAME}=wrong-{n}")
    before = len(front.cookies)
    await sessions.user({"cookie": COOKIE})
    await refusal(sessions, f"{NAME}=wrong-11")
    assert len(front.cookies) == before
    await refusal(sessions, f"{NAME}=wrong-0")
    assert len(front.cookies) == before + 1


@pytest.mark.parametrize(
    "header",
    [f"{NAME}.0=stray; {COOKIE}; {NAME}.1=", f"theme=dark,{COOKIE},lang=de", f"{NAME}=stale; {COOKIE}"],
    ids=["chunks", "two headers", "another value"],
)
async def test_other_cookies_do_not_spoil_an_opaque_session(front: FrontEnd, sessions: Sessions, header: str) -> None:
    front.sessions = {COOKIE}
    assert (await sessions.user({"cookie": header})).id == "ada@example.com"


async def test_a_few_readings_of_an_ambiguous_header_are_tried(front: FrontEnd, sessions: Sessions) -> None:
    front.answer = {}
    await refusal(sessions, "; ".join(f"{NAME}={n}" for n in range(15)))
    assert front.cookies == [f"{NAME}={n}" for n in range(introspection.MAX_READINGS)]
