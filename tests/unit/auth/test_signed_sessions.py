"""Signed sessions: only the configured keys and algorithms verify, and every refusal has its reason."""

import base64
import hashlib
import hmac
import json
import warnings
from datetime import UTC, datetime
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from image_core.auth.cookies import NAMES
from image_core.auth.sessions import Sessions, sessions_from
from image_core.clock import Clock
from image_core.errors import Misconfigured, Unauthorized
from image_core.settings import Settings

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECONDS = int(NOW.timestamp())
SECRET, PREVIOUS, UNKNOWN = ("s" * 64, "p" * 64, "u" * 64)
RSA, OTHER_RSA = (rsa.generate_private_key(public_exponent=65537, key_size=2048) for _ in range(2))
EC = ec.generate_private_key(ec.SECP256R1())
GOOD: dict[str, Any] = {"email": "ada@example.com", "sub": "7", "iat": SECONDS, "exp": SECONDS + 60}
SECURE_V4, _, V4, V5 = NAMES


def public(key: Any) -> str:
    """Return the public key in PEM."""
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return str(key.public_key().public_bytes(serialization.Encoding.PEM, form).decode())


def private(key: Any) -> str:
    """Return the private key in PEM."""
    form = serialization.PrivateFormat.PKCS8
    return str(key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode())


def signed_sessions(**settings: str) -> Sessions:
    environment = {"NEXTAUTH_JWT": "signed", "NEXTAUTH_SECRET": SECRET, **settings}
    return sessions_from(Settings.read(environment), Clock(now=lambda: NOW))


def changed(**changes: Any) -> dict[str, Any]:
    """Return the good claims with other ones; `...` removes a claim."""
    return {name: value for name, value in {**GOOD, **changes}.items() if value is not ...}


def encoded(part: Any) -> str:
    return base64.urlsafe_b64encode(part if isinstance(part, bytes) else json.dumps(part).encode()).decode().rstrip("=")


def hs256(header: Any, body: Any, key: str) -> str:
    """Return a token with any header and body, signed with HMAC."""
    message = f"{encoded(header)}.{encoded(body)}"
    return f"{message}.{encoded(hmac.digest(key.encode(), message.encode(), hashlib.sha256))}"


async def user_of(sessions: Sessions, token: str) -> str:
    return (await sessions.user({"cookie": f"{V4}={token}"})).id


async def refusal(sessions: Sessions, token: str) -> str:
    """Return the reason for which a token is refused."""
    with pytest.raises(Unauthorized) as caught:
        await sessions.user({"cookie": f"{V4}={token}"})
    return caught.value.reason


KEYS: list[tuple[str, Any, Any, dict[str, str]]] = [
    ("HS256", SECRET, UNKNOWN, {}),
    ("HS512", SECRET, UNKNOWN, {}),
    ("RS256", RSA, OTHER_RSA, {"NEXTAUTH_PUBLIC_KEY": public(RSA)}),
    ("ES256", EC, ec.generate_private_key(ec.SECP256R1()), {"NEXTAUTH_PUBLIC_KEY": public(EC)}),
]


@pytest.mark.parametrize(("algorithm", "key", "other", "settings"), KEYS, ids=[row[0] for row in KEYS])
async def test_a_session_verifies_with_the_configured_key_only(
    algorithm: str, key: Any, other: Any, settings: dict[str, str]
) -> None:
    sessions = signed_sessions(**settings)
    token = jwt.encode(GOOD, key, algorithm=algorithm)
    head, _, signature = token.split(".")
    assert await user_of(sessions, token) == "ada@example.com"
    assert await refusal(sessions, jwt.encode(GOOD, other, algorithm=algorithm)) == "bad_signature"
    assert await refusal(sessions, f"{head}.{encoded(changed(email='eve@example.com'))}.{signature}") == "bad_signature"
    assert await refusal(sessions, f"{token[:-8]}AAAAAAAA") == "bad_signature"
    assert await refusal(sessions, jwt.encode(GOOD, "", algorithm="none")) == "alg_not_allowed"
    assert await refusal(sessions, jwt.encode(changed(exp=SECONDS - 15), key, algorithm=algorithm)) == "expired"


async def test_a_public_key_may_be_configured_in_one_line() -> None:
    sessions = signed_sessions(NEXTAUTH_PUBLIC_KEY=public(EC).replace("\n", "\\n"))
    assert await user_of(sessions, jwt.encode(GOOD, EC, algorithm="ES256")) == "ada@example.com"


