"""Fresh tokens of the real `next-auth` and `@auth/core`: ours verify theirs, whatever the claims are."""

import json
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from image_core.errors import Unauthorized
from image_core.session import Sessions
from image_core.settings import Settings
from local.node import find_node, install_packages

FOLDER = Path(__file__).parent.parent / "nextauth"
SECRET = "hVnN0Zp8rQ=="
LARGE = {"name": "Ada", "email": "Ada@Example.com", "groups": ["x" * 60] * 160}

MINTED: list[tuple[str, dict[str, Any], str]] = [
    ("v4", {"generation": "v4"}, "next-auth.session-token"),
    ("v4 with a salt", {"generation": "v4", "salt": "a salt"}, "next-auth.session-token"),
    ("v5", {"generation": "v5", "salt": "authjs.session-token"}, "authjs.session-token"),
    ("v5 secure", {"generation": "v5", "salt": "__Secure-authjs.session-token"}, "__Secure-authjs.session-token"),
    ("v5 under a name of its own", {"generation": "v5", "salt": "sid"}, "sid"),
    ("v4 under a name of its own", {"generation": "v4"}, "sid"),
]


@pytest.fixture(scope="module")
def tokens() -> list[str]:
    install_packages(FOLDER)
    tools = find_node()
    wanted = [
        {
            "secret": SECRET,
            "maxAge": 3600,
            "claims": LARGE if "secure" in name else {"email": "Ada@Example.com"},
            **options,
        }
        for name, options, _ in MINTED
    ]
    made = subprocess.run(
        [tools.node, "mint.mjs"],
        cwd=FOLDER,
        input=json.dumps(wanted),
        capture_output=True,
        text=True,
        check=True,
        env=tools.environment(),
    )
    found: list[str] = json.loads(made.stdout)
    return found


@pytest.mark.parametrize("number", range(len(MINTED)), ids=[row[0] for row in MINTED])
async def test_a_fresh_token_verifies_and_only_under_its_own_settings(tokens: list[str], number: int) -> None:
    _, options, cookie = MINTED[number]
    environment = {"NEXTAUTH_SECRET": SECRET}
    if cookie == "sid":
        environment["NEXTAUTH_COOKIE_NAME"] = "sid"
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
