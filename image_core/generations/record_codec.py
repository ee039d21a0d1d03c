"""The stored form of a record and of all its parts: the document in Cosmos DB, and the entry of the outbox.

The keys of a document are those of the API's answers as far as callers see them. Times are ISO 8601, UTC,
milliseconds, `Z`, so that they sort as text. Documents of the original product have only `id`, `userId`, `prompt`,
`inputImages`, `outputImageUrl` and `createdAt`.

Each part has a function that writes it (`…_document`) and one beside it that reads it (`_to_…`).
"""

from datetime import datetime
from typing import Any

from image_core.clock import from_iso, iso
from image_core.errors import Internal
from image_core.generations.failure import Failure
from image_core.generations.record import MaskedEdit, Record, Status, StoredTurn, Summary
from image_core.images.region import Box, Crop
from image_core.models.generated import Attempt, Options, Usage
from image_core.storage.documents import Document
from image_core.storage.input_copies import InputCopy
from image_core.storage.naming import API_IMAGES

LIST_FIELDS = (
    *("id", "userId", "prompt", "inputImages", "outputImageUrl", "createdAt", "completedAt", "status", "model"),
    *("mimeType", "width", "height", "usage", "options", "error", "warnings", "parentId", "rootId"),
)
"""The fields of a page's records: all but the long ones."""

BILLING_FIELDS = (
    *("id", "userId", "status", "options", "attempts", "warnings", "createdAt", "completedAt", "leaseExpiresAt"),
    *("leaseOwner", "runId", "attemptCount", "expectedUsd"),
)
"""The fields that ledger entries and budgets need."""

SUMMARY_FIELDS = ("id", "userId", "status", "blobStem", "outputImageUrl", "leaseExpiresAt")
"""The fields of a `Summary`."""


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
        "usage": None if record.usage is None else usage_document(record.usage),
        "attempts": list(map(_attempt_document, record.attempts)),
        "options": options_document(record.options),
        "error": None if record.failure is None else _failure_document(record.failure),
        "warnings": list(record.warnings),
        "completedAt": None if record.completed_at is None else iso(record.completed_at),
        "inputs": list(map(_copy_document, record.inputs)),
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
        document["edit"] = _edit_document(record.edit)
    if record.context:
        document["context"] = list(map(_turn_document, record.context))
    if record.turn is not None:
        document["turn"] = _turn_document(record.turn)
    if record.cancel_requested_at is not None:
        document["cancelRequestedAt"] = iso(record.cancel_requested_at)
    # Present only while something is left to do, so that its index holds nothing that has ended.
    if record.lease_expires_at is not None:
        document["leaseExpiresAt"] = iso(record.lease_expires_at)
    return document


def from_document(document: Document) -> Record:
    """Return the record in a document, which may lack what a query left out.

    Raises KeyError, TypeError, ValueError or AttributeError where the document is not a record.
    """
    usage, failure = document.get("usage"), document.get("error")
    return Record(
        id=document["id"],
        user_id=document["userId"],
        prompt=document["prompt"],
        input_images=tuple(addresses(document.get("inputImages"))),
        inputs=tuple(map(_to_copy, document.get("inputs") or ())),
        options=_to_options(document.get("options") or {}),
        created_at=from_iso(document["createdAt"]),
        request_hash=document.get("requestHash") or "",
        blob_stem=document.get("blobStem") or "",
        edit=None if document.get("edit") is None else _to_edit(document["edit"]),
        status=Status(document.get("status") or Status.SUCCEEDED),
        output_image_url=document.get("outputImageUrl"),
        model=document.get("model"),
        mime_type=document.get("mimeType"),
        width=document.get("width"),
        height=document.get("height"),
        text=document.get("text"),
        usage=None if usage is None else _to_usage(usage),
        attempts=tuple(map(_to_attempt, document.get("attempts") or ())),
        failure=None if failure is None else _to_failure(failure),
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
        context=tuple(map(_to_turn, document.get("context") or ())),
        turn=None if document.get("turn") is None else _to_turn(document["turn"]),
        trace_parent=document.get("traceParent"),
        cancel_requested_at=_time(document.get("cancelRequestedAt")),
        timings=document.get("timings"),
        etag=document.get("_etag", ""),
    )


def to_summary(document: Document) -> Summary:
    """Return the summary in a document with SUMMARY_FIELDS."""
    return Summary(
        document["id"],
        document["userId"],
        Status(document.get("status") or Status.SUCCEEDED),
        document.get("blobStem"),
        document.get("outputImageUrl"),
        _time(document.get("leaseExpiresAt")),
    )


def addresses(input_images: object) -> list[str]:
    """Return the addresses among `inputImages`: the original product also kept the images that came as base64."""
    found = input_images if isinstance(input_images, list) else []
    return [each for each in found if isinstance(each, str) and each.startswith(("http://", "https://", API_IMAGES))]


