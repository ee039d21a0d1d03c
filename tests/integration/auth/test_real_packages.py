"""Sessions of the real `next-auth` and `@auth/core` packages: this product accepts the same tokens."""

import base64
import json
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from joserfc import jwe
from joserfc.jwk import OctKey

from image_core.auth.cookies import NAMES
from image_core.auth.keys import v4_key, v5_key, v5_key_id
from image_core.auth.sessions import sessions_from
from image_core.errors import Unauthorized
from image_core.settings import Settings
from local.node import find_node, install_packages

FOLDER = Path(__file__).parent
SECRET = "hVnN0Zp8rQ=="
LARGE = {"name": "Ada", "email": "Ada@Example.com", "groups": ["x" * 60] * 160}

V4, V5 = "next-auth.session-token", "authjs.session-token"

MINTED: list[tuple[str, dict[str, Any], str]] = [
    ("v4", {"generation": "v4"}, "next-auth.session-token"),
    ("v4 with a salt", {"generation": "v4", "salt": "a salt"}, "next-auth.session-token"),
    ("v5", {"generation": "v5", "salt": "authjs.session-token"}, "authjs.session-token"),
    ("v5 secure", {"generation": "v5", "salt": "__Secure-authjs.session-token"}, "__Secure-authjs.session-token"),
    ("v5 with a configured cookie name", {"generation": "v5", "salt": "sid"}, "sid"),
    ("v4 with a configured cookie name", {"generation": "v4"}, "sid"),
    ("v5 with the v4 cookie name", {"generation": "v5", "salt": V4}, V4),
    ("v5 with the secure v4 cookie name", {"generation": "v5", "salt": f"__Secure-{V4}"}, f"__Secure-{V4}"),
    ("v5 with the __Host- prefix", {"generation": "v5", "salt": f"__Host-{V5}"}, f"__Host-{V5}"),
    ("v4 with the __Host- prefix", {"generation": "v4"}, f"__Host-{V4}"),
]


def run(program: str, given: list[dict[str, Any]]) -> list[Any]:
    """Run a program that uses the real packages and return its answers."""
    install_packages(FOLDER)
    tools = find_node()
    done = subprocess.run(
        [tools.node, program],
        cwd=FOLDER,
        input=json.dumps(given),
        capture_output=True,
        text=True,
        check=True,
        env=tools.environment(),
    )
    found: list[Any] = json.loads(done.stdout)
    return found


def minted(wanted: list[dict[str, Any]]) -> list[str]:
    """Return tokens that the real packages make."""
    return run("mint.mjs", [{"secret": SECRET, "maxAge": 3600, **each} for each in wanted])


@pytest.fixture(scope="module")
def tokens() -> list[str]:
    return minted(
        [
            {"claims": LARGE if "v5 secure" in name else {"email": "Ada@Example.com"}, **options}
            for name, options, _ in MINTED
        ]
    )


@pytest.mark.parametrize("number", range(len(MINTED)), ids=[row[0] for row in MINTED])
async def test_token_is_accepted_with_its_own_settings_only(tokens: list[str], number: int) -> None:
    _, options, cookie = MINTED[number]
    environment = {"NEXTAUTH_SECRET": SECRET}
    if cookie not in NAMES:
        environment["NEXTAUTH_COOKIE_NAME"] = cookie
    if options["generation"] == "v4" and "salt" in options:
        environment["NEXTAUTH_SALT"] = options["salt"]
    header = chunked(cookie, tokens[number])
    user = await sessions_from(Settings.read(environment)).user({"cookie": header})
    assert user.id == "ada@example.com"
    for wrong in ({"NEXTAUTH_SECRET": f"{SECRET}x"}, {"NEXTAUTH_SALT": "another", "NEXTAUTH_COOKIE_NAME": "other"}):
        with pytest.raises(Unauthorized):
            await sessions_from(Settings.read({**environment, **wrong})).user({"cookie": header})


