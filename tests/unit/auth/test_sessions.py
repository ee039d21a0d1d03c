"""What all forms of sessions have in common: settings, requests without a session, and users that logs do not name."""

import pytest

from image_core.auth.sessions import sessions_from
from image_core.auth.user import User
from image_core.errors import Misconfigured, Unauthorized
from image_core.settings import Settings

FORMS: list[tuple[str, dict[str, str]]] = [
    ("encrypted", {"NEXTAUTH_SECRET": "secret"}),
    ("signed", {"NEXTAUTH_JWT": "signed", "NEXTAUTH_SECRET": "secret"}),
    ("introspect", {"NEXTAUTH_JWT": "introspect", "NEXTAUTH_URL": "http://127.0.0.1:9"}),
]


@pytest.mark.parametrize("settings", [row[1] for row in FORMS], ids=[row[0] for row in FORMS])
@pytest.mark.parametrize("headers", [{}, {"cookie": ""}, {"cookie": "theme=dark"}], ids=str)
async def test_a_request_without_a_session_is_refused(settings: dict[str, str], headers: dict[str, str]) -> None:
    sessions = sessions_from(Settings.read(settings))
    with pytest.raises(Unauthorized) as caught:
        await sessions.user(headers)
    assert caught.value.reason == "no_session_cookie"
    await sessions.close()


@pytest.mark.parametrize(
    ("settings", "missing"),
    [
        ({}, "NEXTAUTH_SECRET"),
        ({"NEXTAUTH_SECRET_PREVIOUS": "old"}, "NEXTAUTH_SECRET"),
        ({"NEXTAUTH_JWT": "signed"}, "NEXTAUTH_SECRET"),
        ({"NEXTAUTH_JWT": "introspect", "NEXTAUTH_SECRET": "secret"}, "NEXTAUTH_URL"),
    ],
    ids=str,
)
def test_settings_that_cannot_verify_any_session_are_refused(settings: dict[str, str], missing: str) -> None:
    with pytest.raises(Misconfigured) as caught:
        sessions_from(Settings.read(settings))
    assert caught.value.reason.startswith(f"{missing} is not set")


def test_the_representation_of_a_user_contains_neither_address_nor_digest() -> None:
    user = User("ada@example.com", "Ada@example.com")
    assert repr(user) == f"{user}" == "User(…)"
