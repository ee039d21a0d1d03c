"""Opaque sessions, kept in the front end's database: the front end itself is asked whose they are."""

import asyncio
import hashlib
import json
import logging
from collections import OrderedDict
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from image_core.clock import Clock
from image_core.errors import Misconfigured, SessionUnavailable, Unauthorized
from image_core.session.claims import user_named
from image_core.session.cookies import Token
from image_core.settings import Settings
from image_core.user import User

log = logging.getLogger("image_core.session")

SECONDS = 5.0
CACHED_SECONDS = 30.0
"""How long a session that was ended at the front end may still open this API."""
MAX_CACHED = 2000
MAX_ANSWER_BYTES = 64 * 1024
OK = 200


class Introspection:
    def __init__(self, settings: Settings, clock: Clock) -> None:
        if settings.nextauth_url is None:
            raise Misconfigured("NEXTAUTH_URL is not set: there is nobody to ask about sessions")
        self._url = session_endpoint(settings.nextauth_url)
        self._clock = clock
        self._seen: OrderedDict[bytes, tuple[float, User]] = OrderedDict()
        self._http: aiohttp.ClientSession | None = None

    async def user(self, tokens: tuple[Token, ...]) -> User:
        """The user, as the front end says. Raises Unauthorized; SessionUnavailable where it does not answer."""
        cookie = "; ".join(f"{name}={value}" for token in tokens for name, value in token.pairs)
        digest = hashlib.sha256(cookie.encode()).digest()
        now = self._clock.monotonic()
        if (known := self._seen.get(digest)) is not None and known[0] > now:
            return known[1]
        user = self._read(await self._ask(cookie))
        self._seen[digest] = (now + CACHED_SECONDS, user)
        self._seen.move_to_end(digest)
        while len(self._seen) > MAX_CACHED:
            self._seen.popitem(last=False)
        return user

    async def _ask(self, cookie: str) -> Any:
        if not cookie.isascii() or not cookie.isprintable():
            raise Unauthorized("bad_cookie")
        if self._http is None:
            self._http = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), trust_env=False)
        try:
            async with (
                asyncio.timeout(SECONDS),
                self._http.get(self._url, headers={"Cookie": cookie}, allow_redirects=False) as answer,
            ):
                body = await answer.content.read(MAX_ANSWER_BYTES)
                while len(body) < MAX_ANSWER_BYTES and (more := await answer.content.read(MAX_ANSWER_BYTES)):
                    body += more
        except (aiohttp.ClientError, OSError) as error:  # TimeoutError is an OSError
            log.warning("the front end did not answer: %s", type(error).__name__)
            raise SessionUnavailable from None
        if answer.status != OK:
            log.warning("the front end answered %d", answer.status)
            raise SessionUnavailable
        try:
            return json.loads(body)
        except (ValueError, RecursionError):
            log.warning("the front end did not answer with JSON")
            raise SessionUnavailable from None

    def _read(self, session: Any) -> User:
        """`{"user": {…}, "expires": …}`; no session is `{}` in v4 and `null` in v5."""
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
        http, self._http = self._http, None
        if http is not None:
            await http.close()


def session_endpoint(nextauth_url: str) -> str:
    """NextAuth's own rule: an address without a path gets `/api/auth`, one with a path is that already."""
    path = urlsplit(nextauth_url).path.rstrip("/")
    return nextauth_url.rstrip("/") + ("/session" if path else "/api/auth/session")
