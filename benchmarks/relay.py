"""A wire that counts what comes back over it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

CHUNK_BYTES = 65536


class Relay:
    """Passes connections on to `target`, a port of this machine. Counts `requests`, and the bytes that it answered (`received`)."""

    def __init__(self, target: int) -> None:
        self._target = target
        self.received = 0
        self.requests = 0
        self.port = 0

    @asynccontextmanager
    async def listening(self) -> AsyncIterator["Relay"]:
        server = await asyncio.start_server(self._pass, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._target)
        await asyncio.gather(self._copy(reader, back, count=False), self._copy(there, writer, count=True))

    async def _copy(self, source: asyncio.StreamReader, target: asyncio.StreamWriter, *, count: bool) -> None:
        while data := await source.read(CHUNK_BYTES):
            # The account's description names its own address: callers would go round us. Free ports have five digits.
            data = data.replace(f":{self._target}/".encode(), f":{self.port}/".encode()) if count else data
            if count:
                self.received += len(data)
            else:
                self.requests += data.count(b" HTTP/1.1\r\n")
            target.write(data)
            await target.drain()
        target.close()
