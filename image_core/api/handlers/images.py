"""`/api/images/{name}`: answer with an image to its owner, and delete an upload."""

import asyncio
import re
from bisect import bisect_left
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from urllib.parse import urlencode

from image_core.api.answers import POLL_SECONDS, failed
from image_core.api.conditional import is_known, requested_range
from image_core.api.handlers.ports import Generations, Renditions, StoredImages, Waiting
from image_core.api.http import Request, Response
from image_core.api.response_budget import ResponseBudget
from image_core.api.wire.generations import result_url
from image_core.auth.user import User
from image_core.errors import Busy, InvalidRequest, NotFound
from image_core.generations.reading import Opened, stored_name
from image_core.generations.record import Record, Status
from image_core.generations.renditions import version
from image_core.images.image import EXTENSIONS, MIME_TYPES, Target
from image_core.runtime.memory_budget import ANSWER_COPIES, MemoryBudget
from image_core.storage.blobs import Blob
from image_core.storage.naming import is_record_id, is_upload

MAX_REDIRECTS = 15
"""Browsers follow 20."""

READ_SECONDS = 5.0
"""The part of the response budget that is kept for reading the image, after its generation has ended."""

REDIRECTS = "redirects"
"""The query parameter that counts redirects."""

FOREVER = "private, max-age=31536000, immutable"
"""The `Cache-Control` of stored images: a name is used for one image only."""

A_DAY = "private, max-age=86400"
"""The `Cache-Control` of renditions: afterwards a browser asks again with the `ETag`, which depends on the image's."""

WIDTHS = (64, 128, 256, 320, 480, 640, 800, 1024, 1280, 1600, 2048)
"""The widths of renditions, in pixels: another width is rounded up, so that an image has few renditions."""

RENDITION_QUALITY = 80

CONTENT_TYPES = {**{extension: kind for kind, extension in EXTENSIONS.items()}, "jpeg": "image/jpeg"}

_WIDTH = re.compile(r"[0-9]{1,4}")
_COUNT = re.compile(r"[0-9]{1,3}")

# Browsers show the bytes as an image and as nothing else, whatever a user has stored.
SAFE_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "Accept-Ranges": "bytes",
}


class GetImage:
    """Answers with the bytes of a stored image, of an input copy, of a rendition, or of a generation's image."""

    def __init__(
        self,
        reading: StoredImages,
        renditions: Renditions,
        history: Generations,
        background: Waiting,
        memory_budget: MemoryBudget,
        budget: ResponseBudget,
    ) -> None:
        self._reading = reading
        self._renditions = renditions
        self._history = history
        self._background = background
        self._memory_budget = memory_budget
        self._budget = budget

    async def handle(self, request: Request, user: User, name: str) -> Response:
        """Return the bytes, or the requested range of them, or 304 where the caller has them (RFC 9110).

        The id of a generation answers with its image, and waits for it while it runs. With `w` or `format` the answer
        is a rendition of the image.
        """
        redirects, target = _redirects(request), _target(request)
        if is_record_id(name):
            return await self._result(request, user, name, redirects, target)
        image = self._served(request, user, name, await self._reading.open(user, name), target)
        cache = FOREVER if target is None else A_DAY
        return await self._answer(request, user, image, {**SAFE_HEADERS, "Cache-Control": cache})

    async def _result(
        self, request: Request, user: User, record_id: str, redirects: int, target: Target | None
    ) -> Response:
        """Return the image of a generation once it has one, or its error where it failed.

        While it runs, the request waits within the response budget and then redirects to itself, so that a client that
        only shows `imageUrl` gets its image through any proxy. It redirects too where the bytes cannot be read in time.
        Nothing is cached: the id of an idempotency key can be used again.
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
        make = partial(self._renditions.open, user, name, opened, target, deadline)
        return _Served(etag, MIME_TYPES[target.format], make)

    async def _answer(self, request: Request, user: User, image: "_Served", safe: Mapping[str, str]) -> Response:
        etag = image.etag
        # The host adds `text/plain` to a 304 without a type, and a cache would keep it as the type of the image.
        headers = {**safe, "ETag": etag, "Content-Type": image.content_type}
        if is_known(request, etag):
            return Response(304, b"", headers)
        if request.method == "HEAD":
            return Response(200, b"", headers)
        opened = await image.open()
        size = opened.blob.size
        wanted = requested_range(request, etag, size)
        if wanted is None:
            return Response(200, await self._read(request, user, opened, range(size)), headers)
        if not wanted:
            return Response(416, b"", {**headers, "Content-Range": f"bytes */{size}"})
        data = await self._read(request, user, opened, wanted)
        return Response(206, data, {**headers, "Content-Range": f"bytes {wanted.start}-{wanted.stop - 1}/{size}"})

    async def _read(self, request: Request, user: User, opened: Opened, wanted: range) -> bytes:
        """Return the bytes at the positions `wanted`. Raises Busy, NotFound."""
        deadline = self._budget.for_resources(request)
        async with self._memory_budget.entered(user.id, ANSWER_COPIES * len(wanted), deadline):
            return await self._reading.read(opened, wanted.start, len(wanted))


class DeleteUpload:
    """Removes uploaded files."""

    def __init__(self, reading: StoredImages) -> None:
        self._reading = reading

    async def handle(self, request: Request, user: User, name: str) -> Response:  # noqa: ARG002 - ItemHandler
        """Return 204 after the upload was removed. Raises NotFound, also for an image that belongs to a generation."""
        if not is_upload(name):
            raise NotFound("Only an upload is deleted by its name; the image of a generation goes with the generation")
        await self._reading.delete(user, name)
        return Response(204, b"", {"Cache-Control": "no-store"})


@dataclass(frozen=True, slots=True)
class _Served:
    """An image or a rendition to answer with. `open` finds its blob, and makes a rendition where there is none."""

    etag: str
    content_type: str
    open: Callable[[], Awaitable[Opened]]


def _target(request: Request) -> Target | None:
    """Return the requested rendition; None for the image itself. Raises InvalidRequest."""
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
    """Return the blob's type, or the one of its name: the original product did not always store a type."""
    if blob.content_type.startswith("image/"):
        return blob.content_type
    return CONTENT_TYPES.get(blob.name.rsplit(".", 1)[-1].lower(), blob.content_type)


def _redirects(request: Request) -> int:
    """Return how often this request was redirected already. Raises InvalidRequest."""
    text = request.query.get(REDIRECTS) or "0"
    if not _COUNT.fullmatch(text) or int(text) > MAX_REDIRECTS:
        raise InvalidRequest(f"A number from 0 to {MAX_REDIRECTS}", field=REDIRECTS)
    return int(text)
