"""Writes from other sites are refused behind every proxy; other origins may read only if a setting names them."""

import pytest

from image_core.api.http import Request
from image_core.api.origin import OriginPolicy
from image_core.errors import CrossSite
from image_core.settings import Settings

POLICY = OriginPolicy(
    ["https://studio.example.com:443", "http://localhost:3000"], front_end="https://app.example.com/api/auth"
)
FUNCTION_HOST = {"host": "func-123.azurewebsites.net"}
SWA = {**FUNCTION_HOST, "x-ms-original-url": "https://happy-river.azurestaticapps.net/api/image"}

ALLOWED: list[tuple[str, dict[str, str]]] = [
    ("not a browser", {"host": "api"}),
    ("the same origin by Sec-Fetch-Site", {"sec-fetch-site": "same-origin", "origin": "https://x.example"}),
    ("a typed address", {"sec-fetch-site": "none"}),
    ("the front end's origin", {"sec-fetch-site": "cross-site", "origin": "https://app.example.com"}),
    ("an allowed origin", {"sec-fetch-site": "same-site", "origin": "https://studio.example.com"}),
    ("an allowed origin with a port", {"sec-fetch-site": "cross-site", "origin": "http://localhost:3000"}),
    ("an old browser on our own host", {"host": "api.example.org", "origin": "https://api.example.org"}),
    ("an old browser behind Static Web Apps", {**SWA, "origin": "https://happy-river.azurestaticapps.net"}),
]
REFUSED: list[tuple[str, dict[str, str]]] = [
    ("another site", {"sec-fetch-site": "cross-site", "origin": "https://evil.example"}),
    ("a sibling host", {"sec-fetch-site": "same-site", "origin": "https://blog.example.com"}),
    ("an unknown value of Sec-Fetch-Site", {"sec-fetch-site": "whatever"}),
    ("an old browser on another site", {**FUNCTION_HOST, "origin": "https://evil.example"}),
    ("a page without an origin", {**FUNCTION_HOST, "origin": "null"}),
    ("the front end's host over http", {**FUNCTION_HOST, "origin": "http://app.example.com"}),
    ("the front end's host at another port", {**FUNCTION_HOST, "origin": "https://app.example.com:8443"}),
    ("a name that begins with the front end's", {**FUNCTION_HOST, "origin": "https://app.example.com.evil.example"}),
    (
        "a host that only X-Forwarded-Host names",
        {**FUNCTION_HOST, "x-forwarded-host": "evil.example", "origin": "https://evil.example"},
    ),
    ("another site behind Static Web Apps", {**SWA, "origin": "https://evil.example"}),
]


@pytest.mark.parametrize("headers", [row[1] for row in ALLOWED], ids=[row[0] for row in ALLOWED])
@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_write_is_allowed(method: str, headers: dict[str, str]) -> None:
    POLICY.check_cross_site(Request(method, "image", headers=headers))


@pytest.mark.parametrize("headers", [row[1] for row in REFUSED], ids=[row[0] for row in REFUSED])
@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_write_is_refused(method: str, headers: dict[str, str]) -> None:
    with pytest.raises(CrossSite):
        POLICY.check_cross_site(Request(method, "image", headers=headers))


@pytest.mark.parametrize("headers", [row[1] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_read_is_not_refused(headers: dict[str, str]) -> None:
    POLICY.check_cross_site(Request("GET", "generations", headers=headers))


def test_allowed_origin_may_read() -> None:
    headers = POLICY.cors_headers(Request("GET", "generations", headers={"origin": "https://studio.example.com"}))
    assert headers["Access-Control-Allow-Origin"] == "https://studio.example.com"
    assert headers["Access-Control-Allow-Credentials"] == "true"
    assert headers["Vary"] == "Origin"
    exposed = headers["Access-Control-Expose-Headers"].split(", ")
    assert {"Retry-After", "Location", "ETag", "Content-Range", "Preference-Applied"} <= set(exposed)


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "*", "", "https://app.example.com"])
def test_no_other_origin_may_read(origin: str) -> None:
    assert POLICY.cors_headers(Request("GET", "generations", headers={"origin": origin})) == {"Vary": "Origin"}


def test_preflight_of_an_allowed_origin_only_lists_methods_and_headers() -> None:
    allowed = POLICY.preflight(Request("OPTIONS", "image", headers={"origin": "http://localhost:3000"}), ("POST",))
    assert allowed.status == 204
    named = {name.strip().lower() for name in allowed.headers["Access-Control-Allow-Headers"].split(",")}
    assert named == {
        *("content-type", "idempotency-key", "prefer", "if-none-match", "if-range", "range", "cache-control"),
        *("traceparent", "tracestate", "baggage", "sentry-trace", "request-id", "request-context"),
    }
    assert allowed.headers["Access-Control-Allow-Methods"] == "POST"
    other = POLICY.preflight(Request("OPTIONS", "image", headers={"origin": "https://evil.example"}), ("POST",))
    assert not any(name.startswith("Access-Control") for name in other.headers)


def test_without_allowed_origins_there_is_no_cors() -> None:
    assert OriginPolicy([], None).cors_headers(Request("GET", "x", headers={"origin": "https://x.example"})) == {}


@pytest.mark.parametrize(
    ("setting", "origin"),
    [
        ("https://Studio.Example.com", "https://studio.example.com"),
        ("HTTPS://studio.example.com:443/", "https://studio.example.com"),
        ("http://studio.example.com:80", "http://studio.example.com"),
        ("https://studio.example.com:8443", "https://studio.example.com:8443"),
        ("https://b\u00fccher.example", "https://xn--bcher-kva.example"),
        ("https://stra\u00dfe.example", "https://xn--strae-oqa.example"),
        ("http://[::1]:3000", "http://[::1]:3000"),
        ("capacitor://localhost", "capacitor://localhost"),
    ],
)
def test_origin_is_compared_in_the_form_that_browsers_send(setting: str, origin: str) -> None:
    policy = OriginPolicy(Settings.read({"ALLOWED_ORIGINS": setting}).allowed_origins, None)
    request = Request("POST", "image", headers={"origin": origin, "sec-fetch-site": "cross-site"})
    policy.check_cross_site(request)
    assert policy.cors_headers(request)["Access-Control-Allow-Origin"] == origin


def test_front_ends_url_may_have_a_unicode_host() -> None:
    policy = OriginPolicy([], "https://b\u00fccher.example/api/auth")
    policy.check_cross_site(Request("POST", "image", headers={"origin": "https://xn--bcher-kva.example"}))
