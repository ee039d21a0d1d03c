"""A pasted session cookie against the settings: which part of it does not fit."""

from http.cookies import CookieError, SimpleCookie

from image_core.auth.cookies import NAMES, V5
from image_core.auth.sessions import sessions_from
from image_core.errors import ImageError, Misconfigured, Unauthorized
from image_core.settings import Settings
from operations.doctor.finding import Finding

WHAT = "session cookie"
REASONS = {
    "expired": ("expiry: it has expired", "sign in again and paste a fresh one"),
    "no_exp": ("expiry: it has none", "let the front end's jwt.encode set exp"),
    "iat_in_the_future": ("expiry: it is from the future", "set the clock of the front end or of this machine"),
    "enc_not_allowed": (
        "format: it is encrypted in another way than NextAuth does",
        "paste the session cookie, or set NEXTAUTH_JWT to what the front end's jwt.encode makes",
    ),
    "not_a_jwe": (
        "format: it is not encrypted",
        "set NEXTAUTH_JWT to `signed` (a JWT of three parts) or `introspect` (an id of a database session)",
    ),
    "bad_user": (
        "claims: the e-mail address or the subject cannot be an id",
        "an address has one @ and no blanks around it, and does not begin with sub: (docs/sessions.md)",
    ),
    "no_user": ("claims: neither an email nor a subject", "let the front end's jwt callback keep `email` or `sub`"),
    "chunk_missing": ("chunks: one of its parts is missing", "paste every part: NAME.0=…; NAME.1=…"),
}


async def look(settings: Settings, cookie: str) -> Finding:
    """`cookie` is a `Cookie` header: NAME=VALUE, its chunks separated by semicolons."""
    try:
        sessions = sessions_from(settings)
        try:
            await sessions.user({"cookie": cookie})
        finally:
            await sessions.close()
    except Unauthorized as error:
        return await _why(settings, cookie, error.reason)
    except Misconfigured as error:
        return Finding(WHAT, error.reason, "set it, then paste the cookie again")
    except ImageError as error:
        return Finding(WHAT, f"it cannot be checked now ({error.code})", "is the front end at NEXTAUTH_URL there?")
    return Finding(WHAT, "verifies")


async def _why(settings: Settings, cookie: str, reason: str) -> Finding:
    if reason == "no_session_cookie":
        expected = settings.nextauth_cookie_name or ", ".join(NAMES)
        names = ", ".join(_names(cookie)) or "no name"
        return Finding(
            WHAT,
            f"name: {names} is none of {expected}",
            "paste NAME=VALUE; set NEXTAUTH_COOKIE_NAME to a name of your own",
        )
    if reason == "not_decryptable":
        made_for = await _made_for(settings, cookie)
        if made_for is not None:
            other = V5 in made_for and not any(V5 in name for name in _names(cookie))
            part = "generation: the token is of another NextAuth than the cookie's name says" if other else "name"
            return Finding(
                WHAT,
                f"{part}: the token was made for the cookie {made_for}",
                "paste it under the name that the browser has",
            )
        return Finding(
            WHAT,
            "secret: no secret that is set here made it",
            "set NEXTAUTH_SECRET to the front end's (NEXTAUTH_SECRET_PREVIOUS to its older one; NEXTAUTH_SALT where it sets a salt)",
        )
    state, fix = REASONS.get(reason, (reason, "see docs/sessions.md"))
    return Finding(WHAT, state, fix)


def _names(cookie: str) -> list[str]:
    try:
        return sorted(SimpleCookie(cookie))
    except CookieError:
        return []


async def _made_for(settings: Settings, cookie: str) -> str | None:
    """The usual name under which the value would verify: the key of Auth.js v5 has the cookie's name in it."""
    values = [morsel.value for morsel in SimpleCookie(cookie).values()]
    usual = settings.model_copy(update={"nextauth_cookie_name": None})
    for name in NAMES:
        sessions = sessions_from(usual)
        try:
            await sessions.user({"cookie": f"{name}={''.join(values)}"})
        except ImageError:
            continue
        finally:
            await sessions.close()
        return name
    return None
