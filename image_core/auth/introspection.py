"""Opaque sessions, kept in the front end's database: the front end is asked whose they are.

Strangers can send any cookie, so what they can make this process and the front end do is bounded: an answer is
remembered for a while, also that there is no session; one cookie is asked about once at a time; and cookies that were
never a session have connections and a queue of their own, so that they cannot delay those that were.
"""

import asyncio
import hashlib
import json
import logging
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from itertools import islice
from typing import Any, Generic, TypeVar
from urllib.parse import urlsplit

import aiohttp
from yarl import URL

from image_core.auth.claims import user_named
from image_core.auth.cookies import Token
from image_core.auth.user import User
from image_core.clock import Clock
from image_core.errors import Misconfigured, SessionUnavailable, Unauthorized
from image_core.settings import Settings

log = logging.getLogger("image_core.auth")

SECONDS = 5.0
"""The longest that asking may take, with waiting for a connection."""
CACHED_SECONDS = 30.0
"""How long a session that was ended at the front end may still open this API."""
REFUSED_SECONDS = 10.0
"""How long a cookie that was no session is not asked about again."""
MAX_CACHED = 2000
"""Sessions, and as many refused cookies, that are remembered."""
CONNECTIONS = 8
"""For cookies that were a session before, and as many for those that were not."""
MAX_WAITING = 64
"""Cookies that wait for a connection; beyond it SessionUnavailable at once."""
MAX_READINGS = 3
"""How many readings of an ambiguous `Cookie` header the front end is asked about."""
MAX_REDIRECTS = 3
MAX_ANSWER_BYTES = 64 * 1024
OK = 200
REDIRECTS = {301, 302, 303, 307, 308}

Value = TypeVar("Value")


