"""Encrypted sessions (JWE): what NextAuth v4 and Auth.js v5 make unless they are told otherwise."""

import base64
import binascii
import json
from dataclasses import dataclass
from functools import cache
from typing import Any

from joserfc import jwe
from joserfc.errors import JoseError
from joserfc.jwk import OctKey

from image_core.auth.claims import newest_user
from image_core.auth.cookies import NAMES, V5, Token
from image_core.auth.keys import CBC, GCM, v4_key, v5_key, v5_key_id
from image_core.auth.user import User
from image_core.clock import Clock
from image_core.errors import Misconfigured, Unauthorized
from image_core.settings import Settings

MAX_PROTECTED_CHARACTERS = 1024
PARTS = 5
"""Of a JWE in compact serialization (RFC 7516, 7.1): header, encrypted key, vector, ciphertext, tag."""


@dataclass(frozen=True, slots=True)
class Derivation:
    """A key that a cookie's token may have been made with, and the content encryption it is for.

    `kid` is the key's id, where the generation of NextAuth that derives it checks one.
    """

    enc: str
    key: OctKey
    kid: str | None = None


@cache
def _registry(enc: str) -> jwe.JWERegistry:
    # Only what is meant is allowed: the header of a token chooses nothing.
    return jwe.JWERegistry(algorithms=["dir", enc])


class Encrypted:
    def __init__(self, settings: Settings, clock: Clock) -> None:
        if settings.nextauth_secret is None:
            raise Misconfigured("NEXTAUTH_SECRET is not set: no session can be verified")
        self._clock = clock
        secrets = [settings.nextauth_secret, *settings.nextauth_secret_previous]
        names = (settings.nextauth_cookie_name,) if settings.nextauth_cookie_name else NAMES
        self._keys = {
            name: [
                derivation
                for secret in secrets
                for derivation in _derived(secret.get_secret_value(), name, settings.nextauth_salt or "")
            ]
            for name in names
        }

    async def user(self, tokens: tuple[Token, ...]) -> User:
        """The user of the newest valid token. Raises Unauthorized."""
        return newest_user(tokens, self._claims, self._clock)

    def _claims(self, token: Token) -> Any:
        header = _header(token.value)
        candidates = [derivation for derivation in self._keys[token.cookie] if derivation.enc == header["enc"]]
        if not candidates:
            raise Unauthorized("enc_not_allowed")
        for derivation in candidates:
            if derivation.kid is not None and header.get("kid", derivation.kid) != derivation.kid:
                continue  # made with another of the secrets; @auth/core refuses it too
            try:
                plaintext = jwe.decrypt_compact(
                    token.value, derivation.key, registry=_registry(derivation.enc)
                ).plaintext
                break
            except (JoseError, ValueError):
                continue  # made with another of the secrets, or with none
        else:
            raise Unauthorized("not_decryptable")
        try:
            return json.loads((plaintext or b"").decode())
        except (ValueError, RecursionError):
            raise Unauthorized("claims_not_json") from None

    async def close(self) -> None:
        """Nothing is held."""


def _derived(secret: str, cookie: str, salt: str) -> list[Derivation]:
    """The keys of the tokens that a cookie of this name may hold.

    Auth.js can be told to use the cookie names of NextAuth v4, so that those may hold either's tokens, as any custom
    name may. The name is Auth.js' salt, with its `__Secure-` or `__Host-`.
    """
    derivations = []
    if cookie.removeprefix("__Secure-") != V5:
        derivations.append(Derivation(GCM, OctKey.import_key(v4_key(secret, salt))))
    for enc in (CBC, GCM):
        key = v5_key(secret, cookie, enc)
        derivations.append(Derivation(enc, OctKey.import_key(key), v5_key_id(key)))
    return derivations


def _header(token: str) -> dict[str, Any]:
    """A token's header, where nothing in it is out of place; `enc` is a string. Raises Unauthorized.

    A `zip` header is refused before anything is decrypted: a compressed gigabyte must cost nothing.
    """
    parts = token.split(".", PARTS)
    if len(parts) != PARTS or not token.isascii() or parts[1] or len(parts[0]) > MAX_PROTECTED_CHARACTERS:
        raise Unauthorized("not_a_jwe")
    try:
        header = json.loads(base64.b64decode(parts[0] + "=" * (-len(parts[0]) % 4), altchars=b"-_", validate=True))
    except (ValueError, binascii.Error, RecursionError):
        raise Unauthorized("bad_header") from None
    if not isinstance(header, dict) or header.get("alg") != "dir":
        raise Unauthorized("alg_not_allowed")
    if not set(header) <= {"alg", "enc", "kid", "typ", "cty"}:
        raise Unauthorized("header_not_allowed")
    return {**header, "enc": str(header.get("enc"))}
