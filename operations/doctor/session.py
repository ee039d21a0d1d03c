"""Check a session cookie: whether the settings verify it, and if not, which part of it is wrong."""

from collections.abc import Callable
from http.cookies import CookieError, SimpleCookie

from image_core.auth.cookies import NAMES, V5
from image_core.auth.sessions import Sessions
from image_core.errors import ImageError, Misconfigured, Unauthorized
from operations.doctor.finding import Finding

WHAT = "session cookie"
REASONS = {
    "expired": ("expiry: it has expired", "sign in again and copy the new one"),
    "no_exp": ("expiry: it has none", "make the front end's jwt.encode set exp"),
    "iat_in_the_future": ("expiry: it was issued in the future", "set the clock of the front end or of this machine"),
    "enc_not_allowed": (
        "format: it is not encrypted as NextAuth does",
        "copy the session cookie, or set NEXTAUTH_JWT to what the front end's jwt.encode makes",
    ),
    "not_a_jwe": (
        "format: it is not encrypted",
        "set NEXTAUTH_JWT to `signed` (a JWT of three parts) or `introspect` (an id of a database session)",
    ),
    "bad_user": (
        "claims: the e-mail address or the subject cannot be a user id",
        "an address has one @, no spaces around it and does not begin with `sub:` (docs/sessions.md)",
    ),
    "no_user": ("claims: neither an email nor a subject", "make the front end's jwt callback keep `email` or `sub`"),
    "chunk_missing": ("chunks: one is missing", "copy all of them: NAME.0=…; NAME.1=…"),
}


SessionsOf = Callable[[str | None], Sessions]
"""Build the sessions for a cookie name, None for the usual ones. Raises Misconfigured."""


async def check(sessions_of: SessionsOf, cookie_name: str | None, cookie: str) -> Finding:
    """Check `cookie`, a `Cookie` header: NAME=VALUE, its chunks separated by semicolons.

    `cookie_name` is NEXTAUTH_COOKIE_NAME.
    """
    try:
        await _verify(sessions_of(cookie_name), cookie)
    except Unauthorized as error:
        return await _fault(sessions_of, cookie_name, cookie, error.reason)
    except Misconfigured as error:
        return Finding(WHAT, error.reason, "set it, then check the cookie again")
    except ImageError as error:
        return Finding(
            WHAT, f"it cannot be checked ({error.code})", "make sure that the front end at NEXTAUTH_URL answers"
        )
    return Finding(WHAT, "valid")


async def _verify(sessions: Sessions, cookie: str) -> None:
    """Verify a cookie. Raises Unauthorized, SessionUnavailable."""
    try:
        await sessions.user({"cookie": cookie})
    finally:
        await sessions.close()


async def _fault(sessions_of: SessionsOf, cookie_name: str | None, cookie: str, reason: str) -> Finding:
    if reason == "no_session_cookie":
        expected = cookie_name or ", ".join(NAMES)
        names = ", ".join(_names(cookie)) or "no name"
        return Finding(
            WHAT,
            f"name: {names} is none of {expected}",
            "set SESSION_COOKIE to NAME=VALUE, and NEXTAUTH_COOKIE_NAME to the name if it is your own",
        )
    if reason == "not_decryptable":
        made_for = await _made_for(sessions_of, cookie)
        if made_for is not None:
            other = V5 in made_for and not any(V5 in name for name in _names(cookie))
            part = "version: the token is of another NextAuth version than the cookie's name" if other else "name"
            return Finding(
                WHAT,
                f"{part}: the token was made for the cookie {made_for}",
                "copy it under the name that it has in the browser",
            )
        return Finding(
            WHAT,
            "secret: it was made with another secret than those set here",
            "set NEXTAUTH_SECRET to the front end's (NEXTAUTH_SECRET_PREVIOUS to its older one; NEXTAUTH_SALT if it "
            "sets a salt)",
        )
    state, fix = REASONS.get(reason, (reason, "read docs/sessions.md"))
    return Finding(WHAT, state, fix)


def _names(cookie: str) -> list[str]:
    try:
        return sorted(SimpleCookie(cookie))
    except CookieError:
        return []


async def _made_for(sessions_of: SessionsOf, cookie: str) -> str | None:
    """Return the usual cookie name under which the value is valid: Auth.js v5 derives the key from the name."""
    values = [morsel.value for morsel in SimpleCookie(cookie).values()]
    for name in NAMES:
        try:
            await _verify(sessions_of(None), f"{name}={''.join(values)}")
        except ImageError:
            continue
        return name
    return None
