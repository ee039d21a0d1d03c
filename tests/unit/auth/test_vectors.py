"""Tokens made by the real packages have the verdict they should, at the verifier and through the HTTP API."""

import json
from typing import Any

import pytest

from image_core.api.http import Request
from image_core.app import Application
from image_core.auth.sessions import sessions_from
from image_core.errors import Unauthorized
from image_core.settings import Settings
from tests.support.paths import FIXTURES

VECTORS = json.loads((FIXTURES / "nextauth_vectors.json").read_text())
CASES = VECTORS["cases"]
WITH_OLD = {"NEXTAUTH_SECRET_PREVIOUS": VECTORS["old_secret"]}
SIGNED = {"NEXTAUTH_JWT": "signed"}

# Each case under the settings that its verdict speaks of: (name, cookie, settings, whether it is valid, user).
TABLE: list[tuple[str, str, dict[str, str], bool, str]] = []
for case in CASES:
    user = f"sub:{case['user_id']}" if "user_id" in case else VECTORS["user"]["email"]
    verdict = case["valid"]
    TABLE.append((case["name"], case["cookie"], {}, verdict is True, user))
    if verdict == "with old_secret configured too":
        TABLE.append((f"{case['name']}, with it", case["cookie"], WITH_OLD, True, user))
    if verdict == "only with signed tokens configured":
        TABLE.append((f"{case['name']}, with them", case["cookie"], SIGNED, True, user))
    elif verdict is True:
        TABLE.append((f"{case['name']}, where signed ones are configured", case["cookie"], SIGNED, False, user))

parametrized = pytest.mark.parametrize(
    ("cookie", "settings", "valid", "user"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE]
)


def environment(settings: dict[str, str]) -> dict[str, str]:
    return {"NEXTAUTH_SECRET": VECTORS["secret"], **settings}


def test_every_verdict_of_the_vectors_is_one_that_is_tested() -> None:
    known = {True, False, "with old_secret configured too", "only with signed tokens configured"}
    assert {case["valid"] for case in CASES} <= known
    assert len(CASES) >= 25


@parametrized
async def test_a_token_of_the_real_packages_has_its_verdict(
    cookie: str,
    settings: dict[str, str],
    valid: bool,
    user: str,
) -> None:
    sessions = sessions_from(Settings.read(environment(settings)))
    if valid:
        assert (await sessions.user({"cookie": cookie})).id == user
    else:
        with pytest.raises(Unauthorized):
            await sessions.user({"cookie": cookie})


@parametrized
async def test_the_api_gives_the_same_verdict_and_never_says_why(
    cookie: str,
    settings: dict[str, str],
    valid: bool,
    user: str,
    caplog: Any,
) -> None:
    app = Application(environment(settings))
    caplog.set_level("DEBUG")
    headers = {"cookie": cookie} if cookie else {}
    answer = await app.handle(Request("POST", "image", headers=headers, body=b"{}"))
    if valid:
        # Inside: the next thing that is looked at is the request itself, which needs the storage to be configured.
        assert (answer.status, json.loads(answer.body)["code"]) == (500, "misconfigured")
    else:
        assert answer.status == 401
        assert json.loads(answer.body) == {"error": "Unauthorized", "code": "unauthorized", "retryable": False}
    value = cookie.partition("=")[2]
    assert not value or value[:40] not in caplog.text
    await app.close()
