"""A proxy in front of an emulator that can drop, refuse or delay requests, and signal that one has arrived.

It takes the position of the network: the SDKs' own retries, timeouts and connections are part of every test that uses
it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
from aiohttp import web
from yarl import URL

Matches = Callable[[str, str], bool]
"""(method, path with query) -> whether the rule applies. The method of a Cosmos DB query is `QUERY`."""

HOP_HEADERS = {"connection", "keep-alive", "transfer-encoding", "content-length", "host"}


@dataclass(frozen=True, slots=True)
class Answer:
    """A service's response in a state that its emulator does not have."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""


def cosmos_not_found(sub_status: int) -> Answer:
    """Return Cosmos DB's 404 with a sub-status: 1002 session not available, 1003 owner resource not found."""
    headers = {"x-ms-substatus": str(sub_status), "Content-Type": "application/json"}
    return Answer(404, headers, b'{"code":"NotFound","message":"Resource Not Found"}')


def blob_error(status: int, code: str) -> Answer:
    """Return an error of Blob Storage with its code in the header and in the body."""
    body = f'<?xml version="1.0" encoding="utf-8"?><Error><Code>{code}</Code><Message>none</Message></Error>'
    return Answer(status, {"x-ms-error-code": code, "Content-Type": "application/xml"}, body.encode())


@dataclass(slots=True)
class Rule:
    """What the proxy does with the first `times` matching requests.

    `before` is awaited when the request has arrived, `after` when the emulator has answered it. Without `forward` the
    emulator does not get the request. Without `deliver` the connection breaks before the caller gets the response.
    `answer` replaces the emulator's response.
    """

    matches: Matches
    times: int = 1
    forward: bool = True
    deliver: bool = True
    before: Callable[[], Awaitable[object]] | None = None
    after: Callable[[], Awaitable[object]] | None = None
    answer: Answer | None = None
    hits: int = 0
    hit: asyncio.Event = field(default_factory=asyncio.Event)


class FaultyProxy:
    """A proxy at `url`. While it is `unreachable` every connection breaks. `requests` are (method, path with query)."""

    def __init__(self, target: str) -> None:
        self.target = target.rstrip("/")
        self.url = ""
        self.unreachable = False
        self.rules: list[Rule] = []
        self.requests: list[tuple[str, str]] = []
        self._session: aiohttp.ClientSession | None = None
        self._runner: web.AppRunner | None = None

    def rule(self, rule: Rule) -> Rule:
        """Add a rule, after those that exist."""
        self.rules.append(rule)
        return rule

    def reconnect(self) -> None:
        """Accept connections again."""
        self.unreachable = False

    async def start(self) -> None:
        """Listen on a free port."""
        self._session = aiohttp.ClientSession(auto_decompress=False, timeout=aiohttp.ClientTimeout(total=60))
        app = web.Application(client_max_size=200_000_000)
        app.router.add_route("*", "/{path:.*}", self._handle)
        # The emulator gets a request even if the caller disconnects after sending it.
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=False, shutdown_timeout=1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"

    async def stop(self) -> None:
        """Close the port and all connections."""
        if self._runner is not None:
            await self._runner.cleanup()
        if self._session is not None:
            await self._session.close()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        path = request.raw_path
        body = await request.read()
        # Cosmos DB's queries are POSTs to the path that creates items.
        method = "QUERY" if "query+json" in request.headers.get("Content-Type", "") else request.method
        self.requests.append((method, path))
        if self.unreachable:
            return self._break(request)
        rule = next((rule for rule in self.rules if rule.hits < rule.times and rule.matches(method, path)), None)
        if rule is None:
            return await self._forward(request, path, body)
        rule.hits += 1
        rule.hit.set()
        if rule.before is not None:
            await rule.before()
        if rule.answer is not None:
            body = b"" if request.method == "HEAD" else rule.answer.body
            return web.Response(status=rule.answer.status, headers=rule.answer.headers, body=body)
        if not rule.forward:
            return self._break(request)
        answer = await self._forward(request, path, body)
        if rule.after is not None:
            await rule.after()
        return answer if rule.deliver else self._break(request)

    def _break(self, request: web.Request) -> web.StreamResponse:
        if request.transport is not None:
            request.transport.abort()
        return web.Response()

    async def _forward(self, request: web.Request, path: str, body: bytes) -> web.StreamResponse:
        assert self._session is not None
        headers = {name: value for name, value in request.headers.items() if name.lower() not in HOP_HEADERS}
        url = URL(self.target + path, encoded=True)
        # The caller signed the request: it is forwarded without changes.
        added = ("Content-Type", "User-Agent", "Accept", "Accept-Encoding")
        async with self._session.request(
            request.method, url, headers=headers, data=body or None, skip_auto_headers=added
        ) as answer:
            data = await answer.read()
            if path == "/":  # the account's description has the emulator's address, which would bypass the proxy
                data = data.replace(self.target.split("//")[1].encode(), self.url.split("//")[1].encode())
            kept = {name: value for name, value in answer.headers.items() if name.lower() not in HOP_HEADERS}
            if request.method == "HEAD":
                return web.Response(
                    status=answer.status, headers={**kept, "Content-Length": answer.headers.get("Content-Length", "0")}
                )
            return web.Response(status=answer.status, headers=kept, body=data)


@asynccontextmanager
async def faulty(target: str) -> AsyncIterator[FaultyProxy]:
    """Run a proxy in front of the service at `target`."""
    proxy = FaultyProxy(target)
    await proxy.start()
    try:
        yield proxy
    finally:
        await proxy.stop()
