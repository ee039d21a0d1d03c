"""Verify opaque sessions, which are stored in the front end's database, by calling its session endpoint.

Anybody can send any cookie, so the work that a cookie causes is bounded: results are cached for a while, negative ones
too; there is one request at a time for the same cookie; and cookies that were never a session have their own
connections and queue, so that they cannot delay those that were.
"""

import asyncio
import hashlib
import json
import logging
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from itertools import islice
from typing import Any, Generic, TypeVar
from urllib.parse import urlsplit

import aiohttp
from aiohttp import hdrs
from yarl import URL

from image_core.auth.claims import user_named
from image_core.auth.cookies import Token
from image_core.auth.user import User
from image_core.clock import Clock
from image_core.errors import SessionUnavailable, Unauthorized

log = logging.getLogger("image_core.auth")

SECONDS = 5.0
"""Maximum time of one request, in seconds."""
CACHED_SECONDS = 30.0
"""Lifetime of a cached session, in seconds: so long a session that ended at the front end is still accepted."""
REFUSED_SECONDS = 10.0
"""Lifetime of a cached refusal, in seconds."""
MAX_CACHED = 2000
"""Maximum number of cached sessions, and of cached refusals."""
CONNECTIONS = 8
"""Connections for cookies that were a session before, and as many for those that were not."""
MAX_WAITING = 64
"""Maximum number of cookies that wait for a connection; the next one gets SessionUnavailable."""
MAX_READINGS = 3
"""Readings of an ambiguous `Cookie` header that are tried."""
MAX_REDIRECTS = 3
MAX_ANSWER_BYTES = 64 * 1024
OK = 200
REDIRECTS = {301, 302, 303, 307, 308}
ACCEPTED = {hdrs.ACCEPT: "application/json", hdrs.ACCEPT_ENCODING: "identity"}
"""Headers of a request. No compressed answer is accepted: a small one could expand to a gigabyte."""

Value = TypeVar("Value")


