"""The local front forwards requests to the API as browsers send them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

from local.front import Front, server


@asynccontextmanager
async def listening(runner: web.AppRunner) -> AsyncIterator[str]:
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest.fixture
async def front() -> AsyncIterator[str]:
    """Run a front before an API that answers with the request."""

    async def echo(request: web.Request) -> web.Response:
        headers = [[name, value] for name, value in request.headers.items()]
        body = (await request.read()).hex()
        return web.json_response({"method": request.method, "path": request.raw_path, "headers": headers, "body": body})

    api = web.Application()
    api.router.add_route("*", "/{path:.*}", echo)
    echoing = web.AppRunner(api, max_field_size=40_000, auto_decompress=False)
    async with listening(echoing) as url, listening(server(Front(url, "a secret", ""))) as address:
        yield address


async def test_session_of_several_cookies_is_forwarded(front: str) -> None:
    cookie = "; ".join(f"__Secure-authjs.session-token.{number}={'x' * 4000}" for number in range(7))
    async with aiohttp.ClientSession() as http, http.get(f"{front}/api/health", headers={"Cookie": cookie}) as answer:
        assert answer.status == 200
        assert ["Cookie", cookie] in (await answer.json())["headers"]


async def test_headers_are_forwarded_unchanged(front: str) -> None:
    sent = [("X-A", "1"), ("X-A", "2"), ("Content-Encoding", "gzip")]
    skipped = ("Content-Type", "Accept", "Accept-Encoding", "User-Agent")
    async with (
        aiohttp.ClientSession() as http,
        http.post(f"{front}/api/image", data=b"\x1f\x8b", headers=sent, skip_auto_headers=skipped) as answer,
    ):
        received = await answer.json()
    assert [each for each in received["headers"] if each[0] == "X-A"] == [["X-A", "1"], ["X-A", "2"]]
    assert received["body"] == "1f8b"
    names = {name.lower() for name, _ in received["headers"]}
    assert names == {"host", "content-length", "content-encoding", "x-a", "x-ms-original-url"}