GOOD_TOKEN = jwt.encode(GOOD, SECRET, algorithm="HS256")
HS256 = {"alg": "HS256", "typ": "JWT"}

REFUSED: list[tuple[str, str, str]] = [
    ("another algorithm", jwt.encode(GOOD, SECRET, algorithm="HS384"), "alg_not_allowed"),
    ("an algorithm that is unknown", hs256({"alg": "HS257"}, GOOD, SECRET), "alg_not_allowed"),
    ("the algorithm of a public key", jwt.encode(GOOD, RSA, algorithm="RS256"), "alg_not_allowed"),
    ("no algorithm", hs256({"typ": "JWT"}, GOOD, SECRET), "alg_not_allowed"),
    ("no signature", GOOD_TOKEN.rpartition(".")[0] + ".", "bad_signature"),
    ("two parts", GOOD_TOKEN.rpartition(".")[0], "not_a_jwt"),
    ("five parts", "e30..a.b.c", "not_a_jwt"),
    ("one part", "opaque", "not_a_jwt"),
    ("a header that is a list", hs256([], GOOD, SECRET), "not_a_jwt"),
    ("a header that is not base64", f"!{GOOD_TOKEN}", "not_a_jwt"),
    ("a key's id that is no string", hs256({**HS256, "kid": 7}, GOOD, SECRET), "not_a_jwt"),
    ("an extension that must be understood", hs256({**HS256, "crit": ["x"], "x": 1}, GOOD, SECRET), "not_a_jwt"),
    ("claims that are a list", hs256(HS256, [GOOD], SECRET), "not_a_jwt"),
    ("claims that are not JSON", hs256(HS256, b"nothing", SECRET), "not_a_jwt"),
    ("deeply nested claims", hs256(HS256, b"[" * 20_000, SECRET), "not_a_jwt"),
    ("bytes that are not ASCII", f"{GOOD_TOKEN}é", "not_a_jwt"),
    ("no exp", jwt.encode(changed(exp=...), SECRET, algorithm="HS256"), "no_exp"),
    ("exp a string", jwt.encode(changed(exp="4000000000"), SECRET, algorithm="HS256"), "bad_exp"),
    ("iat in the future", jwt.encode(changed(iat=SECONDS + 16), SECRET, algorithm="HS256"), "iat_in_the_future"),
    ("nbf in the future", jwt.encode(changed(nbf=SECONDS + 16), SECRET, algorithm="HS256"), "nbf_in_the_future"),
    ("nobody", jwt.encode(changed(email=..., sub=...), SECRET, algorithm="HS256"), "no_user"),
]


