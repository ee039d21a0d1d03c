"""Servers that lie, drip, never end, redirect or break off give an error with the index, in time and without leaks."""

import asyncio
import gzip
import zlib
from collections.abc import Awaitable, Callable, Mapping

import pytest
from aiohttp import web
from yarl import URL

from image_core import __version__
from image_core.auth.user import User
from image_core.clock import Clock
from image_core.errors import (
    Busy,
    ImageError,
    ImageFetchFailed,
    ImageTooLarge,
    InvalidImage,
    UnsupportedImage,
    UrlNotAllowed,
)
from image_core.inputs.fetcher import Fetcher, FetchPolicy
from image_core.inputs.loader import Loader
from image_core.runtime.memory_budget import MemoryBudget
from image_core.settings import Settings
from tests.support.eventually import eventually
from tests.support.harness import sample_image
from tests.support.loopback_server import Handler, RecordingServer

ADA = User("ada@example.com")
ALLOWED = {"FETCH_ALLOW_HOSTS": "localhost", "FETCH_TIMEOUT_SECONDS": "1.5", "MAX_IMAGE_BYTES": "300000"}


async def load(loader: Loader, *images: str) -> list[bytes]:
    claim = MemoryBudget(10**9).claim(ADA.id)
    return [loaded.image.data for loaded in await loader.load_all(images, ADA, claim)]


def body(data: bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> Handler:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=data, status=status, headers=headers)

    return answer


def redirect(to: str, status: int = 302) -> Handler:
    async def answer(request: web.Request) -> web.Response:
        if request.path == "/end":
            return web.Response(body=sample_image())
        return web.Response(status=status, headers={"Location": to.replace("PORT", str(request.url.port))})

    return answer