def chunked(cookie: str, token: str) -> str:
    pieces = [token[at : at + 3900] for at in range(0, len(token), 3900)]
    if len(pieces) == 1:
        return f"{cookie}={token}"
    return "; ".join(f"{cookie}.{number}={piece}" for number, piece in enumerate(pieces))


def test_tokens_differ_and_one_needs_several_cookies(tokens: list[str]) -> None:
    assert len(set(tokens)) == len(MINTED)
    assert len(tokens[3]) > 4096


AGES = [(V4, 0), (V5, 60), (f"__Secure-{V4}", 120), (f"__Secure-{V5}", 180)]


@pytest.mark.parametrize("newest", range(len(AGES)), ids=[name for name, _ in AGES])
async def test_newest_of_several_sessions_counts(newest: int) -> None:
    cookies = [(name, 30 if index == newest else age + 60) for index, (name, age) in enumerate(AGES)]
    wanted = [
        {
            "generation": "v5" if V5 in name else "v4",
            "salt": name if V5 in name else None,
            "claims": {"email": f"{name}@example.com"},
            "age": age,
        }
        for name, age in cookies
    ]
    header = "; ".join(f"{name}={token}" for (name, _), token in zip(cookies, minted(wanted), strict=True))
    user = await sessions_from(Settings.read({"NEXTAUTH_SECRET": SECRET})).user({"cookie": header})
    assert user.id == f"{AGES[newest][0]}@example.com".lower()


async def test_key_id_of_another_key_is_refused() -> None:
    (token,) = minted([{"generation": "v5", "salt": V5, "claims": {"email": "ada@example.com"}}])
    header = json.loads(base64.urlsafe_b64decode(token.split(".")[0] + "=="))
    assert header["kid"] == v5_key_id(v5_key(SECRET, V5, "A256CBC-HS512"))
    forged = jwe.encrypt_compact(
        {**header, "kid": v5_key_id(v5_key("another", V5, "A256CBC-HS512"))},
        json.dumps({"email": "ada@example.com", "exp": 4_000_000_000}),
        OctKey.import_key(v5_key(SECRET, V5, "A256CBC-HS512")),
        registry=jwe.JWERegistry(algorithms=["dir", "A256CBC-HS512"]),
    )
    sessions = sessions_from(Settings.read({"NEXTAUTH_SECRET": SECRET}))
    with pytest.raises(Unauthorized) as caught:
        await sessions.user({"cookie": f"{V5}={forged}"})
    assert caught.value.reason == "not_decryptable"
    assert (await sessions.user({"cookie": f"{V5}={token}"})).id == "ada@example.com"


def forged(
    header: dict[str, Any], claims: Any, cookie: str = V5, *, secret: str = SECRET, key: bytes | None = None
) -> str:
    """Return a token that is encrypted with the right key and that the packages would not make."""
    enc = header.get("enc", "A256GCM")
    if key is None:
        key = v5_key(secret, cookie, enc) if V5 in cookie or enc != "A256GCM" else v4_key(secret)
    registry = jwe.JWERegistry(algorithms=["dir", enc, "DEF"], strict_check_header=False)
    text = claims if isinstance(claims, str) else json.dumps(claims)
    return jwe.encrypt_compact({"alg": "dir", **header}, text, OctKey.import_key(key), registry=registry)


GCM, CBC = {"enc": "A256GCM"}, {"enc": "A256CBC-HS512"}


def valid_claims(now: int) -> dict[str, Any]:
    return {"email": "ada@example.com", "iat": now, "exp": now + 600}


