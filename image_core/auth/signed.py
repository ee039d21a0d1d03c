"""Signed sessions (JWS): where the front end overrides NextAuth's `jwt.encode`. The algorithms come from the settings alone."""

import warnings
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
from image_core.settings import Settings

SYMMETRIC, ASYMMETRIC = ("HS256", "HS512"), ("RS256", "ES256")

# What PyJWT would check against its own clock and its own tolerance is checked in `claims`, once for all forms.
_NOT_HERE: Any = {f"verify_{name}": False for name in ("exp", "nbf", "iat", "aud", "iss", "sub", "jti")}


class Signed:
    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._clock = clock
        pem = settings.nextauth_public_key
        allowed = settings.nextauth_jwt_algorithms or (SYMMETRIC if pem is None else ASYMMETRIC)
        usable = SYMMETRIC if pem is None else ASYMMETRIC
        if not set(allowed) <= set(usable):
            # With a public key an HMAC could be made by anybody who can read that key.
            raise Misconfigured(f"NEXTAUTH_JWT_ALGORITHMS: only {', '.join(usable)} can be verified with the key given")
        self._algorithms = list(allowed)
        self._keys: list[Any] = _secrets(settings) if pem is None else [_public_key(pem, self._algorithms)]

    async def user(self, tokens: tuple[Token, ...]) -> User:
        """The user of the newest valid token. Raises Unauthorized."""
        return newest_user(tokens, lambda token: self._claims(token.value), self._clock)

    def _claims(self, token: str) -> dict[str, Any]:
        reason = "bad_signature"
        for key in self._keys:
            try:
                with warnings.catch_warnings():
                    # The length of the front end's secret is the front end's: PyJWT would warn of it at every request.
                    warnings.simplefilter("ignore")
                    return jwt.decode(token, key, algorithms=self._algorithms, options=_NOT_HERE)
            except jwt.InvalidAlgorithmError:
                reason = "alg_not_allowed"
            except jwt.InvalidSignatureError:
                continue  # made with another of the secrets, or with none
            except (jwt.PyJWTError, ValueError, RecursionError):
                reason = "not_a_jwt"
        raise Unauthorized(reason)

    async def close(self) -> None:
        """Nothing is held."""


def _secrets(settings: Settings) -> list[str]:
    if settings.nextauth_secret is None:
        raise Misconfigured("NEXTAUTH_SECRET is not set: no session can be verified")
    return [secret.get_secret_value() for secret in (settings.nextauth_secret, *settings.nextauth_secret_previous)]


def _public_key(pem: str, algorithms: list[str]) -> RSAPublicKey | EllipticCurvePublicKey:
    try:
        key = load_pem_public_key(pem.replace("\\n", "\n").encode())  # as many dashboards write line breaks
    except (ValueError, UnsupportedAlgorithm) as error:
        raise Misconfigured("NEXTAUTH_PUBLIC_KEY is not a public key in PEM") from error
    if isinstance(key, RSAPublicKey) and "RS256" in algorithms:
        algorithms[:] = ["RS256"]
        return key
    if isinstance(key, EllipticCurvePublicKey) and "ES256" in algorithms:
        algorithms[:] = ["ES256"]
        return key
    raise Misconfigured(f"NEXTAUTH_PUBLIC_KEY is not a key for {', '.join(algorithms)}")
