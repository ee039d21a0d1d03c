"""What a verified token must say before it is believed: a user, and a time that is now."""

from typing import Any

from image_core.clock import Clock
from image_core.errors import Unauthorized
from image_core.user import User

TOLERANCE_SECONDS = 15
"""As next-auth and @auth/core allow for clocks that differ."""
MAX_ID_CHARACTERS = 500
LATEST = 1e15
"""Seconds: no time of any clock is beyond it, and no arithmetic with it surprises."""


def user_of(claims: Any, clock: Clock) -> User:
    """The user of a token's claims. Raises Unauthorized."""
    if not isinstance(claims, dict):
        raise Unauthorized("claims_not_an_object")
    now = clock.now().timestamp()
    expires = _time(claims, "exp")
    if expires is None:
        raise Unauthorized("no_exp")
    if expires <= now - TOLERANCE_SECONDS:
        raise Unauthorized("expired")
    for name in ("iat", "nbf"):
        since = _time(claims, name)
        if since is not None and since > now + TOLERANCE_SECONDS:
            raise Unauthorized(f"{name}_in_the_future")
    return named(claims.get("email"), claims.get("sub"))


def named(email: Any, subject: Any) -> User:
    """The email in lower case, so that the id is stable; else `sub:` and the subject. Raises Unauthorized."""
    if isinstance(email, str) and email.strip():
        return User(_short(email.strip().lower()))
    if isinstance(subject, int) and not isinstance(subject, bool):
        subject = str(subject)
    if isinstance(subject, str) and subject.strip():
        return User(_short(f"sub:{subject}"))
    raise Unauthorized("no_user")


def _short(user_id: str) -> str:
    if len(user_id) > MAX_ID_CHARACTERS or not user_id.isprintable():
        raise Unauthorized("bad_user")
    return user_id


def _time(claims: dict[str, Any], name: str) -> float | None:
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < LATEST:
        raise Unauthorized(f"bad_{name}")
    return float(value)
