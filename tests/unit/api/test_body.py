"""What is checked of a body before it is parsed: its length, its encoding, its type."""

import pytest

from image_core.api.body import check_body, check_json_type
from image_core.api.http import Request
from image_core.errors import LengthRequired, RequestTooLarge, UnsupportedMediaType


def posted(body: bytes = b"{}", **headers: str) -> Request:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return Request("POST", "image", headers=sent, body=body)


def test_a_body_in_chunks_arrives_empty_and_is_411() -> None:
    with pytest.raises(LengthRequired):
        check_body(posted(b"", transfer_encoding="chunked"), 10)


def test_a_request_without_a_body_is_not_411() -> None:
    check_body(posted(b""), 10)
    check_body(posted(b"", content_length="0"), 10)


def test_a_body_that_arrived_is_taken_however_it_was_sent() -> None:
    check_body(posted(transfer_encoding="chunked"), 10)


def test_a_body_over_the_limit_is_413_with_the_limit() -> None:
    check_body(posted(b"x" * 10), 10)
    with pytest.raises(RequestTooLarge) as caught:
        check_body(posted(b"x" * 11), 10)
    assert "10 bytes" in str(caught.value.details)


@pytest.mark.parametrize("encoding", ["gzip", "br", "GZIP", "deflate, gzip", "identity, zstd", "nonsense"])
def test_a_packed_body_is_415_by_name(encoding: str) -> None:
    with pytest.raises(UnsupportedMediaType) as caught:
        check_body(posted(content_encoding=encoding), 10)
    packed = next(name for name in encoding.split(", ") if name != "identity")
    assert packed in str(caught.value.details)


def test_a_long_encoding_is_not_repeated_in_full() -> None:
    with pytest.raises(UnsupportedMediaType) as caught:
        check_body(posted(content_encoding="x" * 10_000), 10)
    assert len(str(caught.value.details)) < 100


@pytest.mark.parametrize("encoding", ["", "identity", "Identity", "identity, identity"])
def test_a_plain_body_is_taken(encoding: str) -> None:
    check_body(posted(content_encoding=encoding), 10)


@pytest.mark.parametrize(
    "media_type",
    [
        *("application/json", "APPLICATION/JSON; charset=utf-8", "application/vnd.api+json", "image/svg+json"),
        *("text/plain", "text/plain;charset=UTF-8", "", " ; charset=utf-8"),
    ],
)
def test_json_may_be_called_so_or_plain_text_or_nothing(media_type: str) -> None:
    check_json_type(posted(content_type=media_type))


def test_without_a_content_type_it_is_json() -> None:
    check_json_type(posted())


@pytest.mark.parametrize(
    "media_type",
    ["text/html", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/jsonp", "json"],
)
def test_another_content_type_is_415(media_type: str) -> None:
    with pytest.raises(UnsupportedMediaType):
        check_json_type(posted(content_type=media_type))