async def endless(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    while True:
        await response.write(b"\xff" * 65536)


async def silent(_: web.Request) -> web.StreamResponse:
    await asyncio.Event().wait()
    return web.Response()


async def breaks_off(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    response.content_length = 50_000
    await response.prepare(request)
    await response.write(sample_image()[:20_000])
    assert request.transport is not None
    request.transport.abort()
    return response


async def announces_a_terabyte(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": str(10**12)})
    await response.prepare(request)
    return response


async def empty_streams(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Encoding": "gzip"})
    await response.prepare(request)
    while True:
        await response.write(gzip.compress(b"") * 3000)


async def endless_headers(request: web.Request) -> web.StreamResponse:
    return await raw(request, b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n" * 1000)


async def endless_header_line(request: web.Request) -> web.StreamResponse:
    return await raw(request, b"HTTP/1.1 200 OK\r\nX-A: ", b"b" * 10_000)


async def endless_interim_responses(request: web.Request) -> web.StreamResponse:
    return await raw(request, b"", b"HTTP/1.1 103 Early Hints\r\nLink: " + b"x" * 1000 + b"\r\n\r\n")


async def raw(request: web.Request, head: bytes, repeated: bytes) -> web.StreamResponse:
    """Write bytes to the connection until the client closes it."""
    transport = request.transport
    assert isinstance(transport, asyncio.Transport)
    transport.write(head)
    while not transport.is_closing():
        transport.write(repeated)
        await asyncio.sleep(0)
    return web.Response()


HTML = b"<!doctype html><title>secret intranet page</title>"
BAD: list[tuple[str, Handler, type[ImageError]]] = [
    ("a body without an end", endless, ImageTooLarge),
    ("a connection that breaks", breaks_off, ImageFetchFailed),
    ("announces a terabyte", announces_a_terabyte, ImageTooLarge),
    ("redirects in a circle", redirect("/again"), ImageFetchFailed),
    ("redirects to a private address", redirect("http://127.0.0.1:PORT/end"), UrlNotAllowed),
    ("redirects to the metadata service", redirect("http://169.254.169.254/metadata"), UrlNotAllowed),
    ("redirects to another scheme", redirect("file:///etc/passwd"), UrlNotAllowed),
    ("redirects with a user name", redirect("http://a:b@localhost:PORT/end"), UrlNotAllowed),
    ("redirects to another port", redirect("http://example.com:8080/"), UrlNotAllowed),
    ("redirects nowhere", redirect("http://"), UrlNotAllowed),
    ("HTML with 200", body(HTML, headers={"Content-Type": "image/png"}), UnsupportedImage),
    ("404", body(HTML, 404), ImageFetchFailed),
    ("500", body(HTML, 500), ImageFetchFailed),
    ("204", body(b"", 204), ImageFetchFailed),
    ("an empty body", body(b""), InvalidImage),
    ("a gzip bomb", body(gzip.compress(b"\0" * 5_000_000), headers={"Content-Encoding": "gzip"}), ImageTooLarge),
    ("broken gzip", body(b"\x1f\x8bnothing", headers={"Content-Encoding": "gzip"}), ImageFetchFailed),
    ("a gzip bomb in a gzip bomb",
     body(gzip.compress(gzip.compress(b"\0" * 5_000_000)), headers={"Content-Encoding": "gzip,gzip"}), ImageTooLarge),
    ("compressed too many times", body(sample_image(), headers={"Content-Encoding": ",".join(["gzip"] * 5)}),
     ImageFetchFailed),
    ("empty gzip streams without an end", empty_streams, ImageTooLarge),
    ("headers without an end", endless_headers, ImageFetchFailed),
    ("headers of 180 KB", body(sample_image(), headers={f"X-{number}": "a" * 60_000 for number in range(3)}),
     ImageFetchFailed),
    ("interim responses without an end", endless_interim_responses, ImageFetchFailed),
    ("a header line without an end", endless_header_line, ImageFetchFailed),
    ("redirects to a backslash", redirect("http:\\\\localhost:PORT\\end"), UrlNotAllowed),
    ("an encoding that was not requested", body(b"x", headers={"Content-Encoding": "br"}), ImageFetchFailed),
]  # fmt: skip


@pytest.mark.parametrize(("handler", "kind"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
async def test_bad_server_is_an_error_with_the_index_and_without_its_content(
    recording_server: RecordingServer, make: Callable[..., Loader], handler: Handler, kind: type[ImageError]
) -> None:
    recording_server.handler = handler
    with pytest.raises(kind) as caught:
        await load(
            make(**ALLOWED),
            "data:image/gif;base64,R0lGODlhAQABAAAAACwAAAAAAQABAAACAkQBADs=",
            f"http://localhost:{recording_server.port}/start",
        )
    assert caught.value.fields() == {"imageIndex": 1}
    assert "secret" not in str(caught.value.body())
    assert "127.0.0.1" not in str(caught.value.body())


class TimeLimit:
    """The time limits that a fetcher starts. The test lets the last one expire."""

    def __init__(self) -> None:
        self.started: list[asyncio.Timeout] = []

    def start(self, seconds: float) -> asyncio.Timeout:
        self.started.append(asyncio.timeout(seconds))
        return self.started[-1]

    def expire(self) -> None:
        self.started[-1].reschedule(asyncio.get_running_loop().time())

    def fetcher(self) -> Fetcher:
        """Return a fetcher with this time limit."""
        settings = Settings.read({**ALLOWED, "FETCH_TIMEOUT_SECONDS": "60"})
        return Fetcher(FetchPolicy.of(settings), timeout=self.start)


async def answer_nothing(request: web.Request) -> web.StreamResponse | None:
    return None


async def answer_a_few_bytes(request: web.Request) -> web.StreamResponse | None:
    response = web.StreamResponse()
    await response.prepare(request)
    await response.write(sample_image()[:3])
    return None


async def redirect_twice(request: web.Request) -> web.StreamResponse | None:
    if request.path == "/next":
        return None
    return web.Response(status=302, headers={"Location": "/again" if request.path == "/start" else "/next"})


@pytest.mark.parametrize("begin", [answer_nothing, answer_a_few_bytes, redirect_twice])
async def test_one_time_limit_covers_redirects_and_the_body(
    recording_server: RecordingServer,
    make: Callable[..., Loader],
    begin: Callable[[web.Request], Awaitable[web.StreamResponse | None]],
) -> None:
    time_limit = TimeLimit()

    async def answer(request: web.Request) -> web.StreamResponse:
        response = await begin(request)
        if response is None:
            time_limit.expire()
            await asyncio.Event().wait()
        assert response is not None
        return response

    recording_server.handler = answer
    with pytest.raises(ImageFetchFailed) as caught:
        await load(make(fetcher=time_limit.fetcher()), f"http://localhost:{recording_server.port}/start")
    assert caught.value.details == "it took longer than 60 seconds"
    assert len(time_limit.started) == 1


def encoded(data: bytes, name: str) -> Handler:
    return body(data, headers={"Content-Encoding": name})


GZIPPED = gzip.compress(sample_image())
RAW_DEFLATED = zlib.compress(sample_image(), wbits=-15)

GOOD: list[tuple[str, Handler]] = [
    *(
        (f"declared as {name}", encoded(sample_image(), name))
        for name in ("utf-8", "aws-chunked", "binary", "none", "UTF-8, binary")
    ),
    *(
        (f"declared as {name} and not encoded", encoded(sample_image(), name))
        for name in ("gzip", "deflate", "br", "zstd")
    ),
    ("uploaded in chunks and compressed", encoded(GZIPPED, "aws-chunked,gzip")),
    ("compressed twice", encoded(gzip.compress(GZIPPED), "gzip, x-gzip")),
    ("in two gzip streams", encoded(gzip.compress(sample_image()[:900]) + gzip.compress(sample_image()[900:]), "gzip")),
    ("deflated", encoded(zlib.compress(sample_image()), "deflate")),
    ("deflated without a header", encoded(RAW_DEFLATED, "deflate")),
    ("a header line of 9000 bytes", body(sample_image(), headers={"Content-Security-Policy": "a" * 9000})),
    ("many headers", body(sample_image(), headers={f"X-{number}": "a" * 50 for number in range(500)})),
    ("a header line of 60000 bytes", body(sample_image(), headers={"Content-Security-Policy": "a" * 60000})),
    ("unchanged", body(sample_image())),
    ("with the wrong type", body(sample_image(), headers={"Content-Type": "text/html"})),
    ("compressed without a request for it", body(gzip.compress(sample_image()), headers={"Content-Encoding": "gzip"})),
    ("redirected once", redirect("/end")),
    ("redirected with 308", redirect("/end", 308)),
    ("redirected to an absolute URL", redirect("http://localhost:PORT/end?x=1#y")),
]


@pytest.mark.parametrize("handler", [row[1] for row in GOOD], ids=[row[0] for row in GOOD])
async def test_image_is_fetched(
    recording_server: RecordingServer, make: Callable[..., Loader], handler: Handler
) -> None:
    recording_server.handler = handler
    assert await load(make(**ALLOWED), f"http://localhost:{recording_server.port}/start?a=b#c") == [sample_image()]


async def test_url_with_a_space_is_fetched(recording_server: RecordingServer, make: Callable[..., Loader]) -> None:
    recording_server.handler = body(sample_image())
    assert await load(make(**ALLOWED), f"http://localhost:{recording_server.port}/My photo.jpg?a=b c") == [
        sample_image()
    ]
    assert recording_server.targets == ["/My%20photo.jpg?a=b%20c"]


async def test_cookies_are_not_kept_and_no_proxy_is_used(
    recording_server: RecordingServer, make: Callable[..., Loader], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    cookies: list[str | None] = []

    async def answer(request: web.Request) -> web.Response:
        cookies.append(request.headers.get("Cookie"))
        return web.Response(body=sample_image(), headers={"Set-Cookie": "a=b; Path=/"})

    recording_server.handler = answer
    loader = make(**ALLOWED)
    for number in range(2):
        await load(loader, f"http://localhost:{recording_server.port}/{number}")
    assert cookies == [None, None]


async def test_ten_redirects_are_followed_and_an_eleventh_is_not(
    recording_server: RecordingServer, make: Callable[..., Loader]
) -> None:
    async def countdown(request: web.Request) -> web.Response:
        left = int(request.path[1:])
        if left == 0:
            return web.Response(body=sample_image())
        return web.Response(status=302, headers={"Location": f"/{left - 1}"})

    recording_server.handler = countdown
    assert await load(make(**ALLOWED), f"http://localhost:{recording_server.port}/10") == [sample_image()]
    with pytest.raises(ImageFetchFailed):
        await load(make(**ALLOWED), f"http://localhost:{recording_server.port}/11")


async def test_same_url_is_fetched_once(recording_server: RecordingServer, make: Callable[..., Loader]) -> None:
    recording_server.handler = body(sample_image())
    url = f"http://localhost:{recording_server.port}/x"
    assert await load(make(**ALLOWED), url, url, url) == [sample_image()] * 3
    assert len(recording_server.paths) == 1


async def test_first_failure_cancels_the_other_fetches(
    recording_server: RecordingServer, make: Callable[..., Loader]
) -> None:
    recording_server.handler = silent
    with pytest.raises(InvalidImage) as caught:
        await load(
            make(**{**ALLOWED, "FETCH_TIMEOUT_SECONDS": "60"}), f"http://localhost:{recording_server.port}/", "aGVsbG8="
        )
    assert caught.value.index == 1


async def test_request_that_gets_no_more_memory_is_busy_and_others_continue(
    recording_server: RecordingServer, make: Callable[..., Loader]
) -> None:
    """Otherwise requests that each hold what the other needs would wait for one another without end."""
    recording_server.handler = body(sample_image())
    memory_budget = MemoryBudget(int(4 * len(sample_image()) / 0.4))
    with memory_budget.claim(ADA.id) as first, memory_budget.claim(ADA.id, Clock().deadline(0.2)) as second:
        first.take(3 * len(sample_image()))
        with pytest.raises(Busy):
            await make(**ALLOWED).load_all([f"http://localhost:{recording_server.port}/"], ADA, second)
        second.release()
        first.release()
        loaded = await make(**ALLOWED).load_all([f"http://localhost:{recording_server.port}/"], ADA, first)
    assert [each.image.data for each in loaded] == [sample_image()]


async def test_wait_for_memory_does_not_count_as_time_of_the_server(
    recording_server: RecordingServer, make: Callable[..., Loader]
) -> None:
    recording_server.handler = body(sample_image())
    memory_budget = MemoryBudget(int(4 * len(sample_image()) / 0.4))
    time_limit = TimeLimit()
    loader = make(fetcher=time_limit.fetcher())
    with memory_budget.claim(ADA.id) as before, memory_budget.claim(ADA.id) as claim:
        before.take(3 * len(sample_image()))
        loading = asyncio.create_task(loader.load_all([f"http://localhost:{recording_server.port}/"], ADA, claim))
        await eventually(lambda: time_limit.started and time_limit.started[-1].when() is None)
        assert not loading.done()
        before.release()
        assert [loaded.image.data for loaded in await loading] == [sample_image()]
        assert time_limit.started[-1].when() is not None


SIGNED: list[tuple[str, str]] = [
    *(
        (target, target)
        for target in (
            "/a.png?rect=0%2C0%2C10%2C10&s=x",
            "/a.png?type=application%2Fgzip&s=x",
            "/a.png?t=10%3A20&s=x",
            "/a.png?x=%e4%bd%a0&s=x",
            "/plain/http%3A%2F%2Fh%2Fx.png?s=x",
            "/foo%28bar%29.png?s=x",
            "/a%2Cb.png?s=x",
            "/a%2cb%7E%2e%2E.png",
            "/a//b/./c.png",
            "/100%.png?q=50%&r=%zz",
            "/a+b.png?c+d=%2B%20+",
            "/a.png?sig=abc%2Bdef%3D&se=2026-11-25T10%3A00%3A00Z",
            "/a;b=c,d/!$&'()*.png?a=b;c",
            "/a.png?a[]=1&b=@:/?",
            "/ok.png?imageView2/1/w/50|imageslim",
        )
    ),
    ("/{size}/a.png", "/%7Bsize%7D/a.png"),
    ('/a.png?q="x"', "/a.png?q=%22x%22"),
    ("/ü/a b.png", "/%C3%BC/a%20b.png"),
    ("/a.png?q=ü<>", "/a.png?q=%C3%BC%3C%3E"),
    ("/a`b^c.png", "/a%60b%5Ec.png"),
    ("\\folder\\a.png", "/folder/a.png"),
    ("/a\n.png\t", "/a.png"),
    ("?only=query", "/?only=query"),
    ("", "/"),
]


@pytest.mark.parametrize(("given", "sent"), SIGNED)
async def test_url_is_sent_as_given(
    recording_server: RecordingServer, make: Callable[..., Loader], given: str, sent: str
) -> None:
    recording_server.handler = body(sample_image())
    if given.startswith("\\"):
        with pytest.raises(UrlNotAllowed):
            await load(make(**ALLOWED), f"http://localhost:{recording_server.port}{given}")
        given = "/" + given[1:]
    assert await load(make(**ALLOWED), f"http://localhost:{recording_server.port}{given}#fragment") == [sample_image()]
    assert recording_server.targets == [sent]


RELATIVE = [
    ("b.png?x=%2C", "/dir/b.png?x=%2C"),
    ("../b.png", "/b.png"),
    ("../../../b.png", "/b.png"),
    ("./c/", "/dir/c/"),
    ("..", "/"),
    ("?only=query", "/dir/start?only=query"),
    ("//localhost:PORT/a%2cb", "/a%2cb"),
    ("HTTP://LOCALHOST:PORT/a|b", "/a|b"),
]


@pytest.mark.parametrize(
    ("given", "sent"), [*((given, sent) for given, sent in SIGNED if given[:1] == "/" and "\n" not in given), *RELATIVE]
)
async def test_location_is_followed_as_given(
    recording_server: RecordingServer, make: Callable[..., Loader], given: str, sent: str
) -> None:
    async def answer(request: web.Request) -> web.Response:
        if request.rel_url == URL("/dir/start"):
            return web.Response(status=302, headers={"Location": given.replace("PORT", str(recording_server.port))})
        return web.Response(body=sample_image())

    recording_server.handler = answer
    assert await load(make(**ALLOWED), f"http://localhost:{recording_server.port}/dir/start") == [sample_image()]
    assert recording_server.targets == ["/dir/start", sent.replace("/./", "/")]


async def test_user_agent_has_the_contact(recording_server: RecordingServer, make: Callable[..., Loader]) -> None:
    agents: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        agents.append(request.headers["User-Agent"])
        return web.Response(body=sample_image())

    recording_server.handler = answer
    site = {"NEXTAUTH_URL": "https://studio.example.com/app"}
    for settings in ({}, site, {**site, "FETCH_CONTACT": "ops@example.com"}):
        await load(make(**ALLOWED, **settings), f"http://localhost:{recording_server.port}/")
    product = f"catafract-image-api/{__version__}"
    assert agents == [product, f"{product} (+https://studio.example.com/app)", f"{product} (+ops@example.com)"]


async def test_fetch_holds_memory_for_received_and_not_for_announced_bytes(
    recording_server: RecordingServer, make: Callable[..., Loader]
) -> None:
    sent, end = asyncio.Event(), asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "300000"})
        await response.prepare(request)
        await response.write(b"x" * 1000)
        sent.set()
        await end.wait()
        return response

    recording_server.handler = answer
    memory_budget = MemoryBudget(10**9)
    with memory_budget.claim(ADA.id) as claim:
        loading = asyncio.create_task(
            make(**ALLOWED).load_all([f"http://localhost:{recording_server.port}/"], ADA, claim)
        )
        await sent.wait()
        await eventually(lambda: memory_budget.held)
        assert memory_budget.held == 1000
        end.set()
        with pytest.raises(ImageFetchFailed):
            await loading
