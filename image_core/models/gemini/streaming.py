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
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Self

import aiohttp
import pybase64
from aiohttp.abc import AbstractStreamWriter

from image_core.images.image import Image
from image_core.models.hold import Hold
from image_core.models.turns import EarlierTurn
from image_core.runtime.proxy import proxied

MARK_BYTES = 24

_TURN = re.compile(
    rb'\{\s*(?:"role"\s*:\s*"model"\s*,\s*)?"parts"\s*:\s*\[\s*\{\s*"text"\s*:\s*"([0-9a-f]{32})"\s*\}\s*\]'
    rb'\s*(?:,\s*"role"\s*:\s*"model"\s*)?\}'
)
"""A turn of the model as the SDK writes it, with a mark as its text."""

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
_BLANKS = b" \t\r\n"

_exchange: ContextVar["Exchange | None"] = ContextVar("exchange", default=None)


class MarkLost(RuntimeError):
    """A mark is not where its image should be: the SDK calls in another way than it did. Nothing has been sent."""


class SentTwice(ConnectionError):
    """The SDK would send a request again that has left already, and may be paid for."""


def _new_mark() -> bytes:
    """24 bytes whose base64 has digits and small letters only: the same in either alphabet, with no padding."""
    return base64.b64decode(secrets.token_hex(16))


@dataclass(frozen=True, slots=True)
class MarkedTurn:
    """An earlier turn with marks: those of the user's images with their MIME types, and that of the model's answer."""

    images: tuple[tuple[bytes, str], ...]
    prompt: str
    answer: bytes


