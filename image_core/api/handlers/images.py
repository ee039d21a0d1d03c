"""`/api/images/{name}`: a stored image, an input copy, or the image of a generation that may still run; to its owner."""

import asyncio
import re
from bisect import bisect_left
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from urllib.parse import urlencode

from image_core.api.answers import POLL_SECONDS, failed
from image_core.api.http import Request, Response
from image_core.api.response_budget import ResponseBudget
from image_core.api.wire.generations import result_url
from image_core.auth.user import User
from image_core.errors import Busy, InvalidRequest, NotFound
from image_core.generations.background import BackgroundTasks
from image_core.generations.history import History
from image_core.generations.reading import Opened, Reading, stored_name
from image_core.generations.record import Record, Status
from image_core.generations.rendering import Rendering, version
from image_core.images.image import EXTENSIONS, MIME_TYPES, Target
from image_core.inputs.owned_urls import is_upload
from image_core.runtime.memory_budget import ANSWER_COPIES, MemoryBudget
from image_core.storage.blobs import Blob

GENERATION_PREFIX = "gen-"
"""Ids of generations begin so, and no name of a stored image does."""

MAX_REDIRECTS = 15
"""Browsers follow 20."""

READ_SECONDS = 5.0
"""Of the response budget, for reading the image after its generation was waited for."""

REDIRECTS = "redirects"
"""The query parameter that counts them."""

FOREVER = "private, max-age=31536000, immutable"
"""A name of a stored image is used for one image only."""

A_DAY = "private, max-age=86400"
"""Of renditions: after it a browser asks again with the `ETag`, which is derived from the image's."""

WIDTHS = (64, 128, 256, 320, 480, 640, 800, 1024, 1280, 1600, 2048)
"""Of renditions, in pixels: another width is rounded up, so that an image has few of them."""

RENDITION_QUALITY = 80

CONTENT_TYPES = {**{extension: kind for kind, extension in EXTENSIONS.items()}, "jpeg": "image/jpeg"}

_WIDTH = re.compile(r"[0-9]{1,4}")
_COUNT = re.compile(r"[0-9]{1,3}")
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")

# What was stored as an image is shown as one, and as nothing else: no page can be made of it.
SAFE_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "Accept-Ranges": "bytes",
}


class ImagesHandler:
    def __init__(
        self,
        reading: Reading,
        rendering: Rendering,
        history: History,
        background: BackgroundTasks,
        memory_budget: MemoryBudget,
        budget: ResponseBudget,
    ) -> None:
        self._reading = reading
        self._rendering = rendering
        self._history = history
        self._background = background
        self._memory_budget = memory_budget
        self._budget = budget

    async def get(self, request: Request, user: User, name: str) -> Response:
        """The bytes, or the range that was asked for (RFC 9110), or 304 where the caller has them.

        The name of a generation answers with its image, and waits for it where it still runs. With `w` or `format` the
        answer is a rendition of the image.
        """
        redirects, target = _redirects(request), _target(request)
        if name.startswith(GENERATION_PREFIX):
            return await self._result(request, user, name, redirects, target)
        image = self._served(request, user, name, await self._reading.open(user, name), target)
        cache = FOREVER if target is None else A_DAY
        return await self._answer(request, user, image, {**SAFE_HEADERS, "Cache-Control": cache})

    async def delete(self, request: Request, user: User, name: str) -> Response:  # noqa: ARG002 - as every handler
        """Remove an upload of the caller's. Raises NotFound, also for an image that belongs to a generation."""
        if not is_upload(name):
            raise NotFound("Only an upload is deleted by its name; the image of a generation goes with the generation")
        await self._reading.delete(user, name)
        return Response(204, b"", {"Cache-Control": "no-store"})

    async def _result(
        self, request: Request, user: User, record_id: str, redirects: int, target: Target | None
    ) -> Response:
        """The image of a generation, once it has one; its error, where it failed.

        While it runs the request waits within the response budget and then redirects to itself, so that a client that
        only shows `imageUrl` gets its image through any proxy. So it does where the bytes cannot be read in time.
        Nothing of it is cached: a name can come back.
        """
        record = await self._history.read(user, record_id)
        if record.status is Status.RUNNING:
            budget = self._budget.following(request)
            record = (await self._background.wait(record, budget - min(READ_SECONDS, budget / 2))).record
        if record.status not in {Status.RUNNING, Status.SUCCEEDED}:
            return failed(record)
        try:
            async with asyncio.timeout(self._budget.for_reading(request)):
                return await self._made(request, user, record, target)
        except (Busy, TimeoutError) as error:
            if redirects >= MAX_REDIRECTS:
                raise Busy("The image is not there yet", retry_after=POLL_SECONDS) from error
        query = urlencode({**request.query, REDIRECTS: redirects + 1})
        return Response(307, b"", {"Location": f"{result_url(record.id)}?{query}", "Cache-Control": "no-store"})

    async def _made(self, request: Request, user: User, record: Record, target: Target | None) -> Response:
        if record.status is Status.RUNNING:
            raise Busy
        opened = await self._reading.open_result(record)
        image = self._served(request, user, stored_name(record), opened, target)
        return await self._answer(request, user, image, {**SAFE_HEADERS, "Cache-Control": "no-store"})

    def _served(self, request: Request, user: User, name: str, opened: Opened, target: Target | None) -> "_Served":
        if target is None:
            etag = opened.blob.etag.strip('"')

            async def stored() -> Opened:
                return opened

            return _Served(f'"{etag}"', _content_type(opened.blob), stored)
        etag = f'"{version(name, opened)}.{target.width or "full"}.{target.format}"'
        deadline = self._budget.for_resources(request)
        make = partial(self._rendering.open, user, name, opened, target, deadline)
        return _Served(etag, MIME_TYPES[target.format], make)

    async def _answer(self, request: Request, user: User, image: "_Served", safe: Mapping[str, str]) -> Response:
        etag = image.etag
        # The host gives a 304 without a type `text/plain`, which a cache would keep as the image's.
        headers = {**safe, "ETag": etag, "Content-Type": image.content_type}
        if _matches(request.headers.get("if-none-match"), etag):
            return Response(304, b"", headers)
        if request.method == "HEAD":
            return Response(200, b"", headers)
        opened = await image.open()
        blob = opened.blob
        wanted = None
        if request.headers.get("if-range", etag) == etag:
            wanted = _range(request.headers.get("range"), blob.size)
        if wanted is None:
            return Response(200, await self._read(request, user, opened, 0, blob.size), headers)
        first, last = wanted
        if first > last:
            return Response(416, b"", {**headers, "Content-Range": f"bytes */{blob.size}"})
        data = await self._read(request, user, opened, first, last - first + 1)
        return Response(206, data, {**headers, "Content-Range": f"bytes {first}-{last}/{blob.size}"})

    async def _read(self, request: Request, user: User, opened: Opened, offset: int, length: int) -> bytes:
        """`length` bytes from `offset`, in the user's turn. Raises Busy, NotFound."""
        deadline = self._budget.for_resources(request)
        async with self._memory_budget.entered(user.id, ANSWER_COPIES * length, deadline):
            return await self._reading.read(opened, offset, length)


