"""Development sessions: cookies as NextAuth makes them, encrypted with the keys that the product derives."""

import json
import uuid
from datetime import datetime
from typing import Any, Literal

from joserfc import jwe
from joserfc.jwk import OctKey

from image_core.auth.cookies import V4, V5
from image_core.auth.keys import CBC, GCM, v4_key, v5_key

Version = Literal["v4", "v5"]
DAYS_30 = 30 * 24 * 3600
CHUNK_CHARACTERS = 3933
"""The longest value of one cookie: 4096 minus what next-auth and @auth/core keep for name and attributes (163)."""

DEFAULT_USER = {"name": "Ada Example", "email": "ada@example.com", "sub": "1"}


def session_token(secret: str, claims: dict[str, Any], cookie: str) -> str:
    """Return a token encrypted for the cookie of that name, with exactly these claims."""
    base = cookie.removeprefix("__Secure-")
    enc = CBC if base == V5 else GCM
    key = v5_key(secret, cookie, CBC) if base == V5 else v4_key(secret)
    registry = jwe.JWERegistry(algorithms=["dir", enc])
    return jwe.encrypt_compact(
        {"alg": "dir", "enc": enc}, json.dumps(claims), OctKey.import_key(key), registry=registry
    )


def session_cookies(
    secret: str, user: dict[str, Any], now: datetime, *, version: Version = "v4", secure: bool = False
) -> dict[str, str]:
    """Return the cookies of a session, valid for 30 days: one, or several chunks if the token is long."""
    issued = int(now.timestamp())
    claims = {**user, "iat": issued, "exp": issued + DAYS_30, "jti": str(uuid.uuid4())}
    cookie = ("__Secure-" if secure else "") + (V4 if version == "v4" else V5)
    token = session_token(secret, claims, cookie)
    if len(token) <= CHUNK_CHARACTERS:
        return {cookie: token}
    starts = range(0, len(token), CHUNK_CHARACTERS)
    return {f"{cookie}.{number}": token[at : at + CHUNK_CHARACTERS] for number, at in enumerate(starts)}


def cookie_header(cookies: dict[str, str]) -> str:
    """Return the value of a `Cookie` header."""
    return "; ".join(f"{name}={value}" for name, value in cookies.items())
