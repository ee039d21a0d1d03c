"""What a verified token must claim to be accepted: a time that is now, and a user."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from image_core.auth.cookies import Token
from image_core.auth.user import User, lowered
from image_core.clock import Clock
from image_core.errors import Unauthorized

TOLERANCE_SECONDS = 15
"""As next-auth and @auth/core allow for clocks that differ."""
MAX_ID_CHARACTERS = 500
LATEST = 1e15
"""Seconds. Times beyond it are refused, so that no arithmetic with them overflows."""

SUBJECT_PREFIX = "sub:"


@dataclass(frozen=True, slots=True)
class Session:
    """The claims of a token that verified and whose time is now. `issued` is its `iat`, in seconds."""

    claims: dict[str, Any]
    issued: float


def newest_user(tokens: Iterable[Token], claims_of: Callable[[Token], Any], clock: Clock) -> User:
    """The user of the valid token that was issued last; of several issued at once, the first of them.

    `claims_of` verifies a token and returns its claims. Raises Unauthorized with the reason of the first token where
    none is valid, or where the newest one names no user.
    """
    newest: Session | None = None
    reason: str | None = None
    for token in tokens:
        try:
            claims = claims_of(token)
        except Unauthorized as error:
            reason = reason or token.fault or error.reason
            continue
        try:
            session = session_of(claims, clock)
        except Unauthorized as error:
            reason = reason or error.reason
            continue
        if newest is None or session.issued > newest.issued:
            newest = session
    if newest is None:
        raise Unauthorized(reason or "no_session_cookie")
    return user_named(newest.claims.get("email"), newest.claims.get("sub"))


def session_of(claims: Any, clock: Clock) -> Session:
    """Check the times in a token's claims. Raises Unauthorized."""
    if not isinstance(claims, dict):
        raise Unauthorized("claims_not_an_object")
    now = clock.now().timestamp()
    if claims.get("exp") is None:
        raise Unauthorized("no_exp")
    if _time(claims, "exp") <= now - TOLERANCE_SECONDS:
        raise Unauthorized("expired")
    for name in ("iat", "nbf"):
        if name in claims and _time(claims, name) > now + TOLERANCE_SECONDS:
            raise Unauthorized(f"{name}_in_the_future")
    return Session(claims, _time(claims, "iat") if "iat" in claims else float("-inf"))


def user_named(email: Any, subject: Any) -> User:
    """The user with this e-mail address, else with this subject.

    The id is the address with A to Z in lower case (`user.lowered`); without an address it is `sub:` and the subject.
    Raises Unauthorized.
    """
    if isinstance(email, str) and email.strip():
        written = _checked(email)
        address = lowered(written)
        local_part, _, domain = address.partition("@")
        if not local_part or not domain or "@" in domain or address.startswith(SUBJECT_PREFIX):
            raise Unauthorized("bad_user")
        return User(address, written)
    if isinstance(subject, int) and not isinstance(subject, bool):
        subject = str(subject)
    if isinstance(subject, str) and subject.strip():
        return User(_checked(SUBJECT_PREFIX + subject, subject))
    raise Unauthorized("no_user")


def _checked(user_id: str, claim: str | None = None) -> str:
    """`user_id`, where it is printable, short enough, and its claim has no surrounding blanks. Raises Unauthorized."""
    claim = user_id if claim is None else claim
    if len(user_id) > MAX_ID_CHARACTERS or not user_id.isprintable() or claim != claim.strip():
        raise Unauthorized("bad_user")
    return user_id


def _time(claims: dict[str, Any], name: str) -> float:
    """The NumericDate of a claim. Raises Unauthorized where it is anything but a number."""
    value = claims[name]
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < LATEST:
        raise Unauthorized(f"bad_{name}")
    return float(value)
