"""Stream image bytes around google-genai, using placeholders in its requests and responses.

1. google-genai encodes, escapes, parses, validates and copies the bytes of every image. Without that a request takes
   15 ms of processor time instead of 18 in the benchmark with small images (docs/performance.md), and less memory.
2. So the SDK gets a placeholder of 24 random bytes instead of each image, and writes the request around it.
3. A middleware of aiohttp replaces the request's body: where a placeholder is, the image is encoded as it is sent.
4. The images are released as soon as they are sent; while the model works, nothing of them is in memory.
5. Of the answer every long base64 string is replaced by a placeholder before the SDK parses it.
6. The image is decoded once, directly from the received bytes.
7. The bytes on the wire are the same as without placeholders, in both directions; tests compare them.
8. An earlier turn of the model is inserted in the same way: byte for byte as it was received.
9. If a placeholder is not where it is expected, PlaceholderLost is raised before anything is sent.
10. The call is then made through the SDK alone (`sdk_alone`): slower, never lost.
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
from image_core.models.provider import CallInputs
from image_core.models.turns import EarlierTurn
from image_core.runtime.proxy import proxied

PLACEHOLDER_BYTES = 24

_TURN = re.compile(
    rb'\{\s*(?:"role"\s*:\s*"model"\s*,\s*)?"parts"\s*:\s*\[\s*\{\s*"text"\s*:\s*"([0-9a-f]{32})"\s*\}\s*\]'
    rb'\s*(?:,\s*"role"\s*:\s*"model"\s*)?\}'
)
"""A turn of the model as the SDK writes it, with a placeholder as its text."""

CHUNK_BYTES = 3 * 128 * 1024
"""Bytes of an image that are encoded at a time: a multiple of three, so that the pieces' base64 can be concatenated."""

LONG = 1024
"""Minimum length of a string of the answer that is replaced; shorter ones are not images."""

TYPICAL_ANSWER_BYTES = 2_000_000
"""Assumed length of an answer without `Content-Length`: the service sends chunks."""

READ_BUFFER_BYTES = 64 * 1024
"""Read buffer of one connection. While an answer waits for memory, the rest of it stays in the network."""

MAY_WAIT = 0.5
"""Share of the remaining time for which an answer may wait for memory: it is paid for, and must be read in time."""

_BYTES = re.compile(rb'"(?:data|thoughtSignature)"\s*:\s*"')
_FROM_URL_SAFE = bytes.maketrans(b"-_", b"+/")
_BLANKS = b" \t\r\n"

_exchange: ContextVar["Exchange | None"] = ContextVar("exchange", default=None)


class PlaceholderLost(RuntimeError):
    """A placeholder is not in the expected position: the SDK has changed. Nothing has been sent."""


class SentTwice(ConnectionError):
    """The SDK would send a request a second time, which may be billed again."""


def _new_placeholder() -> bytes:
    """Return 24 random bytes whose base64 has only digits and lower-case letters: it is equal in both alphabets."""
    return base64.b64decode(secrets.token_hex(16))


@dataclass(frozen=True, slots=True)
class PlaceholderTurn:
    """An earlier turn with placeholders for the user's images, with their MIME types, and for the model's answer."""

    images: tuple[tuple[bytes, str], ...]
    prompt: str
    answer: bytes


