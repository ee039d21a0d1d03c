"""Requests from other sites: which writes are refused (CSRF), and which origins may read the answers (CORS)."""

from collections.abc import Iterable
from urllib.parse import urlsplit

from yarl import URL

from image_core.api.http import Request, Response
from image_core.errors import CrossSite

SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}
SAME_SITE = {"same-origin", "none"}
ALLOWED_HEADERS = (
    "Content-Type, Idempotency-Key, Prefer, If-None-Match, If-Range, Range, Cache-Control, "
    "traceparent, tracestate, baggage, sentry-trace, request-id, request-context"
)
"""Headers that a page may send: the API's own, and those that the usual tracing libraries add to every request."""
EXPOSED_HEADERS = (
    "Location, Retry-After, Idempotency-Replayed, Preference-Applied, "
    "ETag, Accept-Ranges, Content-Range, Content-Length"
)
"""Headers of a response that a page may read, beside those that every page may read."""
PREFLIGHT_SECONDS = 600


class OriginPolicy:
    """Decides by origin, because a browser adds the session cookie to requests of any site's pages.

    Pages of `allowed_origins` may read answers. They and those of the front end may write.
    """

    def __init__(self, allowed_origins: Iterable[str], front_end: str | None) -> None:
        self._readers = frozenset(map(origin_of, allowed_origins))
        self._writers = self._readers | ({origin_of(front_end)} if front_end else set())

    def check_cross_site(self, request: Request) -> None:
        """Raise CrossSite for a write by another site's page.

        The rules are those of CrossOriginProtection in Go's net/http. The host of `x-ms-original-url` counts beside
        `Host`, which behind Static Web Apps is not the one that the browser sees.
        """
        if request.method in SAFE_METHODS:
            return
        origin = request.headers.get("origin")
        if origin is not None and origin.lower() in self._writers:
            return
        site = request.headers.get("sec-fetch-site")
        if site is not None:
            if site.lower() in SAME_SITE:
                return
            raise CrossSite
        if origin is None:
            return  # not a browser
        host = urlsplit(origin).netloc.lower()
        ours = {request.headers.get("host", "").lower()}
        ours.add(urlsplit(request.headers.get("x-ms-original-url", "")).netloc.lower())
        if not host or host not in ours:
            raise CrossSite

    def cors_headers(self, request: Request) -> dict[str, str]:
        """Return the CORS headers of an answer, errors included: never `*`, which excludes requests with cookies."""
        if not self._readers:
            return {}
        origin = request.headers.get("origin", "")
        if origin.lower() not in self._readers:
            return {"Vary": "Origin"}
        return {
            "Vary": "Origin",
            "Access-Control-Allow-Origin": origin,
            "Access-Control-Allow-Credentials": "true",
            "Access-Control-Expose-Headers": EXPOSED_HEADERS,
        }

    def preflight(self, request: Request, methods: tuple[str, ...]) -> Response:
        """Return the answer to OPTIONS: only an origin that may read learns what it may send."""
        headers = {"Allow": ", ".join((*methods, "OPTIONS"))}
        if "Access-Control-Allow-Origin" in self.cors_headers(request):
            headers |= {
                "Access-Control-Allow-Methods": ", ".join(methods),
                "Access-Control-Allow-Headers": ALLOWED_HEADERS,
                "Access-Control-Max-Age": str(PREFLIGHT_SECONDS),
            }
        return Response(204, b"", headers)


def origin_of(url: str) -> str:
    """Return scheme, host and port of an absolute URL as browsers send them: in lower case, the host in ASCII."""
    return str(URL(url.strip()).origin()).lower()
