"""Build the response for a generation that succeeded, failed or is still running."""

import pybase64

from image_core.api.http import Response, json_response
from image_core.api.wire.errors import ErrorBody
from image_core.api.wire.generations import Result, Running, status_url
from image_core.errors import STATUS_BY_CODE, Internal
from image_core.generations.failure import Failure
from image_core.generations.record import Record
from image_core.images.image import Image
from image_core.runtime.offload import offloaded

POLL_SECONDS = 5
"""`Retry-After` of a generation that is still running."""

_WITHOUT_IMAGE = b'{"imageBase64":null'
"""The beginning of the JSON of a `Result`."""


def failed(record: Record) -> Response:
    """Return the error of a generation that failed or was canceled: the same for its first caller and for a replay."""
    failure = record.failure or Failure.of(Internal())
    headers = {} if failure.retry_after is None else {"Retry-After": str(failure.retry_after)}
    status = STATUS_BY_CODE.get(failure.code, Internal.status)
    return json_response(status, ErrorBody.of(failure, record.id).to_wire(), headers)


async def succeeded(record: Record, image: Image | None, headers: dict[str, str]) -> Response:
    """Return 200 with the image, or without its bytes where `image` is None.

    The base64 is put into the finished JSON, because it needs no escaping: so megabytes are copied once.
    """
    answer = json_response(200, Result.of(record).to_wire(), headers)
    if image is None:
        return answer
    rest = answer.body.removeprefix(_WITHOUT_IMAGE)
    start = b'{"imageBase64":"data:' + image.mime_type.encode() + b";base64,"

    def joined() -> bytes:
        return b"".join((start, pybase64.b64encode(image.data), b'"', rest))

    return Response(200, await offloaded(len(image.data), joined), answer.headers)


def accepted(record: Record, expected_seconds: int, headers: dict[str, str]) -> Response:
    """Return 202: still running, with the addresses of its record and of its image."""
    location = {"Location": status_url(record.id), "Retry-After": str(POLL_SECONDS)}
    return json_response(202, Running.of(record, expected_seconds).to_wire(), {**location, **headers})
