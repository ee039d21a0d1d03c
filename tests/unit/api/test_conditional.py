"""Conditional requests and ranges, by RFC 9110."""

import pytest

from image_core.api.conditional import is_known, requested_range
from image_core.api.http import Request

ETAG = '"abc"'


def request(**headers: str) -> Request:
    return Request("GET", "images/x", headers={name.replace("_", "-"): value for name, value in headers.items()})


@pytest.mark.parametrize(
    ("header", "known"),
    [
        (ETAG, True),
        (f"W/{ETAG}", True),
        (f'"x", {ETAG}', True),
        (f'"x,y" , W/"z",{ETAG}', True),
        ("*", True),
        ('"abcd"', False),
        ('"x,abc"', False),
        ("", False),
    ],
)
def test_if_none_match_is_compared_weakly(header: str, known: bool) -> None:
    assert is_known(request(if_none_match=header), ETAG) is known


def test_without_if_none_match_the_whole_answer_is_sent() -> None:
    assert not is_known(request(), ETAG)


@pytest.mark.parametrize(
    ("header", "positions"),
    [
        ("bytes=0-0", range(1)),
        ("bytes=2-4", range(2, 5)),
        ("bytes=7-", range(7, 10)),
        ("bytes=-3", range(7, 10)),
        ("bytes=-30", range(10)),
        ("bytes=9-100", range(9, 10)),
        ("bytes=0-99999999999999999999", range(10)),
        ("Bytes=1-2", range(1, 3)),
        ("bytes=10-", range(0)),
        ("bytes=99999999999999999999-", range(0)),
    ],
)
def test_one_range_is_limited_to_the_size(header: str, positions: range) -> None:
    assert requested_range(request(range=header), ETAG, 10) == positions


@pytest.mark.parametrize(
    "header",
    [
        *("", "bytes", "bytes=", "bytes=-", "bytes=-0", "bytes=a-b", "bytes=5-2", "bytes=0-1,4-5", "items=0-1"),
        *("bytes=--1", "bytes=+1-2", "bytes=1_0-", "bytes=\u0663-", f"bytes={'9' * 5000}-"),
    ],
)
def test_any_other_range_is_ignored(header: str) -> None:
    assert requested_range(request(range=header), ETAG, 10) is None


def test_without_a_range_everything_is_sent() -> None:
    assert requested_range(request(), ETAG, 10) is None


@pytest.mark.parametrize(
    ("if_range", "counts"),
    [(ETAG, True), (f"W/{ETAG}", False), ('"x"', False), ("Wed, 21 Oct 2026 07:28:00 GMT", False), ("", False)],
)
def test_if_range_is_compared_strongly(if_range: str, counts: bool) -> None:
    found = requested_range(request(range="bytes=0-1", if_range=if_range), ETAG, 10)
    assert (found == range(2)) is counts
