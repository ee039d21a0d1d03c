"""Who is calling: the front end's session cookie, in every form that NextAuth gives it."""

from collections.abc import Mapping
from typing import Protocol

from image_core.auth.cookies import Token, session_tokens
from image_core.auth.user import User
from image_core.clock import Clock
from image_core.settings import Settings


class Verifier(Protocol):
    """One way of finding out whose a session is."""

    async def user(self, tokens: tuple[Token, ...]) -> User: ...
    async def close(self) -> None: ...


class Sessions:
    """Finds the user of a request. Keys are derived once, when it is made.

    Raises Misconfigured where the settings could verify nothing.
    """

    def __init__(self, settings: Settings, clock: Clock | None = None) -> None:
        self._cookie_name = settings.nextauth_cookie_name
        self._verifier = _verifier(settings, clock or Clock())

    async def user(self, headers: Mapping[str, str]) -> User:
        """The user. `headers` has lower-case names. Raises Unauthorized with a reason for the log, SessionUnavailable."""
        return await self._verifier.user(session_tokens(headers.get("cookie", ""), self._cookie_name))

    async def close(self) -> None:
        await self._verifier.close()


def _verifier(settings: Settings, clock: Clock) -> Verifier:
    if settings.nextauth_jwt == "introspect":
        from image_core.auth.introspection import Introspection  # noqa: PLC0415 - each mode brings its own library

        return Introspection(settings, clock)
    if settings.nextauth_jwt == "signed":
        from image_core.auth.signed import Signed  # noqa: PLC0415 - the same

        return Signed(settings, clock)
    from image_core.auth.encrypted import Encrypted  # noqa: PLC0415 - the same

    return Encrypted(settings, clock)