class Exchange:
    """The images of one call, and the turns before it: use it as a context manager around the SDK's call.

    `until` is when the call is given up, in the event loop's time. `sdk_alone`: the SDK writes the request itself, images
    and all, and only its answer is taken apart here; what it is given in place of marks are then the bytes themselves.
    """

    def __init__(
        self,
        hold: Hold,
        pictures: Sequence[Image],
        until: float,
        *,
        turns: Sequence[EarlierTurn] = (),
        sdk_alone: bool = False,
    ) -> None:
        self._hold = hold
        self._until = until
        self._sdk_alone = sdk_alone
        self._sending: list[tuple[bytes, Image | memoryview]] = []
        """What is sent and its marks, in the order of the request."""
        self._turns = [
            MarkedTurn(tuple(map(self._marked, turn.images)), turn.prompt, self._mark(turn.answer)) for turn in turns
        ]
        self._marks = list(map(self._marked, pictures))
        self.left = False
        """Whether the request went out through this exchange."""
        self._received: dict[str, memoryview] = {}
        self._expected = 0
        self.status: int | None = None
        """Of the answer, once its headers are there."""
        self.headers: Mapping[str, str] = {}
        self.answer: str | None = None
        """The body of an answer with the status 200: JSON with marks in place of long byte strings."""

    def __enter__(self) -> Self:
        self._token = _exchange.set(self)
        return self

    def __exit__(self, *_: object) -> None:
        _exchange.reset(self._token)
        # Whatever was begun inside and is not over, an idle connection's timer say, keeps the context and with it this object.
        self._let_go()
        self._received.clear()

    def _let_go(self) -> None:
        for kept in (self._sending, self._turns, self._marks):
            kept.clear()

    def _marked(self, image: Image) -> tuple[bytes, str]:
        return self._mark(image), image.mime_type

    def _mark(self, sent: Image | memoryview) -> bytes:
        if self._sdk_alone:
            return sent.data if isinstance(sent, Image) else bytes(sent)
        mark = _new_mark()
        self._sending.append((mark, sent))
        return mark

    def marks(self) -> Iterator[tuple[bytes, str]]:
        """What the SDK is given for each image of the last turn, in order, and its MIME type."""
        return iter(self._marks)

    def turns(self) -> Iterator[MarkedTurn]:
        """What the SDK is given for each earlier turn, oldest first."""
        return iter(self._turns)

    async def payload(self, body: object) -> "Carried | None":
        """The body that goes out instead of the SDK's, once; None where the SDK's own goes. Raises MarkLost, SentTwice."""
        if self.left:
            raise SentTwice
        if self._sdk_alone:
            self.left = True
            self._hold.leaving()
            return None
        if not isinstance(body, aiohttp.Payload):
            raise MarkLost
        parts: list[bytes | memoryview | Image] = []
        rest = await body.as_bytes()
        for mark, sent in self._sending:
            begin, end = _place(rest, base64.b64encode(mark), whole_turn=isinstance(sent, memoryview))
            parts += [rest[:begin], sent]
            rest = rest[end:]
        self.left = True
        self._hold.leaving()
        self._let_go()
        return Carried([*parts, rest], self._hold.sent)

    def answered(self, status: int, headers: Mapping[str, str]) -> None:
        """The headers of the answer are there."""
        self.status, self.headers = status, headers
        if self._sdk_alone:
            self._let_go()
            self._hold.sent()

    @property
    def strings(self) -> Mapping[str, memoryview]:
        """The strings that were taken out of the answer, as they came, by their marks."""
        return self._received

    @property
    def received_bytes(self) -> int:
        """Of the strings that were taken out, as they came."""
        return sum(map(len, self._received.values()))

    async def receiving(self, announced: int | None) -> None:
        """Wait for memory for the answer, as far as its length is known."""
        left = self._until - asyncio.get_running_loop().time()
        self._expected = announced or TYPICAL_ANSWER_BYTES
        await self._hold.receiving(self._expected, left * MAY_WAIT)

    def received(self, count: int) -> None:
        """Count what the answer, of `count` bytes, has more than was expected, and the image that is decoded from it."""
        self._hold.received(max(0, count - self._expected) + count * 3 // 4)

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
                mark = base64.b64encode(_new_mark())
                self._received[mark.decode()] = view[begin:end]
                parts += [view[at:begin], mark]
            at = end
        return b"".join([*parts, view[at:]])

    def data(self, value: str | bytes) -> bytes:
        """The bytes of a field of the answer: base64 or a mark where it was read from JSON, bytes where the SDK read it.

        Raises ValueError.
        """
        if isinstance(value, bytes):
            encoded = self._received.get(base64.b64encode(value).decode()) if len(value) == MARK_BYTES else None
            return value if encoded is None else _decoded(encoded)
        return _decoded(self._received.get(value) or memoryview(value.encode()))


def _place(body: bytes, mark: bytes, *, whole_turn: bool) -> tuple[int, int]:
    """Where a mark begins and ends in `body`; with `whole_turn` the turn of the model that it is the text of. Raises MarkLost."""
    if not whole_turn:
        begin = body.find(mark)
        if begin < 0:
            raise MarkLost
        return begin, begin + len(mark)
    found = _TURN.search(body)
    if found is None or found[1] != mark:
        raise MarkLost
    return found.span()


def _decoded(encoded: memoryview) -> bytes:
    """Base64 as JSON holds it: either alphabet, padded or not (ProtoJSON takes all of them), with line breaks or without.

    A last character that stands for less than a byte is dropped: the image may still be whole. Raises ValueError.
    """
    try:
        return pybase64.b64decode(encoded, validate=True)  # as nearly all of it comes
    except binascii.Error:
        raw = bytes(encoded)
    if b"\\" in raw:
        raw = str(json.loads(b'"' + raw + b'"', strict=False)).encode()
    raw = raw.translate(_FROM_URL_SAFE, _BLANKS).rstrip(b"=")
    if len(raw) % 4 == 1:
        raw = raw[:-1]
    return pybase64.b64decode(raw + b"=" * (-len(raw) % 4), validate=True)


class Carried(aiohttp.Payload):
    """A body of JSON with pictures in it, which are encoded as they leave and let go when they have left."""

    def __init__(self, parts: list[bytes | memoryview | Image], sent: Callable[[], None]) -> None:
        super().__init__(None, content_type="application/json")
        self._parts = parts
        self._sent = sent
        self._size = sum(4 * -(-len(part.data) // 3) if isinstance(part, Image) else len(part) for part in parts)

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:  # noqa: ARG002 - aiohttp's signature
        raise TypeError("it is written once, and not shown")

    async def write(self, writer: AbstractStreamWriter) -> None:
        for piece in self._pieces():
            await writer.write(piece)
        self._parts.clear()
        self._sent()

    def _pieces(self) -> Iterator[bytes | memoryview]:
        for part in self._parts:
            if isinstance(part, bytes):
                yield part
                continue
            if isinstance(part, memoryview):
                yield from (part[at : at + CHUNK_BYTES] for at in range(0, len(part), CHUNK_BYTES))
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
        # What is no UTF-8 can only be words: a picture is not lost over them.
        body = await self.read()
        exchange.received(len(body))
        exchange.answer = exchange.taken(body).decode(encoding or self.get_encoding(), "replace")
        return exchange.answer


async def _carry(
    request: aiohttp.ClientRequest, handler: Callable[[aiohttp.ClientRequest], Awaitable[aiohttp.ClientResponse]]
) -> aiohttp.ClientResponse:
    exchange = _exchange.get()
    if exchange is None:
        return await handler(request)
    carried = await exchange.payload(request.body)
    if carried is not None:
        await request.update_body(carried)
    response = await handler(request)
    exchange.answered(response.status, response.headers)
    return response


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