@pytest.mark.parametrize(("token", "reason"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
async def test_an_invalid_session_is_refused_for_its_reason(token: str, reason: str) -> None:
    assert await refusal(signed_sessions(), token) == reason


ACCEPTED: list[tuple[str, dict[str, Any]]] = [
    ("times within the tolerance", changed(exp=SECONDS - 14, iat=SECONDS + 14, nbf=SECONDS + 14)),
    ("no iat", changed(iat=...)),
    ("a subject that is a number", changed(sub=7)),
    ("an audience, an issuer and an id", changed(aud="https://example.com", iss="front end", jti="1")),
    ("an issuer and an id that are no strings", changed(iss=7, jti=7)),
]


@pytest.mark.parametrize("claims", [row[1] for row in ACCEPTED], ids=[row[0] for row in ACCEPTED])
async def test_a_valid_session_is_accepted(claims: dict[str, Any]) -> None:
    assert await user_of(signed_sessions(), hs256(HS256, claims, SECRET)) == "ada@example.com"


async def test_a_session_signed_with_a_previous_secret_is_accepted() -> None:
    sessions = signed_sessions(NEXTAUTH_SECRET_PREVIOUS=PREVIOUS)
    for key in (SECRET, PREVIOUS):
        assert await user_of(sessions, jwt.encode(GOOD, key, algorithm="HS256")) == "ada@example.com"
    assert await refusal(sessions, jwt.encode(GOOD, UNKNOWN, algorithm="HS256")) == "bad_signature"
    assert await refusal(signed_sessions(), jwt.encode(GOOD, PREVIOUS, algorithm="HS256")) == "bad_signature"


async def test_a_short_secret_verifies_without_a_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyJWT advises against the secret
        token = jwt.encode(GOOD, "short", algorithm="HS256")
    assert await user_of(signed_sessions(NEXTAUTH_SECRET="short"), token) == "ada@example.com"


@pytest.mark.parametrize(
    ("allowed", "accepted"), [("HS256", ["HS256"]), ("HS512", ["HS512"]), ("HS256,HS512", ["HS256", "HS512"])]
)
async def test_only_the_configured_algorithms_verify(allowed: str, accepted: list[str]) -> None:
    sessions = signed_sessions(NEXTAUTH_JWT_ALGORITHMS=allowed)
    for algorithm in ("HS256", "HS512"):
        token = jwt.encode(GOOD, SECRET, algorithm=algorithm)
        if algorithm in accepted:
            assert await user_of(sessions, token) == "ada@example.com"
        else:
            assert await refusal(sessions, token) == "alg_not_allowed"


@pytest.mark.parametrize(("key", "algorithm"), [(RSA, "RS256"), (EC, "ES256")], ids=["RSA", "EC"])
async def test_the_algorithm_of_a_public_key_may_be_configured(key: Any, algorithm: str) -> None:
    for allowed in (algorithm, "RS256,ES256"):
        sessions = signed_sessions(NEXTAUTH_PUBLIC_KEY=public(key), NEXTAUTH_JWT_ALGORITHMS=allowed)
        assert await user_of(sessions, jwt.encode(GOOD, key, algorithm=algorithm)) == "ada@example.com"


@pytest.mark.parametrize("key", [RSA, EC], ids=["RSA", "EC"])
async def test_neither_a_public_key_nor_the_secret_beside_it_is_the_key_of_an_hmac(key: Any) -> None:
    sessions = signed_sessions(NEXTAUTH_PUBLIC_KEY=public(key))
    for secret in (public(key), SECRET):
        assert await refusal(sessions, hs256(HS256, GOOD, secret)) == "alg_not_allowed"


async def test_the_session_that_was_issued_last_counts() -> None:
    cookies = {
        name: jwt.encode(changed(email=email, iat=iat), SECRET, algorithm="HS256")
        for name, email, iat in ((SECURE_V4, "old@b.c", SECONDS - 9), (V5, "new@b.c", SECONDS))
    }
    header = "; ".join(f"{name}={value}" for name, value in cookies.items())
    assert (await signed_sessions().user({"cookie": header})).id == "new@b.c"


UNUSABLE: list[tuple[str, dict[str, str], str]] = [
    (
        "a secret with the algorithm of a public key",
        {"NEXTAUTH_JWT_ALGORITHMS": "HS256,RS256"},
        "NEXTAUTH_JWT_ALGORITHMS: the configured key verifies only HS256, HS512",
    ),
    (
        "no algorithm",
        {"NEXTAUTH_JWT_ALGORITHMS": "none"},
        "NEXTAUTH_JWT_ALGORITHMS: the configured key verifies only HS256, HS512",
    ),
    (
        "a public key with the algorithm of a secret",
        {"NEXTAUTH_PUBLIC_KEY": public(RSA), "NEXTAUTH_JWT_ALGORITHMS": "HS256"},
        "NEXTAUTH_JWT_ALGORITHMS: the configured key verifies only RS256, ES256",
    ),
    (
        "an RSA key for another algorithm",
        {"NEXTAUTH_PUBLIC_KEY": public(RSA), "NEXTAUTH_JWT_ALGORITHMS": "ES256"},
        "NEXTAUTH_PUBLIC_KEY is not a key for ES256",
    ),
    (
        "an EC key for another algorithm",
        {"NEXTAUTH_PUBLIC_KEY": public(EC), "NEXTAUTH_JWT_ALGORITHMS": "RS256"},
        "NEXTAUTH_PUBLIC_KEY is not a key for RS256",
    ),
    (
        "a key for another algorithm than all",
        {"NEXTAUTH_PUBLIC_KEY": public(ed25519.Ed25519PrivateKey.generate())},
        "NEXTAUTH_PUBLIC_KEY is not a key for RS256, ES256",
    ),
    ("not PEM", {"NEXTAUTH_PUBLIC_KEY": "not PEM"}, "NEXTAUTH_PUBLIC_KEY is not a public key in PEM"),
    ("a private key", {"NEXTAUTH_PUBLIC_KEY": private(EC)}, "NEXTAUTH_PUBLIC_KEY is not a public key in PEM"),
]


@pytest.mark.parametrize(("settings", "reason"), [row[1:] for row in UNUSABLE], ids=[row[0] for row in UNUSABLE])
def test_a_key_that_cannot_verify_the_configured_algorithms_is_refused(settings: dict[str, str], reason: str) -> None:
    with pytest.raises(Misconfigured) as caught:
        signed_sessions(**settings)
    assert caught.value.reason == reason
