"""A relay that counts the requests and the bytes of the answers that pass through it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

CHUNK_BYTES = 65536


class Relay:
    """Relays connections to port `target` of this machine; counts `requests`, and the bytes `received` from there."""

    def __init__(self, target: int) -> None:
        self._target = target
        self.received = 0
        self.requests = 0
        self.port = 0

    @asynccontextmanager
    async def listening(self) -> AsyncIterator["Relay"]:
        """Listen on a free `port` during the block."""
        server = await asyncio.start_server(self._relay, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back, there = await asyncio.open_connection("127.0.0.1", self._target)
        await asyncio.gather(self._copy_requests(reader, there), self._copy_answers(back, writer))

    async def _copy_requests(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        while data := await source.read(CHUNK_BYTES):
            self.requests += data.count(b" HTTP/1.1\r\n")
            target.write(data)
            await target.drain()
        target.close()

    async def _copy_answers(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        own, other = f":{self.port}/".encode(), f":{self._target}/".encode()
        while data := await source.read(CHUNK_BYTES):
            # The account's description has its address, which clients would use instead of the relay's. Both ports have
            # five digits, so the length stays.
            data = data.replace(other, own)
            self.received += len(data)
            target.write(data)
            await target.drain()
        target.close()
