"""Check the claims of a verified token: it must be valid now, and name a user."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from image_core.auth.cookies import Token
from image_core.auth.user import User
from image_core.clock import Clock
from image_core.email_address import lowered
from image_core.errors import Unauthorized

TOLERANCE_SECONDS = 15
"""The clock tolerance of next-auth and @auth/core."""
MAX_ID_CHARACTERS = 500
LATEST = 1e15
"""Maximum NumericDate, in seconds: larger ones are refused, so that no arithmetic with them overflows."""

SUBJECT_PREFIX = "sub:"


@dataclass(frozen=True, slots=True)
class Session:
    """The claims of a verified token that is valid now. `issued` is its `iat`, in seconds."""

    claims: dict[str, Any]
    issued: float


def newest_user(tokens: Iterable[Token], claims_of: Callable[[Token], Any], clock: Clock) -> User:
    """Return the user of the valid token that was issued last; of several issued at once, the first.

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
    """Return the user with this e-mail address, else with this subject.

    The id is the address with A to Z in lower case (`email_address.lowered`); without an address it is `sub:` and the
    subject. Raises Unauthorized.
    """
    if isinstance(email, str) and email.strip():
        as_sent = _checked(email)
        address = lowered(as_sent)
        local_part, _, domain = address.partition("@")
        if not local_part or not domain or "@" in domain or address.startswith(SUBJECT_PREFIX):
            raise Unauthorized("bad_user")
        return User(address, as_sent)
    if isinstance(subject, int) and not isinstance(subject, bool):
        subject = str(subject)
    if isinstance(subject, str) and subject.strip():
        return User(_checked(SUBJECT_PREFIX + subject, subject))
    raise Unauthorized("no_user")


def _checked(user_id: str, claim: str | None = None) -> str:
    """Return `user_id` if it is printable and short, and its claim has no surrounding blanks. Raises Unauthorized."""
    claim = user_id if claim is None else claim
    if len(user_id) > MAX_ID_CHARACTERS or not user_id.isprintable() or claim != claim.strip():
        raise Unauthorized("bad_user")
    return user_id


def _time(claims: dict[str, Any], name: str) -> float:
    """Return the NumericDate of a claim. Raises Unauthorized where it is not a number."""
    value = claims[name]
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < LATEST:
        raise Unauthorized(f"bad_{name}")
    return float(value)
