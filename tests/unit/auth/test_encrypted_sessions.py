"""Encrypted sessions: each malformed form is refused for its reason, with a clock that stands still."""

import base64
import json
import zlib
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwe
from joserfc.jwk import OctKey

from image_core.auth.cookies import MAX_CHUNKS
from image_core.auth.keys import v4_key, v5_key
from image_core.auth.sessions import Sessions, sessions_from
from image_core.clock import Clock
from image_core.errors import Unauthorized
from image_core.settings import Settings
from local.nextauth import session_cookies, session_token

SECRET = "a secret"
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
CLOCK = Clock(now=lambda: NOW)
SECONDS = int(NOW.timestamp())
V4, V5 = "next-auth.session-token", "authjs.session-token"
GOOD = {"email": "ada@example.com", "sub": "7", "iat": SECONDS, "exp": SECONDS + 60}
TOKEN = session_token(SECRET, GOOD, V4)


def sessions(**settings: str) -> Sessions:
    return sessions_from(Settings.read({"NEXTAUTH_SECRET": SECRET, **settings}), CLOCK)


def claims(**changes: Any) -> str:
    changed = {**GOOD, **changes}
    return f"{V4}={session_token(SECRET, {name: value for name, value in changed.items() if value is not ...}, V4)}"


def forged(header: dict[str, Any], plaintext: bytes = json.dumps(GOOD).encode(), key: bytes | None = None) -> str:
    """Return a token with any header, which is encrypted if the header allows it."""
    allowed = ["dir", header.get("enc", "A256GCM"), "DEF"]
    registry = jwe.JWERegistry(algorithms=allowed, strict_check_header=False)
    return jwe.encrypt_compact(header, plaintext, OctKey.import_key(key or v4_key(SECRET)), registry=registry)


def with_header(header: Any) -> str:
    encoded = base64.urlsafe_b64encode(json.dumps(header).encode()).decode().rstrip("=")
    return f"{V4}={encoded}.{TOKEN.split('.', 1)[1]}"


def v5_token(changed: dict[str, Any], cookie: str) -> str:
    """Return a token as Auth.js makes it for a cookie of that name."""
    key = v5_key(SECRET, cookie, "A256CBC-HS512")
    return forged({"alg": "dir", "enc": "A256CBC-HS512"}, json.dumps(changed).encode(), key)


GCM = {"alg": "dir", "enc": "A256GCM"}
BOMB = zlib.compress(b" " * 10_000_000)[2:-4]

