"""URLs: no path, query or reference changes the host, and the result is encoded ASCII."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from image_core.inputs.urls import parsed

PAGE = URL("http://example.com:8080/dir/page?x=1")
REFERENCE = st.text(st.sampled_from("/\\.?#@:[]%2fF5cé\u3002 ab|^{}\"'<>&=+~"), max_size=30)


@given(REFERENCE)
def test_no_path_or_query_changes_the_host(text: str) -> None:
    url = parsed(f"http://example.com:8080/{text}")
    assert (url.raw_host, url.port, url.raw_fragment) == ("example.com", 8080, "")
    assert all("!" <= character <= "~" for character in url.raw_path_qs)


@given(REFERENCE)
def test_only_a_reference_with_an_authority_changes_the_host(text: str) -> None:
    try:
        url = parsed(text, PAGE)
    except ValueError:
        return
    if not text.strip().startswith("//"):
        assert (url.raw_host, url.port) == ("example.com", 8080)
    assert all("!" <= character <= "~" for character in url.raw_path_qs)


@given(REFERENCE)
def test_encoded_url_is_not_encoded_again(text: str) -> None:
    sent = str(parsed(f"http://example.com/{text}"))
    assert str(parsed(sent)) == sent


@pytest.mark.parametrize(
    "url",
    [
        "http:\\\\example.com/",
        "http://example.com\\@evil.example/",
        "http://example.com\\evil.example/",
        "http:/example.com/",
        "http:example.com",
        "http://[::1]evil.example/",
        "http://127.0.0.1[::1]/",
        "http://exa\x00mple.com/",
        "example.com/a.png",
        "//example.com/a.png",
        "/a.png",
    ],
)
def test_url_that_parsers_read_differently_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parsed(url)


def test_bytes_of_a_header_that_are_not_utf_8_are_kept() -> None:
    location = b"/gr\xfc\xdfe.png".decode("utf-8", errors="surrogateescape")
    assert parsed(location, PAGE).raw_path == "/gr%FC%DFe.png"


def test_lone_surrogate_is_refused() -> None:
    with pytest.raises(ValueError, match=r"."):
        parsed("http://example.com/\ud800")


def test_international_host_is_sent_in_its_ascii_form() -> None:
    assert parsed("HTTP://Bücher.example/ü").raw_authority == "xn--bcher-kva.example"
