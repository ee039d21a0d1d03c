"""Fresh tokens of the real `next-auth` and `@auth/core`: ours verify theirs, whatever the claims are."""

import base64
import json
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from joserfc import jwe
from joserfc.jwk import OctKey

from image_core.errors import Unauthorized
from image_core.session import Sessions
from image_core.session.cookies import NAMES
from image_core.session.keys import v5_key, v5_key_id
from image_core.settings import Settings
from local.node import find_node, install_packages

FOLDER = Path(__file__).parent.parent / "nextauth"
SECRET = "hVnN0Zp8rQ=="
LARGE = {"name": "Ada", "email": "Ada@Example.com", "groups": ["x" * 60] * 160}

V4, V5 = "next-auth.session-token", "authjs.session-token"

MINTED: list[tuple[str, dict[str, Any], str]] = [
    ("v4", {"generation": "v4"}, "next-auth.session-token"),
    ("v4 with a salt", {"generation": "v4", "salt": "a salt"}, "next-auth.session-token"),
    ("v5", {"generation": "v5", "salt": "authjs.session-token"}, "authjs.session-token"),
    ("v5 secure", {"generation": "v5", "salt": "__Secure-authjs.session-token"}, "__Secure-authjs.session-token"),
    ("v5 under a name of its own", {"generation": "v5", "salt": "sid"}, "sid"),
    ("v4 under a name of its own", {"generation": "v4"}, "sid"),
    ("v5 under the v4 name", {"generation": "v5", "salt": V4}, V4),
    ("v5 under the secure v4 name", {"generation": "v5", "salt": f"__Secure-{V4}"}, f"__Secure-{V4}"),
    ("v5 under a host name", {"generation": "v5", "salt": f"__Host-{V5}"}, f"__Host-{V5}"),
    ("v4 under a host name", {"generation": "v4"}, f"__Host-{V4}"),
]


def minted(wanted: list[dict[str, Any]]) -> list[str]:
    """Tokens that the real packages make."""
    install_packages(FOLDER)
    tools = find_node()
    made = subprocess.run(
        [tools.node, "mint.mjs"],
        cwd=FOLDER,
        input=json.dumps([{"secret": SECRET, "maxAge": 3600, **each} for each in wanted]),
        capture_output=True,
        text=True,
        check=True,
        env=tools.environment(),
    )
    found: list[str] = json.loads(made.stdout)
    return found


@pytest.fixture(scope="module")
def tokens() -> list[str]:
    return minted(
        [
            {"claims": LARGE if "v5 secure" in name else {"email": "Ada@Example.com"}, **options}
            for name, options, _ in MINTED
        ]
    )


@pytest.mark.parametrize("number", range(len(MINTED)), ids=[row[0] for row in MINTED])
async def test_a_fresh_token_verifies_and_only_under_its_own_settings(tokens: list[str], number: int) -> None:
    _, options, cookie = MINTED[number]
    environment = {"NEXTAUTH_SECRET": SECRET}
    if cookie not in NAMES:
        environment["NEXTAUTH_COOKIE_NAME"] = cookie
    if options["generation"] == "v4" and "salt" in options:
        environment["NEXTAUTH_SALT"] = options["salt"]
    header = chunked(cookie, tokens[number])
    user = await Sessions(Settings.read(environment)).user({"cookie": header})
    assert user.id == "ada@example.com"
    for wrong in ({"NEXTAUTH_SECRET": f"{SECRET}x"}, {"NEXTAUTH_SALT": "another", "NEXTAUTH_COOKIE_NAME": "other"}):
        with pytest.raises(Unauthorized):
            await Sessions(Settings.read({**environment, **wrong})).user({"cookie": header})


def chunked(cookie: str, token: str) -> str:
    pieces = [token[at : at + 3900] for at in range(0, len(token), 3900)]
    if len(pieces) == 1:
        return f"{cookie}={token}"
    return "; ".join(f"{cookie}.{number}={piece}" for number, piece in enumerate(pieces))


def test_the_tokens_are_fresh(tokens: list[str]) -> None:
    assert len(set(tokens)) == len(MINTED)
    assert len(tokens[3]) > 4096
    assert datetime.now(UTC).year >= 2026


AGES = [(V4, 0), (V5, 60), (f"__Secure-{V4}", 120), (f"__Secure-{V5}", 180)]


@pytest.mark.parametrize("newest", range(len(AGES)), ids=[name for name, _ in AGES])
async def test_of_all_the_sessions_in_a_request_the_newest_is_the_callers(newest: int) -> None:
    cookies = [(name, 30 if place == newest else age + 60) for place, (name, age) in enumerate(AGES)]
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
    user = await Sessions(Settings.read({"NEXTAUTH_SECRET": SECRET})).user({"cookie": header})
    assert user.id == f"{AGES[newest][0]}@example.com".lower()


async def test_a_key_id_of_another_key_is_refused_as_auth_core_refuses_it() -> None:
    (token,) = minted([{"generation": "v5", "salt": V5, "claims": {"email": "ada@example.com"}}])
    header = json.loads(base64.urlsafe_b64decode(token.split(".")[0] + "=="))
    assert header["kid"] == v5_key_id(v5_key(SECRET, V5, "A256CBC-HS512"))
    forged = jwe.encrypt_compact(
        {**header, "kid": v5_key_id(v5_key("another", V5, "A256CBC-HS512"))},
        json.dumps({"email": "ada@example.com", "exp": 4_000_000_000}),
        OctKey.import_key(v5_key(SECRET, V5, "A256CBC-HS512")),
        registry=jwe.JWERegistry(algorithms=["dir", "A256CBC-HS512"]),
    )
    sessions = Sessions(Settings.read({"NEXTAUTH_SECRET": SECRET}))
    with pytest.raises(Unauthorized) as caught:
        await sessions.user({"cookie": f"{V5}={forged}"})
    assert caught.value.reason == "not_decryptable"
    assert (await sessions.user({"cookie": f"{V5}={token}"})).id == "ada@example.com"