@dataclass(frozen=True, slots=True)
class _Served:
    """An image or a rendition as it is answered. `open` finds its blob, which may first have to be made."""

    etag: str
    content_type: str
    open: Callable[[], Awaitable[Opened]]


def _target(request: Request) -> Target | None:
    """The rendition that is asked for; None for the image itself. Raises InvalidRequest."""
    width, chosen = request.query.get("w"), request.query.get("format")
    if width is None and chosen is None:
        return None
    if width is not None and not (_WIDTH.fullmatch(width) and 1 <= int(width) <= WIDTHS[-1]):
        raise InvalidRequest(f"A number from 1 to {WIDTHS[-1]}", field="w")
    formats = [each for each in MIME_TYPES if each == (chosen or "webp")]
    if not formats or chosen == "":
        raise InvalidRequest(f"One of {', '.join(MIME_TYPES)}", field="format")
    step = None if width is None else WIDTHS[bisect_left(WIDTHS, int(width))]
    return Target(step, formats[0], RENDITION_QUALITY)


def _content_type(blob: Blob) -> str:
    """The blob's own, or that of its name: the original product did not always store one."""
    if blob.content_type.startswith("image/"):
        return blob.content_type
    return CONTENT_TYPES.get(blob.name.rsplit(".", 1)[-1].lower(), blob.content_type)


def _redirects(request: Request) -> int:
    """How often this request was redirected already. Raises InvalidRequest."""
    text = request.query.get(REDIRECTS) or "0"
    if not _COUNT.fullmatch(text) or int(text) > MAX_REDIRECTS:
        raise InvalidRequest(f"A number from 0 to {MAX_REDIRECTS}", field=REDIRECTS)
    return int(text)


def _matches(header: str | None, etag: str) -> bool:
    tags = [tag.strip().removeprefix("W/") for tag in (header or "").split(",")]
    return "*" in tags or etag in tags


def _range(header: str | None, size: int) -> tuple[int, int] | None:
    """First and last byte; (1, 0) where the range holds none; None where there is no range that we understand."""
    found = _RANGE.fullmatch((header or "").strip())
    if found is None or found.groups() == ("", ""):
        return None  # several ranges too: answering with the whole is allowed
    first, last = found.groups()
    if not first:
        length = min(int(last), size)
        return (size - length, size - 1) if length else (1, 0)
    end = min(int(last), size - 1) if last else size - 1
    if last and int(last) < int(first):
        return None  # not a range at all
    return (int(first), end) if int(first) < size else (1, 0)