class _Remembered(Generic[Value]):
    """The newest values by key, each for a while. What is forgotten first is what was remembered first."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        self._clock = clock
        self._seconds = seconds
        self._values: OrderedDict[bytes, tuple[float, Value]] = OrderedDict()

    def get(self, key: bytes) -> Value | None:
        """The value while it is fresh."""
        known = self._values.get(key)
        return known[1] if known is not None and known[0] > self._clock.monotonic() else None

    def __contains__(self, key: bytes) -> bool:
        """Whether there is a value, fresh or not."""
        return key in self._values

    def put(self, key: bytes, value: Value) -> None:
        self._values[key] = (self._clock.monotonic() + self._seconds, value)
        self._values.move_to_end(key)
        if len(self._values) > MAX_CACHED:
            self._values.popitem(last=False)


class _Lane:
    """A number of connections and a bounded queue for them."""

    def __init__(self) -> None:
        self._free = asyncio.Semaphore(CONNECTIONS)
        self._waiting = 0

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[None]:
        """Raises SessionUnavailable where too many wait already."""
        if self._waiting >= MAX_WAITING:
            raise SessionUnavailable
        self._waiting += 1
        try:
            await self._free.acquire()
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._free.release()


class Introspection:
    def __init__(self, settings: Settings, clock: Clock) -> None:
        if settings.nextauth_url is None:
            raise Misconfigured("NEXTAUTH_URL is not set: there is nobody to ask about sessions")
        self._url = URL(session_endpoint(settings.nextauth_url))
        self._clock = clock
        self._sessions: _Remembered[User] = _Remembered(clock, CACHED_SECONDS)
        self._refused: _Remembered[str] = _Remembered(clock, REFUSED_SECONDS)
        self._asking: dict[bytes, asyncio.Task[User]] = {}
        self._known, self._unknown = _Lane(), _Lane()
        self._http: aiohttp.ClientSession | None = None

    async def user(self, tokens: tuple[Token, ...]) -> User:
        """The user, as the front end says. Raises Unauthorized; SessionUnavailable where it does not answer."""
        reason: str | None = None
        for cookie in islice(_readings(tokens), MAX_READINGS):
            try:
                return await self._user_of(cookie)
            except Unauthorized as error:
                reason = reason or error.reason
        raise Unauthorized(reason or "no_session_cookie")

    async def _user_of(self, cookie: str) -> User:
        """The user of one `Cookie` header. Raises Unauthorized, SessionUnavailable."""
        if not cookie.isascii() or not cookie.isprintable():
            raise Unauthorized("bad_cookie")
        key = hashlib.sha256(cookie.encode()).digest()
        if (user := self._sessions.get(key)) is not None:
            return user
        if (reason := self._refused.get(key)) is not None:
            raise Unauthorized(reason)
        asking = self._asking.get(key)
        if asking is None:
            asking = self._asking[key] = asyncio.create_task(self._asked(key, cookie))
            asking.add_done_callback(lambda done: self._answered(key, done))
        # Shielded, so that one request that is given up does not fail the others with the same cookie.
        return await asyncio.shield(asking)

    def _answered(self, key: bytes, done: "asyncio.Task[User]") -> None:
        self._asking.pop(key, None)
        if not done.cancelled():
            done.exception()  # retrieved, for the case that nobody waits any more

    async def _asked(self, key: bytes, cookie: str) -> User:
        """Ask, and remember what the front end says."""
        lane = self._known if key in self._sessions else self._unknown
        try:
            async with asyncio.timeout(SECONDS), lane.connection():
                body = await self._fetch(cookie)
        except (aiohttp.ClientError, OSError) as error:  # TimeoutError is an OSError
            log.warning("the front end did not answer: %s", type(error).__name__)
            raise SessionUnavailable from None
        try:
            user = self._read(body)
        except Unauthorized as error:
            self._refused.put(key, error.reason)
            raise
        self._sessions.put(key, user)
        return user

    async def _fetch(self, cookie: str) -> bytes:
        """The body of the front end's answer. Redirects are followed within its origin, so that the cookie goes nowhere else."""
        if self._http is None:
            self._http = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=2 * CONNECTIONS),
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
                auto_decompress=False,
            )
        url = self._url
        for _ in range(1 + MAX_REDIRECTS):
            headers = {"Cookie": cookie, "Accept": "application/json", "Accept-Encoding": "identity"}
            async with self._http.get(url, headers=headers, allow_redirects=False) as answer:
                if answer.status == OK:
                    return await _body(answer)
                if answer.status not in REDIRECTS:
                    log.warning("the front end answered %d", answer.status)
                    raise SessionUnavailable
                url = self._redirected(url, answer.headers.get("Location", ""))
        log.warning("the front end redirects more than %d times", MAX_REDIRECTS)
        raise SessionUnavailable

    def _redirected(self, url: URL, location: str) -> URL:
        """Where a redirect leads. Raises SessionUnavailable where that is another origin."""
        try:
            target = url.join(URL(location))
            same = bool(location) and target.user is None and target.origin() == self._url.origin()
        except ValueError:
            same = False
        if not same:
            log.warning("the front end redirects to another origin: NEXTAUTH_URL must be its final address")
            raise SessionUnavailable
        return target

    def _read(self, body: bytes) -> User:
        """`{"user": {…}, "expires": …}`; no session is `{}` in v4 and `null` in v5."""
        try:
            session: Any = json.loads(body)
        except (ValueError, RecursionError):
            log.warning("the front end did not answer with JSON")
            raise SessionUnavailable from None
        if not isinstance(session, dict) or not isinstance(user := session.get("user"), dict):
            raise Unauthorized("no_session")
        try:
            expires = datetime.fromisoformat(session.get("expires") or "")
        except (TypeError, ValueError):
            raise Unauthorized("no_exp") from None
        if expires.replace(tzinfo=expires.tzinfo or UTC) <= self._clock.now():
            raise Unauthorized("expired")
        return user_named(user.get("email"), user.get("sub") or user.get("id"))

    async def close(self) -> None:
        for task in list(self._asking.values()):
            task.cancel()
        await asyncio.gather(*self._asking.values(), return_exceptions=True)
        http, self._http = self._http, None
        if http is not None:
            await http.close()


async def _body(answer: aiohttp.ClientResponse) -> bytes:
    """At most MAX_ANSWER_BYTES of the body: a longer one is no session, and what is cut off is no JSON."""
    body = bytearray()
    while len(body) < MAX_ANSWER_BYTES and (more := await answer.content.read(MAX_ANSWER_BYTES - len(body))):
        body += more
    return bytes(body)


def _readings(tokens: tuple[Token, ...]) -> Iterator[str]:
    """The `Cookie` headers that a request's tokens may mean, likeliest first, each with one session for every name."""
    by_name: dict[str, list[Token]] = {}
    for token in tokens:
        by_name.setdefault(token.cookie, []).append(token)
    for place in range(max(map(len, by_name.values()), default=0)):
        chosen = [found[place] for found in by_name.values() if place < len(found)]
        yield "; ".join(f"{name}={value}" for token in chosen for name, value in token.pairs)


def session_endpoint(nextauth_url: str) -> str:
    """NextAuth's own rule: an address without a path gets `/api/auth`, one with a path is that already."""
    path = urlsplit(nextauth_url).path.rstrip("/")
    return nextauth_url.rstrip("/") + ("/session" if path else "/api/auth/session")
