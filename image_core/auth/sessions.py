"""Find the user of a request by the front end's session cookie."""

from collections.abc import Mapping
from typing import Protocol

from image_core.auth.cookies import NAMES, Token, session_tokens
from image_core.auth.user import User
from image_core.clock import Clock
from image_core.errors import Misconfigured
from image_core.settings import Settings


class Verifier(Protocol):
    """Verifies one form of sessions."""

    async def user(self, tokens: tuple[Token, ...]) -> User:
        """Return the user of the newest valid token. Raises Unauthorized, SessionUnavailable."""
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...


class Sessions:
    """Finds the user of a request in its session cookies. `cookie_name` replaces the usual names."""

    def __init__(self, verifier: Verifier, cookie_name: str | None = None) -> None:
        self._verifier = verifier
        self._cookie_name = cookie_name

    async def user(self, headers: Mapping[str, str]) -> User:
        """Return the user. `headers` has lower-case names. Raises Unauthorized, SessionUnavailable."""
        return await self._verifier.user(session_tokens(headers.get("cookie", ""), self._cookie_name))

    async def close(self) -> None:
        """Close the connections."""
        await self._verifier.close()


def sessions_from(settings: Settings, clock: Clock | None = None) -> Sessions:
    """Build the sessions that the settings describe; keys are derived once, here.

    Raises Misconfigured where the settings cannot verify any session.
    """
    return Sessions(_verifier(settings, clock or Clock()), settings.nextauth_cookie_name)


def _verifier(settings: Settings, clock: Clock) -> Verifier:
    if settings.nextauth_jwt == "introspect":
        from image_core.auth.introspection import Introspection  # noqa: PLC0415 - each form imports its own library

        if settings.nextauth_url is None:
            raise Misconfigured("NEXTAUTH_URL is not set: the front end's address is needed to verify sessions")
        return Introspection(settings.nextauth_url, clock)
    if settings.nextauth_jwt == "signed":
        from image_core.auth.signed import Signed  # noqa: PLC0415 - the same

        pem = settings.nextauth_public_key
        secrets = _secrets(settings) if pem is None else []
        return Signed(secrets, pem, settings.nextauth_jwt_algorithms, clock)
    from image_core.auth.encrypted import Encrypted  # noqa: PLC0415 - the same

    names = (settings.nextauth_cookie_name,) if settings.nextauth_cookie_name else NAMES
    return Encrypted(_secrets(settings), names, settings.nextauth_salt or "", clock)


def _secrets(settings: Settings) -> list[str]:
    if settings.nextauth_secret is None:
        raise Misconfigured("NEXTAUTH_SECRET is not set: no session can be verified")
    return [secret.get_secret_value() for secret in (settings.nextauth_secret, *settings.nextauth_secret_previous)]