class _Cache(Generic[Value]):
    """A cache with a lifetime; beyond MAX_CACHED the oldest value is removed."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        self._clock = clock
        self._seconds = seconds
        self._values: OrderedDict[bytes, tuple[float, Value]] = OrderedDict()

    def get(self, key: bytes) -> Value | None:
        """Return the value while it is fresh."""
        known = self._values.get(key)
        return known[1] if known is not None and known[0] > self._clock.monotonic() else None

    def __contains__(self, key: bytes) -> bool:
        """Return whether there is a value, fresh or not."""
        return key in self._values

    def put(self, key: bytes, value: Value) -> None:
        """Store a value."""
        self._values[key] = (self._clock.monotonic() + self._seconds, value)
        self._values.move_to_end(key)
        if len(self._values) > MAX_CACHED:
            self._values.popitem(last=False)


class _ConnectionPool:
    """A fixed number of connections with a bounded queue."""

    def __init__(self) -> None:
        self._free = asyncio.Semaphore(CONNECTIONS)
        self._waiting = 0

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[None]:
        """Hold a connection while the block runs. Raises SessionUnavailable where too many wait already."""
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
    """Finds users by NextAuth's session endpoint, which is at `nextauth_url`.

    `timeout` is the maximum time of one request, in seconds, including the wait for a connection.
    """

    def __init__(self, nextauth_url: str, clock: Clock, timeout: float = SECONDS) -> None:
        self._url = URL(session_endpoint(nextauth_url))
        self._clock = clock
        self._timeout = timeout
        self._sessions: _Cache[User] = _Cache(clock, CACHED_SECONDS)
        self._refused: _Cache[str] = _Cache(clock, REFUSED_SECONDS)
        self._requests: dict[bytes, asyncio.Task[User]] = {}
        self._known, self._unknown = _ConnectionPool(), _ConnectionPool()
        self._http: aiohttp.ClientSession | None = None

    async def user(self, tokens: tuple[Token, ...]) -> User:
        """Return the user. Raises Unauthorized; SessionUnavailable where the front end does not answer."""
        reasons = []
        for cookie in islice(_readings(tokens), MAX_READINGS):
            try:
                return await self._user_of(cookie)
            except Unauthorized as error:
                reasons.append(error.reason)
        raise Unauthorized(reasons[0] if reasons else "no_session_cookie")

    async def _user_of(self, cookie: str) -> User:
        """Return the user of one `Cookie` header. Raises Unauthorized, SessionUnavailable."""
        if not cookie.isascii() or not cookie.isprintable():
            raise Unauthorized("bad_cookie")
        key = hashlib.sha256(cookie.encode()).digest()
        if (user := self._sessions.get(key)) is not None:
            return user
        if (reason := self._refused.get(key)) is not None:
            raise Unauthorized(reason)
        request = self._requests.get(key)
        if request is None:
            request = self._requests[key] = asyncio.create_task(self._request(key, cookie))
            request.add_done_callback(lambda done: self._answered(key, done))
        # Shielded: a caller that is cancelled must not fail others with the same cookie.
        return await asyncio.shield(request)

    def _answered(self, key: bytes, done: "asyncio.Task[User]") -> None:
        del self._requests[key]
        if not done.cancelled():
            done.exception()  # marks it as retrieved: every caller may have been cancelled

    async def _request(self, key: bytes, cookie: str) -> User:
        """Ask the front end, and cache its answer."""
        pool = self._known if key in self._sessions else self._unknown
        try:
            async with asyncio.timeout(self._timeout), pool.connection():
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
        """Return the body of the front end's answer. The cookie is only sent to its origin, also on redirects."""
        if self._http is None:
            # It uses no proxy and no `.netrc` of the environment, which is aiohttp's default.
            self._http = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False)
        url = self._url
        for _ in range(1 + MAX_REDIRECTS):
            headers = {hdrs.COOKIE: cookie, **ACCEPTED}
            async with self._http.get(url, headers=headers, allow_redirects=False) as answer:
                if answer.status == OK:
                    return await _body(answer)
                if answer.status not in REDIRECTS:
                    log.warning("the front end answered %d", answer.status)
                    raise SessionUnavailable
                url = self._redirected(url, answer.headers.get(hdrs.LOCATION))
        log.warning("the front end redirects more than %d times", MAX_REDIRECTS)
        raise SessionUnavailable

    def _redirected(self, url: URL, location: str | None) -> URL:
        """Return the target of a redirect. Raises SessionUnavailable where it is another origin."""
        if location:
            with suppress(ValueError):  # not a URL
                target = url.join(URL(location))
                if is_same_origin(target, self._url):
                    return target
        log.warning("the front end redirects to another origin: NEXTAUTH_URL must be its final address")
        raise SessionUnavailable

    def _read(self, body: bytes) -> User:
        """Parse `{"user": {…}, "expires": …}`; without a session v4 answers `{}` and v5 `null`. Raises Unauthorized."""
        try:
            session: Any = json.loads(body)
        except (ValueError, RecursionError):
            log.warning("the front end did not answer with JSON")
            raise SessionUnavailable from None
        if not isinstance(session, dict) or not isinstance(user := session.get("user"), dict):
            raise Unauthorized("no_session")
        try:
            expires = datetime.fromisoformat(session["expires"])
        except (KeyError, TypeError, ValueError):
            raise Unauthorized("no_exp") from None
        if expires.replace(tzinfo=expires.tzinfo or UTC) <= self._clock.now():
            raise Unauthorized("expired")
        return user_named(user.get("email"), user.get("sub") or user.get("id"))

    async def close(self) -> None:
        """Cancel running requests and close the connections."""
        for task in list(self._requests.values()):
            task.cancel()
        await asyncio.gather(*self._requests.values(), return_exceptions=True)
        http, self._http = self._http, None
        if http is not None:
            await http.close()


async def _body(answer: aiohttp.ClientResponse) -> bytes:
    """Return the body. Raises SessionUnavailable where it is longer than MAX_ANSWER_BYTES: that is not a session."""
    body = bytearray()
    async for part in answer.content.iter_any():
        body += part
        if len(body) > MAX_ANSWER_BYTES:
            log.warning("the front end answered with more than %d bytes", MAX_ANSWER_BYTES)
            raise SessionUnavailable
    return bytes(body)


def _readings(tokens: tuple[Token, ...]) -> Iterator[str]:
    """Yield the possible `Cookie` headers of a request, most likely first, each with one session for every name."""
    by_name: dict[str, list[Token]] = {}
    for token in tokens:
        by_name.setdefault(token.cookie, []).append(token)
    for index in range(max(map(len, by_name.values()), default=0)):
        chosen = [found[index] for found in by_name.values() if index < len(found)]
        yield "; ".join(f"{name}={value}" for token in chosen for name, value in token.pairs)


def is_same_origin(target: URL, origin: URL) -> bool:
    """Return whether `target` has the scheme, host and port of `origin`, and no user name or password.

    Some proxies write the default port into redirects (`https://example.com:443/`).
    """
    if "@" in target.raw_authority:
        return False
    return (target.scheme, target.raw_host, target.port) == (origin.scheme, origin.raw_host, origin.port)


def session_endpoint(nextauth_url: str) -> str:
    """Return the endpoint's address by NextAuth's rule: `/api/auth` is added to an address without a path."""
    path = urlsplit(nextauth_url).path.strip("/")
    return nextauth_url.rstrip("/") + ("/session" if path else "/api/auth/session")
