"""From records to responses: the wire's words for how a generation stands."""

from typing import Any
from urllib.parse import quote

import pybase64

from image_core.api.http import Response, json_response
from image_core.clock import iso
from image_core.errors import STATUS_BY_CODE, Internal
from image_core.generations.dry_run import DryRun
from image_core.generations.failure import Failure
from image_core.generations.reading import stored_name
from image_core.generations.record import MaskedEdit, Record, Status
from image_core.images.image import Image
from image_core.images.region import Crop
from image_core.inputs.owned_urls import is_generated
from image_core.runtime.offload import offloaded

POLL_SECONDS = 5
"""`Retry-After` of a generation that is still running."""

LONG_FIELDS = {"text", "attempts", "inputs", "mask"}
"""What a page of the history leaves out."""


def failed(record: Record) -> Response:
    """The answer for a generation that failed or was canceled: the same for its first caller and for a replay."""
    failure = record.failure or Failure.of(Internal())
    headers = {} if failure.retry_after is None else {"Retry-After": str(failure.retry_after)}
    status = STATUS_BY_CODE.get(failure.code, Internal.status)
    return json_response(status, {**failure.body(), "id": record.id}, headers)


def summary(record: Record) -> dict[str, Any]:
    """The fields of a finished generation, without the picture."""
    return {
        "imageUrl": record.output_image_url,
        "text": record.text,
        "id": record.id,
        "status": record.status,
        "thumbnailUrl": thumbnail_url(record),
        "model": record.model,
        "mimeType": record.mime_type,
        "width": record.width,
        "height": record.height,
        "usage": None if record.usage is None else record.usage.to_dict(),
        "attempts": [attempt.to_wire() for attempt in record.attempts],
        "warnings": list(record.warnings),
    }


def thumbnail_url(record: Record) -> str | None:
    """The address of a small rendition of a generation's image; None where there is no image that `/api/images` has."""
    if record.status is not Status.SUCCEEDED or record.output_image_url is None:
        return None
    name = stored_name(record)
    return f"/api/images/{quote(name)}?w=320&format=webp" if is_generated(name) else None


async def succeeded(record: Record, picture: Image | None, headers: dict[str, str]) -> Response:
    """200 with the picture, or without where `picture` is None.

    The JSON is put together around the base64, which needs no escaping: megabytes are copied once.
    """
    rest = json_response(200, summary(record), headers)
    if picture is None:
        return Response(200, b'{"imageBase64":null,' + rest.body[1:], rest.headers)
    prefix = b'{"imageBase64":"data:' + picture.mime_type.encode() + b";base64,"

    def joined() -> bytes:
        return b"".join((prefix, pybase64.b64encode(picture.data), b'",', rest.body[1:]))

    return Response(200, await offloaded(len(picture.data), joined), rest.headers)


def accepted(record: Record, expected_seconds: int, headers: dict[str, str]) -> Response:
    """202: still running, with the addresses of its status and of its image."""
    address = status_url(record)
    body = {
        "id": record.id,
        "status": "running",
        "statusUrl": address,
        "imageUrl": result_url(record),
        "createdAt": iso(record.created_at),
        "expectedSeconds": expected_seconds,
    }
    return json_response(202, body, {"Location": address, "Retry-After": str(POLL_SECONDS), **headers})


def status_url(record: Record) -> str:
    """The address that says how a generation stands."""
    return f"/api/generations/{record.id}"


def result_url(record: Record) -> str:
    """The address that answers with the image of a generation, whatever its file type, as soon as there is one."""
    return f"/api/images/{record.id}"


def checked(run: DryRun) -> Response:
    """200 for a dry run."""
    body = {
        "dryRun": True,
        "model": run.model,
        "estimatedCostUsd": run.estimated_usd,
        "inputs": [
            {"mimeType": each.mime_type, "width": each.width, "height": each.height, "converted": each.converted}
            for each in run.inputs
        ],
        "budget": {"leftUsd": run.left_usd},
        "warnings": list(run.warnings),
    }
    if run.crop is not None:
        body["crop"] = shown_crop(run.crop)
    return json_response(200, body)


def shown_crop(crop: Crop) -> dict[str, Any]:
    """The part of the first image that a model is asked to edit, in the words of the wire."""
    box = crop.box
    return {
        "x": box.left,
        "y": box.top,
        "width": box.width,
        "height": box.height,
        "aspectRatio": crop.aspect_ratio,
    }


def shown_mask(edit: MaskedEdit) -> dict[str, Any]:
    """What a masked edit was made with, in the words of the wire."""
    return {"url": f"/api/images/{edit.mask.name}", "crop": shown_crop(edit.inner_crop)}


def detailed(record: Record) -> dict[str, Any]:
    """`GET /api/generations/{id}`: everything that may leave the database."""
    return {
        **summary(record),
        "prompt": record.prompt,
        "inputImages": list(record.input_images),
        "inputs": [copy.to_dict() for copy in record.inputs],
        **({} if record.edit is None else {"mask": shown_mask(record.edit)}),
        "outputImageUrl": record.output_image_url,
        "createdAt": iso(record.created_at),
        "completedAt": None if record.completed_at is None else iso(record.completed_at),
        "userId": record.user_id,
        "parentId": record.parent_id,
        "rootId": record.root_id,
        "options": record.options.to_dict(),
        "error": None if record.failure is None else record.failure.body(),
    }


def listed(record: Record) -> dict[str, Any]:
    """One line of `GET /api/generations`."""
    return {name: value for name, value in detailed(record).items() if name not in LONG_FIELDS}