REFUSED: list[tuple[str, str, str]] = [
    ("no cookie", "", "no_session_cookie"),
    ("another cookie", "theme=dark", "no_session_cookie"),
    ("an empty one", f"{V4}=", "no_session_cookie"),
    ("too long a header", f"{V4}={TOKEN}; x={'y' * 65_536}", "cookie_header_too_long"),
    ("not five parts", f"{V4}=a.b.c", "not_a_jwe"),
    ("bytes that are not ASCII", f"{V4}=é{TOKEN}", "not_a_jwe"),
    ("an encrypted key", f"{V4}={TOKEN.replace('..', '.AAAA.')}", "not_a_jwe"),
    ("a header that is not base64", f"{V4}=!!.{TOKEN.split('.', 1)[1]}", "bad_header"),
    ("a header that is not JSON", f"{V4}=bm90IEpTT04.{TOKEN.split('.', 1)[1]}", "bad_header"),
    ("a header that is a list", with_header([]), "alg_not_allowed"),
    ("a long header", with_header({**GCM, "kid": "x" * 2000}), "not_a_jwe"),
    ("alg none", with_header({"alg": "none", "enc": "A256GCM"}), "alg_not_allowed"),
    ("another alg", with_header({"alg": "A256KW", "enc": "A256GCM"}), "alg_not_allowed"),
    ("another enc", with_header({"alg": "dir", "enc": "A128GCM"}), "enc_not_allowed"),
    ("zip", f"{V4}={forged({**GCM, 'zip': 'DEF'})}", "header_not_allowed"),
    (
        "a compressed bomb",
        with_header({**GCM, "zip": "DEF"}) + base64.urlsafe_b64encode(BOMB).decode()[:40_000],
        "header_not_allowed",
    ),
    ("crit", with_header({**GCM, "crit": ["exp"], "exp": 1}), "header_not_allowed"),
    ("a header that was changed", with_header({**GCM, "kid": "x"}), "not_decryptable"),
    ("another secret", f"{V4}={session_token('another', GOOD, V4)}", "not_decryptable"),
    ("v4 under the v5 name", f"{V5}={TOKEN}", "not_decryptable"),
    ("v5 under the v4 name, with the salt of its own", f"{V4}={session_token(SECRET, GOOD, V5)}", "not_decryptable"),
    ("the salt of another cookie", f"{V5}={session_token(SECRET, GOOD, f'__Secure-{V5}')}", "not_decryptable"),
    ("a missing chunk", f"{V4}.0={TOKEN[:50]}; {V4}.2={TOKEN[50:]}", "chunk_missing"),
    ("no first chunk", f"{V4}.1={TOKEN}", "chunk_missing"),
    ("a repeated chunk, none of them right", f"{V4}.0={TOKEN[:50]}; {V4}.1=x; {V4}.1=y", "not_a_jwe"),
    ("a whole session in two names", f"{V4}.0={TOKEN[:50]}; __Secure-{V4}.1={TOKEN[50:]}", "not_a_jwe"),
    ("a chunk with a leading zero", f"{V4}.00={TOKEN}", "bad_chunks"),
    ("a chunk that is no number", f"{V4}.x={TOKEN}", "bad_chunks"),
    ("too many chunks", "; ".join(f"{V4}.{n}=a" for n in range(MAX_CHUNKS + 1)), "bad_chunks"),
    ("claims that are no JSON", f"{V4}={forged(GCM, b'nothing')}", "claims_not_json"),
    ("claims that are a list", f"{V4}={forged(GCM, b'[1]')}", "claims_not_an_object"),
    ("claims that are null", f"{V4}={forged(GCM, b'null')}", "claims_not_an_object"),
    ("no exp", claims(exp=...), "no_exp"),
    ("exp null", claims(exp=None), "no_exp"),
    ("iat null", claims(iat=None), "bad_iat"),
    ("nbf null", claims(nbf=None), "bad_nbf"),
    ("exp a string", claims(exp="4000000000"), "bad_exp"),
    ("exp true", claims(exp=True), "bad_exp"),
    ("exp without end", f"{V4}={forged(GCM, json.dumps({**GOOD, 'exp': float('inf')}).encode())}", "bad_exp"),
    ("exp just past the tolerance", claims(exp=SECONDS - 15), "expired"),
    ("iat in the future", claims(iat=SECONDS + 16), "iat_in_the_future"),
    ("nbf in the future", claims(nbf=SECONDS + 16), "nbf_in_the_future"),
    ("nobody", claims(email=..., sub=...), "no_user"),
    ("an empty email and no subject", claims(email=" ", sub=""), "no_user"),
    *(
        (f"the email {email!a}", claims(email=email), "bad_user")
        for email in (
            *(
                "a\n@b.c",
                "ada",
                "a@b@c",
                "@",
                "a@",
                "@b.c",
                f"{'a' * 600}@b.c",
                "*",
                "*@",
                "sub:7",
                "sub:7@b.c",
                "SUB:7@b.c",
            ),
            *(
                " ada@b.c",
                "ada@b.c ",
                "ada@b.c\n",
                "\tada@b.c",
                "ada@b.c\x00",
                "\u00a0ada@b.c",
                "a\u200bda@b.c",
                "\ufeffada@b.c",
            ),
        )
    ),
    *(
        (f"the subject {subject!a}", claims(email=None, sub=subject), "bad_user")
        for subject in (" 7", "7 ", "7\n", "\x007", "x" * 600)
    ),
]