def claim_forms(now: int) -> list[tuple[str, Any, bool]]:
    """Return names, claims, and whether a session has them."""
    claims = valid_claims(now)
    return [
        ("valid", claims, True),
        ("expired within the tolerance", {**claims, "exp": now - 1}, True),
        ("expired", {**claims, "exp": now - 60}, False),
        ("exp a string", {**claims, "exp": str(now + 600)}, False),
        ("exp true", {**claims, "exp": True}, False),
        ("exp null", {**claims, "exp": None}, False),
        ("iat null", {**claims, "iat": None}, False),
        ("iat a string", {**claims, "iat": "now"}, False),
        ("no iat", {"email": "ada@example.com", "exp": now + 600}, True),
        ("nbf now", {**claims, "nbf": now}, True),
        ("nbf null", {**claims, "nbf": None}, False),
        ("nbf later", {**claims, "nbf": now + 300}, False),
        ("fractions of seconds", {**claims, "exp": now + 600.5, "iat": now - 0.5}, True),
        ("a list", [claims], False),
        ("no JSON", "nothing", False),
        ("JSON in UTF-16", '\ufeff{"email": 1', False),
    ]


HEADER_FORMS: list[tuple[str, dict[str, Any], str, bool]] = [
    ("v4", GCM, V4, True),
    ("v5", CBC, V5, True),
    ("v5 with 32 bytes", GCM, V5, True),
    ("an empty kid", {**CBC, "kid": ""}, V5, False),
    ("an unknown kid", {**CBC, "kid": "x"}, V5, False),
    ("a kid, which v4 does not read", {**GCM, "kid": "x"}, V4, True),
    ("a type", {**CBC, "typ": "JWT"}, V5, True),
    ("the key of another cookie", CBC, f"__Secure-{V5}", False),
]


async def test_product_and_real_packages_accept_the_same_sessions() -> None:
    now = int(datetime.now(UTC).timestamp())
    valid = valid_claims(now)
    cases: list[tuple[str, str, str, bool]] = []
    for name, claims, accepted in claim_forms(now):
        cases.append((f"v4, {name}", V4, forged(GCM, claims, V4), accepted))
        cases.append((f"v5, {name}", V5, forged(CBC, claims), accepted))
    for name, fields, made_for, accepted in HEADER_FORMS:
        cases.append((name, V4 if made_for == V4 else V5, forged(fields, valid, made_for), accepted))
    token = forged(CBC, {**valid, "groups": "x" * 500})
    headers = [(name, cookie, f"{cookie}={value}", accepted) for name, cookie, value, accepted in cases]
    headers += [
        ("chunks", V5, f"{V5}.0={token[:300]}; {V5}.1={token[300:]}", True),
        ("chunks out of order", V5, f"{V5}.1={token[300:]}; {V5}.0={token[:300]}", True),
        ("ten chunks and more", V5, "; ".join(f"{V5}.{n}={token[n * 80 : (n + 1) * 80]}" for n in range(14)), True),
        ("percent-encoding", V5, f"{V5}={token.replace('.', '%2E')}", True),
        ("an empty chunk", V5, f"{V5}.0={token}; {V5}.1=", True),
        ("two cookies, the first", V5, f"{V5}={token}; {V5}=x", True),
        ("the name in capitals", V5, f"{V5.upper()}={token}", False),
        ("a part of it", V5, f"{V5}={token[:-1]}", False),
        ("nothing", V5, f"{V5}=", False),
    ]
    claims_of_packages = run(
        "verify.mjs",
        [
            {"generation": "v4" if cookie == V4 else "v5", "name": cookie, "secret": SECRET, "header": header}
            for _, cookie, header, _ in headers
        ],
    )
    assert [(row[0], bool(claims)) for row, claims in zip(headers, claims_of_packages, strict=True)] == [
        (name, accepted) for name, _, _, accepted in headers
    ]
    sessions = sessions_from(Settings.read({"NEXTAUTH_SECRET": SECRET}))
    found = []
    for name, _, header, _ in headers:
        try:
            found.append((name, (await sessions.user({"cookie": header})).id == "ada@example.com"))
        except Unauthorized:
            found.append((name, False))
    assert found == [(name, accepted) for name, _, _, accepted in headers]
