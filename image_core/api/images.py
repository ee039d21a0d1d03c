"""`GET /api/images/{name}`: a picture or an input copy, to its owner."""

import re

from image_core.api.http import Request, Response
from image_core.generation.reading import Reading
from image_core.user import User

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")

# What was stored as an image is shown as one, and as nothing else: no page can be made of it.
SAFE_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "Cache-Control": "private, max-age=31536000, immutable",
    "Accept-Ranges": "bytes",
}


class ImagesResource:
    def __init__(self, reading: Reading) -> None:
        self._reading = reading

    async def get(self, request: Request, user: User, name: str) -> Response:
        """The bytes, or the range that was asked for (RFC 9110), or 304 where the caller has them."""
        opened = await self._reading.open(user, name)
        blob = opened.blob
        etag = f'"{blob.etag.strip(chr(34))}"'
        headers = {**SAFE_HEADERS, "ETag": etag}
        if _matches(request.headers.get("if-none-match"), etag):
            return Response(304, b"", headers)
        headers["Content-Type"] = blob.content_type
        wanted = None
        if request.headers.get("if-range", etag) == etag:
            wanted = _range(request.headers.get("range"), blob.size)
        if wanted is None:
            return Response(200, await self._reading.read(opened, 0, blob.size), headers)
        first, last = wanted
        if first > last:
            return Response(416, b"", {**headers, "Content-Range": f"bytes */{blob.size}"})
        data = await self._reading.read(opened, first, last - first + 1)
        return Response(206, data, {**headers, "Content-Range": f"bytes {first}-{last}/{blob.size}"})


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
