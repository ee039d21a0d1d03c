"""Which cookie of a request is the session: leftovers of other sessions do not spoil it, and the newest counts."""

import itertools
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from image_core.auth.claims import user_named
from image_core.auth.cookies import MAX_CHUNKS, MAX_JOINS, MAX_VALUES, NAMES, session_tokens
from image_core.auth.sessions import sessions_from
from image_core.clock import Clock
from image_core.errors import Unauthorized
from image_core.settings import Settings
from local.nextauth import session_token

SECRET = "a secret"
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECONDS = int(NOW.timestamp())
SECURE_V4, SECURE_V5, V4, V5 = NAMES
SESSIONS = sessions_from(Settings.read({"NEXTAUTH_SECRET": SECRET}), Clock(now=lambda: NOW))


def token(cookie: str = V4, email: str = "ada@example.com", iat: int | None = SECONDS, **more: Any) -> str:
    claims = {"email": email, "exp": SECONDS + 60, **more} | ({} if iat is None else {"iat": iat})
    return session_token(SECRET, claims, cookie)


GOOD = token(groups="x" * 300)
THIRD = len(GOOD) // 3
A, B, C = GOOD[:THIRD], GOOD[THIRD : 2 * THIRD], GOOD[2 * THIRD :]
OLD = token(email="eve@example.com", iat=SECONDS - 1000, groups="y" * 300)
CHUNKS = f"{V4}.0={A}; {V4}.1={B}; {V4}.2={C}"

WHOLE: list[tuple[str, str]] = [
    ("a stray chunk beside a whole cookie", f"{V4}.0=junk; {V4}={GOOD}; {V4}.1=junk"),
    ("an old token's chunks beside a whole cookie", f"{V4}.0={OLD[:99]}; {V4}.1={OLD[99:]}; {V4}={GOOD}"),
    ("an old whole cookie beside chunks", f"{V4}={OLD}; {CHUNKS}"),
    ("an empty cookie beside chunks", f"{V4}=; {CHUNKS}"),
    ("the last chunk of a longer session", f"{CHUNKS}; {V4}.3=junk"),
    ("many chunks of a longer session", f"{CHUNKS}; " + "; ".join(f"{V4}.{n}=junk" for n in range(3, 30))),
    ("an empty chunk behind", f"{CHUNKS}; {V4}.3="),
    ("a chunk behind a gap", f"{CHUNKS}; {V4}.7=junk"),
    ("an empty chunk before", f"{V4}.0=; {CHUNKS}"),
    ("an empty chunk between", f"{V4}.0={A}; {V4}.1=; {V4}.2={B}; {V4}.3={C}"),
    ("every chunk twice", f"{CHUNKS}; {CHUNKS}"),
    ("another path's chunks before", f"{V4}.0={OLD[:99]}; {V4}.1={OLD[99:]}; {CHUNKS}"),
    ("another path's chunks behind", f"{CHUNKS}; {V4}.0={OLD[:99]}; {V4}.1={OLD[99:]}"),
    ("junk before and behind", f"{V4}.0=j; {V4}.2=j; {CHUNKS}; {V4}.1=j"),
    ("a chunk of another NextAuth", f"{V5}.0=junk; {CHUNKS}; {SECURE_V4}.1=junk"),
    ("a number that is none", f"{V4}.x=junk; {V4}.00=junk; {V4}.-1=junk; {V4}.=junk; {CHUNKS}"),
    ("a digit that is not ASCII", f"{V4}.\u0663=junk; {CHUNKS}"),
    ("a number that is too large", f"{CHUNKS}; {V4}.16=junk; {V4}.99999999999999999999=junk"),
    ("a name that begins like it", f"{V4}s=junk; {V4}.0.1=junk; {V4}-0=junk; {CHUNKS}"),
    ("quotes", f'{V4}.0="{A}"; {V4}.1={B}; {V4}.2="{C}"'),
    ("percent-encoding", f"{V4}={GOOD.replace('.', '%2E')}"),
    ("two headers, joined by a comma", f"theme=dark,{V4}={GOOD}"),
    ("two headers, joined the other way round", f"{V4}={GOOD},theme=dark; a=b"),
    ("two headers, with a blank", f"theme=dark, {V4}={GOOD}, lang=de"),
    ("one chunk in each header", f"{V4}.0={A},{V4}.1={B},{V4}.2={C}"),
    ("commas in other cookies' values", f"a=1,2,3; b=x,y=z; {V4}={GOOD}; c=,"),
    ("a comma behind", f"{V4}={GOOD},"),
    ("a nameless cookie behind a comma", f"{V4}={GOOD},flag"),
    ("a value that quotes another session", f"next={V4},{V4}=junk; {V4}={GOOD}"),
    ("tabs around the name", f"a=b;\t{V4}\t=\t{GOOD}\t"),
]


@pytest.mark.parametrize("cookie", [row[1] for row in WHOLE], ids=[row[0] for row in WHOLE])
async def test_other_cookies_do_not_spoil_a_whole_session(cookie: str) -> None:
    assert (await SESSIONS.user({"cookie": cookie})).id == "ada@example.com"


@given(
    st.permutations([*((V4 + f".{n}", part) for n, part in enumerate((A, B, C))), (f"{V4}.1", "x"), (f"{V4}.2", "")])
)
async def test_the_order_of_cookies_does_not_matter(cookies: list[tuple[str, str]]) -> None:
    header = "; ".join(f"{name}={value}" for name, value in cookies)
    assert (await SESSIONS.user({"cookie": header})).id == "ada@example.com"


