"""Stored documents stay as they are: what an earlier version wrote is read, and written again as it was."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from image_core.auth.user import User
from image_core.errors import Canceled, ImageError, Internal, NoImage, RateLimited
from image_core.generations.failure import Failure
from image_core.generations.record import Status
from image_core.generations.record_codec import from_document, to_document
from image_core.images.region import Box, Crop
from image_core.models.generated import Attempt, Options, Usage
from image_core.storage.input_copies import InputCopy
from tests.support.records import make

ORIGINAL = {
    "id": "gen-1700000000000-ab",
    "userId": "Ada@Example.com",
    "prompt": "a watercolor",
    "inputImages": ["https://example.com/a.png", "data:image/png;base64,AAAA", "iVBORw0KGgo="],
    "outputImageUrl": "https://example.com/b.png",
    "createdAt": "2025-11-14T22:13:20.123Z",
}

ENDED: dict[str, Any] = {
    "id": "gen-1",
    "userId": "ada@example.com",
    "prompt": "a watercolor",
    "inputImages": ["/api/images/input-1.png"],
    "outputImageUrl": None,
    "createdAt": "2026-11-25T12:00:00.000Z",
    "status": "failed",
    "model": None,
    "mimeType": None,
    "width": None,
    "height": None,
    "text": None,
    "usage": {"inputTokens": 6, "outputTokens": 9, "costUsd": 0.5, "outputByModality": {"TEXT": 9}},
    "attempts": [
        {
            "model": "m",
            "outcome": "no_image",
            "durationMs": 1500,
            "usage": {"inputTokens": 6, "outputTokens": 9, "costUsd": 0.5, "outputByModality": {"TEXT": 9}},
            "startedAt": "2026-11-25T12:00:01.007Z",
            "id": "run-0",
        },
        {"model": "m", "outcome": "lost", "durationMs": 0, "id": "run-lost", "estimatedUsd": 0.2},
    ],
    "options": {"imageSize": "2K", "outputQuality": 80},
    "error": {
        "error": "No image was generated",
        "code": "no_image",
        "retryable": True,
        "details": "why",
        "text": None,
        "finishReason": "STOP",
        "retryAfter": 7,
    },
    "warnings": ["model_skipped: x"],
    "completedAt": "2026-11-25T12:00:09.999Z",
    "inputs": [{"name": "input-1.png", "mimeType": "image/png", "width": 2, "height": 3, "bytes": 5}],
    "requestHash": "hash",
    "blobStem": "generated-1-ab",
    "leaseOwner": "owner",
    "attemptCount": 2,
    "lostClaims": 1,
    "runId": "run",
    "expectedUsd": 0.2,
    "parentId": "gen-0",
    "rootId": None,
    "traceParent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "timings": {"model": 1500, "total": 9999},
}

RUNNING = {
    **ENDED,
    "status": "running",
    "error": None,
    "completedAt": None,
    "timings": None,
    "cancelRequestedAt": "2026-11-25T12:00:02.000Z",
    "leaseExpiresAt": "2026-11-25T12:01:00.000Z",
}


EDIT = {
    "mask": {"name": "input-2.png", "mimeType": "image/png", "width": 300, "height": 200, "bytes": 90},
    "sent": {"name": "input-3.png", "mimeType": "image/png", "width": 600, "height": 338, "bytes": 9000},
    "box": [0, -148, 600, 190],
    "aspectRatio": "16:9",
    "size": [600, 40],
    "original": "4.original",
    "editedBytes": 70_000,
}
"""What a masked edit adds to a document."""

EDITED = {name: value for name, value in RUNNING.items() if name not in {"cancelRequestedAt", "leaseExpiresAt"}} | {
    "edit": EDIT,
    "cancelRequestedAt": RUNNING["cancelRequestedAt"],
    "leaseExpiresAt": RUNNING["leaseExpiresAt"],
}


TURN = {
    "name": "generated-0.token",
    "model": "m",
    "bytes": 700,
    "images": 1,
    "characters": 40,
    "inputs": [{"name": "input-1.png", "mimeType": "image/png", "width": 2, "height": 3, "bytes": 5}],
}
CHAINED = {**ENDED, "context": [TURN, {**TURN, "name": "generated-1.token"}], "turn": {**TURN, "inputs": []}}
"""A generation of a chain: with the turns that its model was shown, and its own."""


SUCCEEDED = {
    **ENDED,
    "outputImageUrl": "/api/images/generated-1.png",
    "status": "succeeded",
    "model": "m",
    "mimeType": "image/png",
    "width": 4,
    "height": 5,
    "text": "a text",
    "usage": {"inputTokens": 6, "outputTokens": 9, "costUsd": 0.5, "inputByModality": {"TEXT": 6}},
    "options": {
        "model": "m",
        "aspectRatio": "16:9",
        "imageSize": "4K",
        "outputFormat": "webp",
        "outputQuality": 80,
    },
    "error": None,
    "rootId": "gen-0",
}


@pytest.mark.parametrize(
    "document",
    [ENDED, SUCCEEDED, RUNNING, EDITED, CHAINED],
    ids=["ended", "succeeded", "running", "edited", "chained"],
)
def test_document_is_written_as_it_was_read(document: dict[str, Any]) -> None:
    assert json.dumps(to_document(from_document(document))) == json.dumps(document)


def test_document_is_read_into_types() -> None:
    record = from_document({**RUNNING, "_etag": "v1", "_ts": 1})
    assert record.status is Status.RUNNING
    assert record.created_at == datetime(2026, 11, 25, 12, tzinfo=UTC)
    assert record.lease_expires_at == datetime(2026, 11, 25, 12, 1, tzinfo=UTC)
    assert record.cancel_requested_at == datetime(2026, 11, 25, 12, 0, 2, tzinfo=UTC)
    assert record.inputs == (InputCopy("input-1.png", "image/png", 2, 3, 5),)
    assert record.options == Options(image_size="2K", output_quality=80)
    usage = Usage(6, 9, 0.5, {}, {"TEXT": 9})
    started = datetime(2026, 11, 25, 12, 0, 1, 7000, tzinfo=UTC)
    assert record.attempts[0] == Attempt("m", "no_image", 1500, usage, started, "run-0")
    assert record.etag == "v1"


def test_masked_edit_sends_its_crop_in_place_of_the_first_input() -> None:
    record = from_document({**EDITED, "inputs": [*RUNNING["inputs"], EDIT["mask"]]})
    assert record.edit is not None
    assert [copy.name for copy in record.sent] == ["input-3.png", "input-2.png"]
    assert record.model_options == Options(aspect_ratio="16:9", image_size="2K", output_quality=80)
    assert record.edit.inner_crop == Crop(Box(0, 0, 600, 40), "16:9")
    without = from_document(RUNNING)
    assert (without.sent, without.model_options) == (without.inputs, without.options)


def test_record_of_the_original_product_is_read_with_its_addresses_only() -> None:
    record = from_document(ORIGINAL)
    assert record.status is Status.SUCCEEDED
    assert record.input_images == ("https://example.com/a.png",)
    assert (record.blob_stem, record.attempts, record.failure, record.completed_at) == ("", (), None, None)
    assert record.request_hash == ""
    assert to_document(record)["createdAt"] == ORIGINAL["createdAt"]


@pytest.mark.parametrize(
    ("stored", "moment"),
    [
        ("2026-11-25T12:00:00", datetime(2026, 11, 25, 12, tzinfo=UTC)),
        ("2026-11-25T13:00:00+01:00", datetime(2026, 11, 25, 12, tzinfo=UTC)),
    ],
)
def test_time_of_another_form_is_read_as_utc(stored: str, moment: datetime) -> None:
    assert from_document({**ORIGINAL, "createdAt": stored}).created_at == moment


@pytest.mark.parametrize(
    "broken",
    [{"createdAt": None}, {"createdAt": "yesterday"}, {"status": "lost"}, {"attempts": "many"}, {"options": "large"}],
    ids=str,
)
def test_document_that_is_no_record_raises(broken: dict[str, Any]) -> None:
    with pytest.raises((KeyError, TypeError, ValueError, AttributeError)):
        from_document({**ENDED, **broken})


@pytest.mark.parametrize(
    "error",
    [
        NoImage("why", text="no", finish_reason="STOP"),
        RateLimited("later", retry_after=7, resets_at=datetime(2026, 11, 26, 8, tzinfo=UTC)),
        Canceled({"inputTokens": 1}),
    ],
    ids=lambda error: error.code,
)
def test_failure_keeps_what_an_error_says(error: ImageError) -> None:
    failure = Failure.of(error)
    assert failure.body() == error.body()
    assert failure.retry_after == error.retry_after
    document = to_document(replace(from_document(ENDED), failure=failure))
    assert document["error"] == error.body() | ({} if error.retry_after is None else {"retryAfter": error.retry_after})
    assert from_document(document).failure == failure


def test_failure_without_its_fields_is_an_internal_error() -> None:
    failure = from_document({**ENDED, "error": {}}).failure
    assert failure is not None
    assert failure == Failure(Internal.message, "internal", retryable=False)


def test_usage_without_its_parts_has_none() -> None:
    assert from_document({**ENDED, "usage": {"inputTokens": 6}}).usage == Usage(6)


def test_record_that_was_just_made_round_trips() -> None:
    record = make(User("ada@example.com"))
    assert from_document(to_document(record)) == record