def options_document(options: Options) -> dict[str, Any]:
    """Return the options that are set. Idempotency fingerprints contain it, so unset options must not be in it."""
    return _present(
        {
            "model": options.model,
            "aspectRatio": options.aspect_ratio,
            "imageSize": options.image_size,
            "outputFormat": options.output_format,
            "outputQuality": options.output_quality,
        }
    )


def _to_options(document: Document) -> Options:
    return Options(
        document.get("model"),
        document.get("aspectRatio"),
        document.get("imageSize"),
        document.get("outputFormat"),
        document.get("outputQuality"),
    )


def usage_document(usage: Usage) -> dict[str, Any]:
    """Return the stored form of what was billed. The error of a canceled generation contains it."""
    document: dict[str, Any] = {
        "inputTokens": usage.input_tokens,
        "outputTokens": usage.output_tokens,
        "costUsd": usage.cost_usd,
    }
    if usage.input_by_modality:
        document["inputByModality"] = usage.input_by_modality
    if usage.output_by_modality:
        document["outputByModality"] = usage.output_by_modality
    return document


def _to_usage(document: Document) -> Usage:
    return Usage(
        document.get("inputTokens"),
        document.get("outputTokens"),
        document.get("costUsd"),
        dict(document.get("inputByModality", {})),
        dict(document.get("outputByModality", {})),
    )


def _attempt_document(attempt: Attempt) -> dict[str, Any]:
    document = {"model": attempt.model, "outcome": attempt.outcome, "durationMs": attempt.duration_ms}
    others = {
        "usage": None if attempt.usage is None else usage_document(attempt.usage),
        "startedAt": None if attempt.started_at is None else iso(attempt.started_at),
        "id": attempt.id,
        "estimatedUsd": attempt.estimated_usd,
    }
    return {**document, **_present(others)}


def _to_attempt(document: Document) -> Attempt:
    usage = document.get("usage")
    return Attempt(
        document["model"],
        document["outcome"],
        document["durationMs"],
        None if usage is None else _to_usage(usage),
        _time(document.get("startedAt")),
        document.get("id"),
        document.get("estimatedUsd"),
    )


def _failure_document(failure: Failure) -> dict[str, Any]:
    document = {"error": failure.message, "code": failure.code, "retryable": failure.retryable}
    details = _present({"details": failure.details})
    return {**document, **details, **failure.fields, **_present({"retryAfter": failure.retry_after})}


def _to_failure(document: Document) -> Failure:
    named = {"error", "code", "retryable", "details", "retryAfter"}
    return Failure(
        message=document.get("error", Internal.message),
        code=document.get("code", Internal.code),
        retryable=document.get("retryable", False),
        details=document.get("details"),
        retry_after=document.get("retryAfter"),
        fields={name: value for name, value in document.items() if name not in named},
    )


def _copy_document(copy: InputCopy) -> dict[str, Any]:
    return {
        "name": copy.name,
        "mimeType": copy.mime_type,
        "width": copy.width,
        "height": copy.height,
        "bytes": copy.size,
    }


def _to_copy(document: Document) -> InputCopy:
    return InputCopy(document["name"], document["mimeType"], document["width"], document["height"], document["bytes"])


def _edit_document(edit: MaskedEdit) -> dict[str, Any]:
    return {
        "mask": _copy_document(edit.mask),
        "sent": _copy_document(edit.sent),
        "box": list(edit.crop.box.edges),
        "aspectRatio": edit.crop.aspect_ratio,
        "size": list(edit.size),
        "original": edit.original,
        "editedBytes": edit.edited_bytes,
    }


def _to_edit(document: Document) -> MaskedEdit:
    width, height = document["size"]
    return MaskedEdit(
        _to_copy(document["mask"]),
        _to_copy(document["sent"]),
        Crop(Box(*document["box"]), document["aspectRatio"]),
        (width, height),
        document["original"],
        document["editedBytes"],
    )


def _turn_document(turn: StoredTurn) -> dict[str, Any]:
    return {
        "name": turn.name,
        "model": turn.model,
        "bytes": turn.size,
        "images": turn.images,
        "characters": turn.characters,
        "inputs": list(map(_copy_document, turn.inputs)),
    }


def _to_turn(document: Document) -> StoredTurn:
    return StoredTurn(
        document["name"],
        document["model"],
        document["bytes"],
        document["images"],
        document["characters"],
        tuple(map(_to_copy, document["inputs"])),
    )


def _present(document: Document) -> dict[str, Any]:
    """Return a document without the keys whose value is None."""
    return {name: value for name, value in document.items() if value is not None}


def _time(text: str | None) -> datetime | None:
    return None if text is None else from_iso(text)