class Exchange:
    """The images of one call, and the earlier turns: a context manager around the SDK's call.

    `until` is the deadline of the call, in the event loop's time. `sdk_alone`: the SDK gets the bytes themselves
    instead of placeholders, and writes the whole request; only the answer is streamed.
    """

    def __init__(
        self,
        inputs: CallInputs,
        images: Sequence[Image],
        until: float,
        *,
        turns: Sequence[EarlierTurn] = (),
        sdk_alone: bool = False,
    ) -> None:
        self._inputs = inputs
        self._until = until
        self._sdk_alone = sdk_alone
        self._sending: list[tuple[bytes, Image | memoryview]] = []
        """The images and turns with their placeholders, in the order of the request."""
        self._turns = [
            PlaceholderTurn(
                tuple(map(self._image_placeholder, turn.images)), turn.prompt, self._placeholder(turn.answer)
            )
            for turn in turns
        ]
        self._placeholders = list(map(self._image_placeholder, images))
        self.sent = False
        """Whether the request was sent through this exchange."""
        self._received: dict[str, memoryview] = {}
        self._expected = 0
        self.status: int | None = None
        """The status of the answer, once its headers are received."""
        self.headers: Mapping[str, str] = {}
        self.answer: str | None = None
        """The body of an answer with the status 200: JSON with placeholders for long byte strings."""

    def __enter__(self) -> Self:
        self._token = _exchange.set(self)
        return self

    def __exit__(self, *_: object) -> None:
        _exchange.reset(self._token)
        # Timers of idle connections that were created inside still have a reference to the context, and so to this
        # object.
        self._release()
        self._received.clear()

    def _release(self) -> None:
        for kept in (self._sending, self._turns, self._placeholders):
            kept.clear()

    def _image_placeholder(self, image: Image) -> tuple[bytes, str]:
        return self._placeholder(image), image.mime_type

    def _placeholder(self, sent: Image | memoryview) -> bytes:
        if self._sdk_alone:
            return sent.data if isinstance(sent, Image) else bytes(sent)
        placeholder = _new_placeholder()
        self._sending.append((placeholder, sent))
        return placeholder

    def placeholders(self) -> Iterator[tuple[bytes, str]]:
        """Return the bytes and MIME types for the SDK, for each image of the current turn in order."""
        return iter(self._placeholders)

    def turns(self) -> Iterator[PlaceholderTurn]:
        """Return the contents of the earlier turns for the SDK, oldest first."""
        return iter(self._turns)

    async def payload(self, body: object) -> "StreamedBody | None":
        """Return the body to send instead of the SDK's, or None to send that. Raises PlaceholderLost, SentTwice."""
        if self.sent:
            raise SentTwice
        if self._sdk_alone:
            self.sent = True
            self._inputs.sending()
            return None
        if not isinstance(body, aiohttp.Payload):
            raise PlaceholderLost
        parts: list[bytes | memoryview | Image] = []
        rest = await body.as_bytes()
        for placeholder, sent in self._sending:
            begin, end = _position(rest, base64.b64encode(placeholder), whole_turn=isinstance(sent, memoryview))
            parts += [rest[:begin], sent]
            rest = rest[end:]
        self.sent = True
        self._inputs.sending()
        self._release()
        return StreamedBody([*parts, rest], self._inputs.sent)

    def answered(self, status: int, headers: Mapping[str, str]) -> None:
        """Receive the status and headers of the answer."""
        self.status, self.headers = status, headers
        if self._sdk_alone:
            self._release()
            self._inputs.sent()

    @property
    def strings(self) -> Mapping[str, memoryview]:
        """The strings of the answer that were replaced, by their placeholders."""
        return self._received

    @property
    def received_bytes(self) -> int:
        """The length of all replaced strings."""
        return sum(map(len, self._received.values()))

    async def receiving(self, announced: int | None) -> None:
        """Wait for memory for the answer, by its announced or typical length."""
        left = self._until - asyncio.get_running_loop().time()
        self._expected = announced or TYPICAL_ANSWER_BYTES
        await self._inputs.receiving(self._expected, left * MAY_WAIT)

    def received(self, count: int) -> None:
        """Count the bytes of the answer beyond the expected ones, and of the image that is decoded from it."""
        self._inputs.received(max(0, count - self._expected) + count * 3 // 4)

    def with_placeholders(self, body: bytes) -> bytes:
        """Replace the long base64 strings of a body by placeholders."""
        view, at = memoryview(body), 0
        parts: list[bytes | memoryview] = []
        while found := _BYTES.search(body, at):
            begin, end = found.end(), body.find(b'"', found.end())
            if end < 0:
                break
            if end - begin < LONG:
                parts.append(view[at:end])
            else:
                placeholder = base64.b64encode(_new_placeholder())
                self._received[placeholder.decode()] = view[begin:end]
                parts += [view[at:begin], placeholder]
            at = end
        return b"".join([*parts, view[at:]])

    def data(self, value: str | bytes) -> bytes:
        """Return the bytes of a field of the answer: base64 or a placeholder from JSON, or bytes from the SDK.

        Raises ValueError.
        """
        if isinstance(value, bytes):
            encoded = self._received.get(base64.b64encode(value).decode()) if len(value) == PLACEHOLDER_BYTES else None
            return value if encoded is None else _decoded(encoded)
        return _decoded(self._received.get(value) or memoryview(value.encode()))


def _position(body: bytes, placeholder: bytes, *, whole_turn: bool) -> tuple[int, int]:
    """Return start and end of a placeholder, or with `whole_turn` of the turn around it. Raises PlaceholderLost."""
    if not whole_turn:
        begin = body.find(placeholder)
        if begin < 0:
            raise PlaceholderLost
        return begin, begin + len(placeholder)
    found = _TURN.search(body)
    if found is None or found[1] != placeholder:
        raise PlaceholderLost
    return found.span()


def _decoded(encoded: memoryview) -> bytes:
    """Decode base64 in either alphabet, padded or not, with or without line breaks: ProtoJSON allows all of them.

    A last character of less than a byte is dropped: the image may still be complete. Raises ValueError.
    """
    try:
        return pybase64.b64decode(encoded, validate=True)  # the usual form
    except binascii.Error:
        raw = bytes(encoded)
    if b"\\" in raw:
        raw = str(json.loads(b'"' + raw + b'"', strict=False)).encode()
    raw = raw.translate(_FROM_URL_SAFE, _BLANKS).rstrip(b"=")
    if len(raw) % 4 == 1:
        raw = raw[:-1]
    return pybase64.b64decode(raw + b"=" * (-len(raw) % 4), validate=True)


class StreamedBody(aiohttp.Payload):
    """A JSON body whose images are encoded as they are sent, and released afterwards."""

    def __init__(self, parts: list[bytes | memoryview | Image], sent: Callable[[], None]) -> None:
        super().__init__(None, content_type="application/json")
        self._parts = parts
        self._sent = sent
        self._size = sum(4 * -(-len(part.data) // 3) if isinstance(part, Image) else len(part) for part in parts)

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:  # noqa: ARG002 - aiohttp's signature
        """Refuse to be decoded (aiohttp.Payload)."""
        raise TypeError("a streamed body can only be written")

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Send the body, and release its images."""
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
    """A response whose images are replaced by placeholders before the SDK parses it."""

    async def text(self, encoding: str | None = None, errors: str = "strict") -> str:
        exchange = _exchange.get()
        if exchange is None or self.status != HTTPStatus.OK:
            return await super().text(encoding, errors)
        await exchange.receiving(self.content_length)
        # Only texts can have invalid UTF-8: the image must not be lost over them.
        body = await self.read()
        exchange.received(len(body))
        exchange.answer = exchange.with_placeholders(body).decode(encoding or self.get_encoding(), "replace")
        return exchange.answer


async def _stream(
    request: aiohttp.ClientRequest, handler: Callable[[aiohttp.ClientRequest], Awaitable[aiohttp.ClientResponse]]
) -> aiohttp.ClientResponse:
    exchange = _exchange.get()
    if exchange is None:
        return await handler(request)
    streamed = await exchange.payload(request.body)
    if streamed is not None:
        await request.update_body(streamed)
    response = await handler(request)
    exchange.answered(response.status, response.headers)
    return response


def new_session() -> aiohttp.ClientSession:
    """Return the session for the SDK (`HttpOptions.aiohttp_client`). The caller must close it."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0),
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=proxied(),
        read_bufsize=READ_BUFFER_BYTES,
        middlewares=(_stream,),
        response_class=_Answer,
        # Compression saves a quarter of base64; decompression takes seven milliseconds for each megabyte.
        headers={"Accept-Encoding": "identity"},
    )


REQUEST_ARGUMENTS: dict[str, Any] = {"allow_redirects": False}
"""Arguments for `HttpOptions.async_client_args`: redirects would send the key and the images to another address."""
