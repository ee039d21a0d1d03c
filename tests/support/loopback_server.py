"""A server on loopback that records connections."""

from collections.abc import Awaitable, Callable

from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class RecordingServer:
    """A server that counts connections and records requests, to show that none was sent."""

    def __init__(self) -> None:
        self.connections = 0
        self.paths: list[str] = []
        self.targets: list[str] = []
        """The request targets, byte for byte."""
        self.handler: Handler | None = None
        self.port = 0

    async def serve(self, request: web.BaseRequest) -> web.StreamResponse:
        """Record a request and answer it with `handler`."""
        self.paths.append(str(request.rel_url))
        self.targets.append(request._message.path)
        assert self.handler is not None
        return await self.handler(request)  # type: ignore[arg-type] # a low-level server's request has what is used here
