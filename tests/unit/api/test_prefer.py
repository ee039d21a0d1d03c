"""`Prefer` is applied if it is valid, else ignored (RFC 7240)."""

import pytest

from image_core.api.prefer import Preference, preference


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, Preference()),
        ("", Preference()),
        ("respond-async", Preference(respond_async=True)),
        ("Respond-Async", Preference(respond_async=True)),
        ("wait=10", Preference(wait=10)),
        ('wait="10"', Preference(wait=10)),
        ("respond-async, wait=10", Preference(respond_async=True, wait=10)),
        ("wait=5, wait=50", Preference(wait=5)),
        ("wait=10; foo=bar", Preference(wait=10)),
        ("return=minimal, wait=0", Preference(wait=0)),
        ("wait", Preference()),
        ("wait=", Preference()),
        ("wait=-1", Preference()),
        ("wait=1.5", Preference()),
        ("wait=soon", Preference()),
        ("wait=٣", Preference()),
        ("wait=99999999999999999999", Preference()),
        (";;;,,,===", Preference()),
    ],
)
def test_preference_is_read_or_ignored(header: str | None, expected: Preference) -> None:
    assert preference(header) == expected


@pytest.mark.parametrize(
    ("header", "at_once", "applied"),
    [
        ("respond-async", True, "respond-async"),
        ("wait=0", True, "wait=0"),
        ("respond-async, wait=10", False, "respond-async, wait=10"),
        ("wait=10", False, "wait=10"),
        ("", False, None),
    ],
)
def test_applied_preferences_are_reported(header: str, at_once: bool, applied: str | None) -> None:
    wanted = preference(header)
    assert wanted.at_once is at_once
    assert wanted.applied == applied
