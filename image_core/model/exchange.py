"""One call's pictures, carried past the SDK and not through it.

The SDK would encode, escape, parse, validate and copy megabytes in which there is nothing for it to see: two thirds of what a
call costs. It gets a short mark instead of each picture. On the wire stands what it would have written itself, for the marks
become the pictures where aiohttp sends the body, and the other way round where it reads the answer.
"""

import asyncio
import base64
import binascii
import json
import re
import secrets
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextvars import ContextVar
from http import HTTPStatus
from typing import Any, Self

import aiohttp
import pybase64
from aiohttp.abc import AbstractStreamWriter

from image_core.model.hold import Hold
from image_core.picture import Picture
from image_core.proxy import proxied

CHUNK_BYTES = 3 * 128 * 1024
"""Of a picture at a time: a multiple of three, so that the pieces' base64 is that of the whole."""

LONG = 1024
"""From here on a string of the answer is taken out; what is shorter is no picture."""

TYPICAL_ANSWER_BYTES = 2_000_000
"""Where the service does not say how long its answer is, and it does not: it sends it in chunks."""

READ_BUFFER_BYTES = 64 * 1024
"""Of an answer that waits for room: the rest of it waits in the network."""

MAY_WAIT = 0.5
"""Of the time that is left, for room for an answer: it is paid for already, and must be read before the time is up."""

_BYTES = re.compile(rb'"(?:data|thoughtSignature)"\s*:\s*"')
_FROM_URL_SAFE = bytes.maketrans(b"-_", b"+/")

_exchange: ContextVar["Exchange | None"] = ContextVar("exchange", default=None)


class MarkLost(RuntimeError):
    """A mark does not stand where its picture should, or would be sent again: the SDK calls in another way than it did."""


def _new_mark() -> bytes:
    """24 bytes whose base64 has digits and small letters only: the same in either alphabet, with no padding."""
    return base64.b64decode(secrets.token_hex(16))


class Exchange:
    """The pictures of one call: use it as a context manager around the SDK's call.

    `until` is when the call is given up, in the event loop's time.
    """

    def __init__(self, hold: Hold, pictures: Sequence[Picture], until: float) -> None:
        self._hold = hold
        self._until = until
        self._sending = {_new_mark(): picture for picture in pictures}
        self._left = False
        self._received: dict[bytes, memoryview] = {}

    def __enter__(self) -> Self:
        self._token = _exchange.set(self)
        return self

    def __exit__(self, *_: object) -> None:
        _exchange.reset(self._token)
        # Whatever was begun inside and is not over, an idle connection's timer say, keeps the context and with it this object.
        self._sending.clear()
        self._received.clear()

    def marks(self) -> Iterator[tuple[bytes, str]]:
        """What stands for each picture, in order, and its MIME type."""
        return ((mark, picture.mime_type) for mark, picture in self._sending.items())

    def payload(self, body: bytes) -> "Carried":
        """The body that goes out instead of the SDK's, once. Raises MarkLost."""
        if self._left:
            raise MarkLost
        self._left = True
        parts: list[bytes | Picture] = []
        rest = body
        for mark, picture in self._sending.items():
            before, found, rest = rest.partition(base64.b64encode(mark))
            if not found:
                raise MarkLost
            parts += [before, picture]
        self._sending.clear()
        return Carried([*parts, rest], self._hold.sent)

    @property
    def received_bytes(self) -> int:
        """Of the strings that were taken out, as they came."""
        return sum(map(len, self._received.values()))

    async def receiving(self, announced: int | None) -> None:
        left = self._until - asyncio.get_running_loop().time()
        await self._hold.receiving(announced or TYPICAL_ANSWER_BYTES, left * MAY_WAIT)

    def taken(self, body: bytes) -> bytes:
        """The body with marks instead of the long strings of bytes in it."""
        view, at = memoryview(body), 0
        parts: list[bytes | memoryview] = []
        while found := _BYTES.search(body, at):
            begin, end = found.end(), body.find(b'"', found.end())
            if end < 0:
                break
            if end - begin < LONG:
                parts.append(view[at:end])
            else:
                mark = _new_mark()
                self._received[mark] = view[begin:end]
                parts += [view[at:begin], base64.b64encode(mark)]
            at = end
        return b"".join([*parts, view[at:]])

    def data(self, mark: bytes) -> bytes:
        """What stands behind the bytes that the SDK read: themselves, where they are no mark. Raises ValueError."""
        encoded = self._received.get(mark)
        return mark if encoded is None else _decoded(encoded)


def _decoded(encoded: memoryview) -> bytes:
    """Base64 of either alphabet, padded or not, as JSON holds it (ProtoJSON: a reader takes all of them)."""
    try:
        return pybase64.b64decode(encoded, validate=True)  # as nearly all of it comes
    except binascii.Error:
        raw = bytes(encoded)
    if b"\\" in raw:
        raw = json.loads(b'"' + raw + b'"').encode()
    raw = raw.translate(_FROM_URL_SAFE).rstrip(b"=")
    return pybase64.b64decode(raw + b"=" * (-len(raw) % 4), validate=True)


class Carried(aiohttp.Payload):
    """A body of JSON with pictures in it, which are encoded as they leave and let go when they have left."""

    def __init__(self, parts: list[bytes | Picture], sent: Callable[[], None]) -> None:
        super().__init__(None, content_type="application/json")
        self._parts = parts
        self._sent = sent
        self._size = sum(len(part) if isinstance(part, bytes) else 4 * -(-len(part.data) // 3) for part in parts)

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:  # noqa: ARG002 - aiohttp's signature
        raise TypeError("it is written once, and not shown")

    async def write(self, writer: AbstractStreamWriter) -> None:
        for piece in self._pieces():
            await writer.write(piece)
        self._parts.clear()
        self._sent()

    def _pieces(self) -> Iterator[bytes]:
        for part in self._parts:
            if isinstance(part, bytes):
                yield part
                continue
            view = memoryview(part.data)
            for at in range(0, len(view), CHUNK_BYTES):
                yield pybase64.b64encode(view[at : at + CHUNK_BYTES])


class _Answer(aiohttp.ClientResponse):
    """An answer whose pictures are taken out before the SDK reads it."""

    async def text(self, encoding: str | None = None, errors: str = "strict") -> str:
        exchange = _exchange.get()
        if exchange is None or self.status != HTTPStatus.OK:
            return await super().text(encoding, errors)
        await exchange.receiving(self.content_length)
        return exchange.taken(await self.read()).decode(encoding or self.get_encoding(), errors)


async def _carry(
    request: aiohttp.ClientRequest, handler: Callable[[aiohttp.ClientRequest], Awaitable[aiohttp.ClientResponse]]
) -> aiohttp.ClientResponse:
    exchange = _exchange.get()
    if exchange is not None and isinstance(request.body, aiohttp.Payload):
        await request.update_body(exchange.payload(await request.body.as_bytes()))
    return await handler(request)


def new_session() -> aiohttp.ClientSession:
    """The session that the SDK is to use (`HttpOptions.aiohttp_client`); whoever made it closes it."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0),
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=proxied(),
        read_bufsize=READ_BUFFER_BYTES,
        middlewares=(_carry,),
        response_class=_Answer,
        # Base64 of a picture packs to three quarters, and unpacking it costs seven milliseconds for each megabyte.
        headers={"Accept-Encoding": "identity"},
    )


REQUEST_ARGUMENTS: dict[str, Any] = {"allow_redirects": False}
"""For `HttpOptions.async_client_args`: neither the key nor a picture follows a redirect to another host."""
