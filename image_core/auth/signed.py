"""Verify signed sessions (JWS), for front ends that override NextAuth's `jwt.encode`.

Only the configured algorithms are accepted: a token's header cannot choose another.
"""

import warnings
from collections.abc import Sequence
from typing import Any

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from image_core.auth.claims import newest_user
from image_core.auth.cookies import Token
from image_core.auth.user import User
from image_core.clock import Clock
from image_core.errors import Misconfigured, Unauthorized

SYMMETRIC, ASYMMETRIC = ("HS256", "HS512"), ("RS256", "ES256")

# `claims` checks times, with the clock that it is given, for all forms of sessions.
_UNCHECKED: Any = {f"verify_{name}": False for name in ("exp", "nbf", "iat", "aud", "iss", "sub", "jti")}


class Signed:
    """Verifies signed tokens: with HMAC and each of `secrets`, or with the public key in `pem` where there is one.

    `algorithms` restricts the algorithms; empty means all that the key can verify. Raises Misconfigured.
    """

    def __init__(self, secrets: Sequence[str], pem: str | None, algorithms: Sequence[str], clock: Clock) -> None:
        self._clock = clock
        usable = SYMMETRIC if pem is None else ASYMMETRIC
        if not set(algorithms) <= set(usable):
            # Anybody who can read a public key could use it as the key of an HMAC.
            raise Misconfigured(f"NEXTAUTH_JWT_ALGORITHMS: the configured key verifies only {', '.join(usable)}")
        self._algorithms = list(algorithms or usable)
        self._keys: list[Any] = [*secrets] if pem is None else [_public_key(pem, self._algorithms)]

    async def user(self, tokens: tuple[Token, ...]) -> User:
        """Return the user of the newest valid token. Raises Unauthorized."""
        return newest_user(tokens, lambda token: self._claims(token.value), self._clock)

    def _claims(self, token: str) -> dict[str, Any]:
        reason = "bad_signature"
        for key in self._keys:
            try:
                with warnings.catch_warnings():
                    # PyJWT would warn of a short secret at every request; only the front end can choose another.
                    warnings.simplefilter("ignore")
                    return jwt.decode(token, key, algorithms=self._algorithms, options=_UNCHECKED)
            except jwt.InvalidAlgorithmError:
                reason = "alg_not_allowed"
            except jwt.InvalidSignatureError:
                continue  # signed with another secret, or not by the front end
            except (jwt.PyJWTError, ValueError, RecursionError):
                reason = "not_a_jwt"
        raise Unauthorized(reason)

    async def close(self) -> None:
        """Do nothing: no connection is open."""


def _public_key(pem: str, algorithms: list[str]) -> RSAPublicKey | EllipticCurvePublicKey:
    try:
        key = load_pem_public_key(pem.replace("\\n", "\n").encode())  # dashboards write line breaks like this
    except (ValueError, UnsupportedAlgorithm) as error:
        raise Misconfigured("NEXTAUTH_PUBLIC_KEY is not a public key in PEM") from error
    if isinstance(key, RSAPublicKey) and "RS256" in algorithms:
        algorithms[:] = ["RS256"]
        return key
    if isinstance(key, EllipticCurvePublicKey) and "ES256" in algorithms:
        algorithms[:] = ["ES256"]
        return key
    raise Misconfigured(f"NEXTAUTH_PUBLIC_KEY is not a key for {', '.join(algorithms)}")
