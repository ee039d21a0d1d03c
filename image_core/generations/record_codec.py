"""The stored form of a record: the document in Cosmos DB, and the entry of the outbox.

The keys of a document are those of the API's answers as far as callers see them. Times are ISO 8601, UTC,
milliseconds, `Z`, so that they sort as text. Documents of the original product have only `id`, `userId`, `prompt`,
`inputImages`, `outputImageUrl` and `createdAt`.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from image_core.clock import from_iso, iso
from image_core.generations.failure import Failure
from image_core.generations.record import MaskedEdit, Record, Status, StoredTurn
from image_core.models.generated import Attempt, Options, Usage
from image_core.storage.input_copies import InputCopy
from image_core.storage.naming import API_IMAGES


def to_document(record: Record) -> dict[str, Any]:
    """Return the document of a record."""
    document: dict[str, Any] = {
        "id": record.id,
        "userId": record.user_id,
        "prompt": record.prompt,
        "inputImages": list(record.input_images),
        "outputImageUrl": record.output_image_url,
        "createdAt": iso(record.created_at),
        "status": record.status.value,
        "model": record.model,
        "mimeType": record.mime_type,
        "width": record.width,
        "height": record.height,
        "text": record.text,
        "usage": None if record.usage is None else record.usage.to_dict(),
        "attempts": [attempt.to_dict() for attempt in record.attempts],
        "options": record.options.to_dict(),
        "error": None if record.failure is None else record.failure.to_document(),
        "warnings": list(record.warnings),
        "completedAt": None if record.completed_at is None else iso(record.completed_at),
        "inputs": [copy.to_dict() for copy in record.inputs],
        "requestHash": record.request_hash,
        "blobStem": record.blob_stem,
        "leaseOwner": record.lease_owner,
        "attemptCount": record.attempt_count,
        "lostClaims": record.lost_claims,
        "runId": record.run_id,
        "expectedUsd": record.expected_usd,
        "parentId": record.parent_id,
        "rootId": record.root_id,
        "traceParent": record.trace_parent,
        "timings": record.timings,
    }
    if record.edit is not None:
        document["edit"] = record.edit.to_dict()
    if record.context:
        document["context"] = [turn.to_dict() for turn in record.context]
    if record.turn is not None:
        document["turn"] = record.turn.to_dict()
    if record.cancel_requested_at is not None:
        document["cancelRequestedAt"] = iso(record.cancel_requested_at)
    # Present only while something is left to do, so that its index holds nothing that has ended.
    if record.lease_expires_at is not None:
        document["leaseExpiresAt"] = iso(record.lease_expires_at)
    return document


def from_document(document: Mapping[str, Any]) -> Record:
    """Return the record in a document, which may lack what a query left out.

    Raises KeyError, TypeError, ValueError or AttributeError where the document is not a record.
    """
    usage, failure = document.get("usage"), document.get("error")
    return Record(
        id=document["id"],
        user_id=document["userId"],
        prompt=document["prompt"],
        input_images=tuple(addresses(document.get("inputImages"))),
        inputs=tuple(map(InputCopy.from_dict, document.get("inputs") or ())),
        options=Options.from_dict(document.get("options") or {}),
        created_at=from_iso(document["createdAt"]),
        request_hash=document.get("requestHash") or "",
        blob_stem=document.get("blobStem") or "",
        edit=None if document.get("edit") is None else MaskedEdit.from_dict(document["edit"]),
        status=Status(document.get("status") or Status.SUCCEEDED),
        output_image_url=document.get("outputImageUrl"),
        model=document.get("model"),
        mime_type=document.get("mimeType"),
        width=document.get("width"),
        height=document.get("height"),
        text=document.get("text"),
        usage=None if usage is None else Usage.from_dict(usage),
        attempts=tuple(map(Attempt.from_dict, document.get("attempts") or ())),
        failure=None if failure is None else Failure.from_document(failure),
        warnings=tuple(document.get("warnings") or ()),
        completed_at=_time(document.get("completedAt")),
        lease_owner=document.get("leaseOwner"),
        lease_expires_at=_time(document.get("leaseExpiresAt")),
        attempt_count=document.get("attemptCount") or 0,
        lost_claims=document.get("lostClaims") or 0,
        run_id=document.get("runId"),
        expected_usd=document.get("expectedUsd"),
        parent_id=document.get("parentId"),
        root_id=document.get("rootId"),
        context=tuple(map(StoredTurn.from_dict, document.get("context") or ())),
        turn=None if document.get("turn") is None else StoredTurn.from_dict(document["turn"]),
        trace_parent=document.get("traceParent"),
        cancel_requested_at=_time(document.get("cancelRequestedAt")),
        timings=document.get("timings"),
        etag=document.get("_etag", ""),
    )


def addresses(input_images: object) -> list[str]:
    """Return the addresses among `inputImages`: the original product also kept the images that came as base64."""
    found = input_images if isinstance(input_images, list) else []
    return [each for each in found if isinstance(each, str) and each.startswith(("http://", "https://", API_IMAGES))]


def _time(text: str | None) -> datetime | None:
    return None if text is None else from_iso(text)
