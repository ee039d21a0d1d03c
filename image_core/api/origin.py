"""Requests from other sites: which writes are refused (CSRF), and which origins may read the answers (CORS)."""

from urllib.parse import urlsplit

from yarl import URL

from image_core.api.http import Request, Response
from image_core.errors import CrossSite
from image_core.settings import Settings

SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}
SAME_SITES = {"same-origin", "none"}
ALLOWED_HEADERS = (
    "Content-Type, Idempotency-Key, Prefer, If-None-Match, If-Range, Range, Cache-Control, "
    "traceparent, tracestate, baggage, sentry-trace, request-id, request-context"
)
"""What a page may send: the API's own headers, and those that the usual tracing libraries add to every request."""
EXPOSED_HEADERS = "Location, Retry-After, Idempotency-Replayed, Preference-Applied, ETag, Accept-Ranges, Content-Range, Content-Length"
"""What a page may read beside the headers that every page may read."""
PREFLIGHT_SECONDS = 600


class OriginPolicy:
    """The cookie comes with every request that a browser makes, whoever's page asked for it: this looks who did."""

    def __init__(self, settings: Settings) -> None:
        self._readers = frozenset(map(origin_of, settings.allowed_origins))
        self._writers = self._readers | ({origin_of(settings.nextauth_url)} if settings.nextauth_url else set())

    def check_cross_site(self, request: Request) -> None:
        """Raises CrossSite for a write that another site's page makes.

        As Go's net/http CrossOriginProtection decides it; the host of `x-ms-original-url` counts beside `Host`, which is
        not the browser's behind Static Web Apps.
        """
        if request.method in SAFE_METHODS:
            return
        origin = request.headers.get("origin")
        if origin is not None and origin.lower() in self._writers:
            return
        site = request.headers.get("sec-fetch-site")
        if site is not None:
            if site.lower() in SAME_SITES:
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
        """For every answer, errors too: never `*`, because the cookie comes along."""
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
        """The answer to OPTIONS. An origin that may not read gets no word about what it could send."""
        headers = {"Allow": ", ".join((*methods, "OPTIONS"))}
        if "Access-Control-Allow-Origin" in self.cors_headers(request):
            headers |= {
                "Access-Control-Allow-Methods": ", ".join(methods),
                "Access-Control-Allow-Headers": ALLOWED_HEADERS,
                "Access-Control-Max-Age": str(PREFLIGHT_SECONDS),
            }
        return Response(204, b"", headers)


def origin_of(url: str) -> str:
    """Scheme, host and port of an absolute address, as browsers write them in `Origin`: the host in lower case and ASCII."""
    return str(URL(url.strip()).origin()).lower()
