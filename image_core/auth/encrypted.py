"""Verify encrypted sessions (JWE), the default of NextAuth v4 and Auth.js v5."""

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from joserfc import jwe
from joserfc.errors import JoseError
from joserfc.jwk import OctKey

from image_core.auth.claims import newest_user
from image_core.auth.cookies import V5, Token
from image_core.auth.keys import CBC, GCM, v4_key, v5_key, v5_key_id
from image_core.auth.user import User
from image_core.clock import Clock
from image_core.errors import Unauthorized

MAX_PROTECTED_CHARACTERS = 1024
PARTS = 5
"""Parts of a JWE in compact serialization (RFC 7516, 7.1): header, encrypted key, vector, ciphertext, tag."""


@dataclass(frozen=True, slots=True)
class Derivation:
    """A key that a cookie's token may be encrypted with, and the content encryption of that key.

    `kid` is the key's id, where the version of NextAuth that derives it checks one.
    """

    enc: str
    key: OctKey
    kid: str | None = None


@cache
def _registry(enc: str) -> jwe.JWERegistry:
    # The algorithms are fixed here: the header of a token cannot choose others.
    return jwe.JWERegistry(algorithms=["dir", enc])


class Encrypted:
    """Verifies encrypted tokens with keys derived from each of `secrets`, for cookies of these names.

    `salt` is the one that a front end with NextAuth v4 sets in `jwt`, else empty.
    """

    def __init__(self, secrets: Sequence[str], cookie_names: Sequence[str], salt: str, clock: Clock) -> None:
        self._clock = clock
        self._keys = {
            name: [derivation for secret in secrets for derivation in _derived(secret, name, salt)]
            for name in cookie_names
        }

    async def user(self, tokens: tuple[Token, ...]) -> User:
        """Return the user of the newest valid token. Raises Unauthorized."""
        return newest_user(tokens, self._claims, self._clock)

    def _claims(self, token: Token) -> Any:
        header = _header(token.value)
        candidates = [derivation for derivation in self._keys[token.cookie] if derivation.enc == header["enc"]]
        if not candidates:
            raise Unauthorized("enc_not_allowed")
        for derivation in candidates:
            if derivation.kid is not None and header.get("kid", derivation.kid) != derivation.kid:
                continue  # encrypted with another secret; @auth/core refuses it too
            try:
                plaintext = jwe.decrypt_compact(
                    token.value, derivation.key, registry=_registry(derivation.enc)
                ).plaintext
                break
            except (JoseError, ValueError):
                continue  # encrypted with another secret, or not by NextAuth
        else:
            raise Unauthorized("not_decryptable")
        try:
            return json.loads((plaintext or b"").decode())
        except (ValueError, RecursionError):
            raise Unauthorized("claims_not_json") from None

    async def close(self) -> None:
        """Do nothing: no connection is open."""


def _derived(secret: str, cookie: str, salt: str) -> list[Derivation]:
    """Return the keys of the tokens that a cookie of this name may hold.

    Auth.js can be configured with the cookie names of NextAuth v4, so that those may hold tokens of either, as any
    custom name may. Auth.js uses the cookie's name, including `__Secure-` or `__Host-`, as the salt.
    """
    derivations = []
    if cookie.removeprefix("__Secure-") != V5:
        derivations.append(Derivation(GCM, OctKey.import_key(v4_key(secret, salt))))
    for enc in (CBC, GCM):
        key = v5_key(secret, cookie, enc)
        derivations.append(Derivation(enc, OctKey.import_key(key), v5_key_id(key)))
    return derivations


def _header(token: str) -> dict[str, Any]:
    """Return a token's header if it has only the expected fields; `enc` is a string. Raises Unauthorized.

    A `zip` field is refused before anything is decrypted: a compressed gigabyte must not be unpacked.
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