PAIRS = [(older, newer) for older, newer in itertools.product(NAMES, NAMES) if older != newer]


@pytest.mark.parametrize(("older", "newer"), PAIRS, ids=lambda name: str(name).replace(".session-token", ""))
async def test_the_session_that_was_issued_last_counts_whatever_its_name(older: str, newer: str) -> None:
    cookies = [
        f"{older}={token(older, 'old@example.com', SECONDS - 1)}",
        f"{newer}={token(newer, 'new@example.com', SECONDS)}",
    ]
    for header in ("; ".join(cookies), "; ".join(reversed(cookies))):
        assert (await SESSIONS.user({"cookie": header})).id == "new@example.com"


async def test_of_sessions_issued_at_the_same_time_the_secure_one_counts() -> None:
    header = f"{V5}={token(V5, 'a@b.c')}; {SECURE_V5}={token(SECURE_V5, 'd@e.f')}; {V4}={token(V4, 'g@h.i')}"
    assert (await SESSIONS.user({"cookie": header})).id == "d@e.f"


async def test_a_session_without_a_time_of_issue_is_the_oldest() -> None:
    header = f"{SECURE_V4}={token(SECURE_V4, 'a@b.c', None)}; {V5}={token(V5, 'd@e.f', 0)}"
    assert (await SESSIONS.user({"cookie": header})).id == "d@e.f"


@pytest.mark.parametrize("ended", ["expired", "another secret", "cleared"])
async def test_an_older_session_counts_until_it_expires_where_the_newer_one_is_invalid(ended: str) -> None:
    newer = {
        "expired": token(V5, "new@example.com", exp=SECONDS - 20),
        "another secret": session_token("another", {"email": "new@example.com", "exp": SECONDS + 60}, V5),
        "cleared": "",
    }[ended]
    header = f"{V4}={token(V4, 'old@example.com', SECONDS - 1)}; {V5}={newer}"
    assert (await SESSIONS.user({"cookie": header})).id == "old@example.com"
    later = sessions_from(
        Settings.read({"NEXTAUTH_SECRET": SECRET}), Clock(now=lambda: datetime.fromtimestamp(SECONDS + 76, UTC))
    )
    with pytest.raises(Unauthorized):
        await later.user({"cookie": header})


async def test_a_newest_session_without_a_valid_user_is_refused_although_an_older_one_has_one() -> None:
    header = f"{V4}={token(V4, 'old@example.com', SECONDS - 1)}; {V5}={token(V5, 'nobody', SECONDS)}"
    with pytest.raises(Unauthorized) as caught:
        await SESSIONS.user({"cookie": header})
    assert caught.value.reason == "bad_user"


async def test_with_a_configured_name_cookies_of_the_usual_names_are_ignored() -> None:
    named = sessions_from(
        Settings.read({"NEXTAUTH_SECRET": SECRET, "NEXTAUTH_COOKIE_NAME": V5}), Clock(now=lambda: NOW)
    )
    with pytest.raises(Unauthorized):
        await named.user({"cookie": f"{V4}={token(V4)}"})


def test_a_comma_that_begins_no_cookie_may_belong_to_the_value() -> None:
    for header, first in (
        ("sid=ab,cd", "ab,cd"),
        ("sid=ab,cd==; x=1", "ab"),
        ("sid=ab,cd,b=2", "ab,cd"),
        ("sid=ab,", "ab,"),
    ):
        tokens = session_tokens(header, "sid")
        assert tokens[0].value == first
        assert header.partition("=")[2].partition(";")[0] in [token.value for token in tokens]


def test_the_number_of_values_that_are_tried_is_bounded() -> None:
    header = "; ".join(f"{name}.{n % MAX_CHUNKS}={n}" for n in range(200) for name in NAMES)
    assert len(session_tokens(header)) <= len(NAMES) * MAX_JOINS
    header = "; ".join(f"{name}={n}" for n in range(200) for name in NAMES)
    assert len(session_tokens(header)) == len(NAMES) * MAX_VALUES


def test_different_identities_have_different_ids() -> None:
    emails = [
        "k@b.c",
        "\u212a@b.c",
        "i@b.c",
        "\u0130@b.c",
        "\u0131@b.c",
        "ss@b.c",
        "\u00df@b.c",
        "\u1e9e@b.c",
        "\u00e9@b.c",
        "e\u0301@b.c",
    ]
    users = [user_named(email, "7") for email in emails] + [
        user_named(None, subject) for subject in ("7", "k@b.c", "*")
    ]
    assert len({user.id for user in users}) == len(users)
    assert len({user.folder for user in users}) == len(users)
    assert json.dumps([users[-1].id, users[-2].id]) == '["sub:*", "sub:k@b.c"]'


PIECES = st.one_of(
    st.sampled_from([*NAMES, ";", "; ", ",", ", ", "=", ".", ".0", ".1", ".15", ".16", '"', "%2E", "%", A, B, C, GOOD]),
    st.text(max_size=5),
)


@given(st.lists(PIECES, max_size=30))
async def test_any_header_is_either_the_valid_session_or_unauthorized(pieces: list[str]) -> None:
    try:
        found = (await SESSIONS.user({"cookie": "".join(pieces)})).id
    except Unauthorized:
        return
    assert found == "ada@example.com"