@pytest.mark.parametrize(("cookie", "reason"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
async def test_an_invalid_session_is_refused_for_its_reason(cookie: str, reason: str) -> None:
    with pytest.raises(Unauthorized) as caught:
        await sessions().user({"cookie": cookie})
    assert caught.value.reason == reason


ACCEPTED: list[tuple[str, str, str]] = [
    ("a good one", f"{V4}={TOKEN}", "ada@example.com"),
    ("in quotes", f'{V4}="{TOKEN}"', "ada@example.com"),
    ("after a bad one of another name", f"__Secure-{V4}=broken; {V4}={TOKEN}", "ada@example.com"),
    ("after a bad one of the same name", f"{V4}=broken; {V4}={TOKEN}", "ada@example.com"),
    (
        "two good ones: the secure one",
        f"{V4}={TOKEN}; __Secure-{V4}={session_token(SECRET, {**GOOD, 'email': 'eve@example.com'}, f'__Secure-{V4}')}",
        "eve@example.com",
    ),
    ("another letter case", claims(email="Ada@EXAMPLE.com"), "ada@example.com"),
    ("an empty email", claims(email=""), "sub:7"),
    ("an email that is no string", claims(email=["a@b.c"]), "sub:7"),
    ("a subject that is a number", claims(email=None, sub=7), "sub:7"),
    ("exp within the tolerance", claims(exp=SECONDS - 14), "ada@example.com"),
    ("iat within the tolerance", claims(iat=SECONDS + 14), "ada@example.com"),
    ("no iat", claims(iat=...), "ada@example.com"),
    ("an email that begins like a subject's id", claims(email="sub@example.com"), "sub@example.com"),
    ("letters that Unicode writes small as others", claims(email="\u212aA\u0130@\u1e9e.C"), "\u212aa\u0130@\u1e9e.c"),
    ("v5 under the v4 name", f"{V4}={v5_token(GOOD, V4)}", "ada@example.com"),
    ("chunks out of order", f"{V4}.1={TOKEN[50:]}; {V4}.0={TOKEN[:50]}", "ada@example.com"),
]


@pytest.mark.parametrize(("cookie", "user"), [row[1:] for row in ACCEPTED], ids=[row[0] for row in ACCEPTED])
async def test_a_valid_session_is_accepted(cookie: str, user: str) -> None:
    assert (await sessions().user({"cookie": cookie})).id == user


@given(position=st.integers(0, len(TOKEN) - 1), letter=st.sampled_from("ABCxyz019-_.~ é"))
async def test_no_changed_token_verifies(position: int, letter: str) -> None:
    changed = TOKEN[:position] + letter + TOKEN[position + 1 :]
    # The last letter of a base64 part has bits that say nothing: another spelling of the same bytes is no other token.
    if changed == TOKEN or _bytes(changed) == _bytes(TOKEN):
        return
    with pytest.raises(Unauthorized):
        await sessions().user({"cookie": f"{V4}={changed}"})


def _bytes(token: str) -> list[bytes] | str:
    try:
        return [
            base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
            for part in token.encode("ascii").decode().split(".")
        ]
    except ValueError:
        return token


async def test_a_v5_token_of_32_bytes_verifies() -> None:
    token = forged({"alg": "dir", "enc": "A256GCM"}, key=v5_key(SECRET, V5, "A256GCM"))
    assert (await sessions().user({"cookie": f"{V5}={token}"})).id == "ada@example.com"


async def test_development_cookies_are_split_as_the_real_ones_are() -> None:
    cookies = session_cookies(SECRET, {"email": "ada@example.com", "x": "y" * 9000}, NOW, version="v5", secure=True)
    assert len(cookies) > 2
    header = "; ".join(f"{name}={value}" for name, value in cookies.items())
    assert (await sessions().user({"cookie": header})).id == "ada@example.com"


async def test_a_session_expires_while_the_process_runs() -> None:
    now = NOW
    verifier = sessions_from(Settings.read({"NEXTAUTH_SECRET": SECRET}), Clock(now=lambda: now))
    await verifier.user({"cookie": f"{V4}={TOKEN}"})
    now += timedelta(seconds=76)
    with pytest.raises(Unauthorized):
        await verifier.user({"cookie": f"{V4}={TOKEN}"})
