"""The operations that make images, and take what they are made from."""

from typing import Any

from pydantic import ConfigDict, RootModel

from image_core.api.openapi.parts import (
    DELETE_LINK,
    PREFER,
    PREFERENCE_APPLIED,
    READ_LINK,
    SECONDS,
    WORD,
    Operation,
    Part,
    header,
    json_answer,
    parameter,
    schema,
)
from image_core.api.openapi.samples import GENERATION
from image_core.api.wire.generations import DryRun, Result, Running
from image_core.api.wire.images import Upload
from image_core.api.wire.requests import GenerateRequest
from image_core.models.catalog import DEFAULT_CHAIN


def _one_of(schema: dict[str, Any]) -> None:
    """Say that the schemas exclude each other, which pydantic does not without a discriminator."""
    schema["oneOf"] = schema.pop("anyOf")


class GenerateAnswer(RootModel[Result | Running | DryRun]):
    """The new image (`status` is `succeeded`), a generation that is still running (`running`), or what a dry run found (none).

    Both statuses have this schema, because many generated clients know one schema for all of an operation's successes.
    """

    # No `discriminator`: every schema would have to require `status`, which a dry run does not have.
    model_config = ConfigDict(json_schema_extra=_one_of)


TAG = "Images"
MODEL = DEFAULT_CHAIN[0]
NAME = "generated-1767225600000-9b2f3c5d7e8a41b6a0c4d1e2f3a5b6c7.png"
UPLOADED = "1767225600000-4f1c2a9be07d33584f1c2a9be07d3358-photo.jpg"
ADDRESS = f"https://account.blob.core.windows.net/catafract/{NAME}"
USAGE = {"inputTokens": 1300, "outputTokens": 1120, "costUsd": 0.134}
CREATED = "2026-01-01T00:00:00.000Z"

# Sixteen pixels: small enough to be read, and a real image, so that the example can be sent as it is.
DATA_URL = (
    "data:image/png;base64,"
    "iVBORw0KGgoAAAANSUhEUgAAAAQAAAAECAIAAAAmkwkpAAAAGElEQVR42mO0iTphxPAIglgYNBjgADcHANzwBSBAIqK5AAAAAElFTkSuQmCC"
)

# Its lower half in white.
MASK_URL = (
    "data:image/png;base64,"
    "iVBORw0KGgoAAAANSUhEUgAAAAQAAAAEAQAAAACBiqPTAAAAEElEQVR4nGNgYGBg+MDEAAAC3ADz2450nAAAAABJRU5ErkJggg=="
)

RESULT: Part = {
    "imageBase64": "data:image/png;base64,iVBORw0KGgo=",
    "imageUrl": ADDRESS,
    "thumbnailUrl": f"/api/images/{NAME}?w=320&format=webp",
    "text": "Here is your photograph as a watercolor.",
    "id": GENERATION,
    "status": "succeeded",
    "model": MODEL,
    "mimeType": "image/png",
    "width": 1024,
    "height": 1024,
    "usage": USAGE,
    "attempts": [{"model": MODEL, "outcome": "ok", "durationMs": 21042, "usage": USAGE}],
    "warnings": [],
}

RUNNING: Part = {
    "id": GENERATION,
    "status": "running",
    "statusUrl": f"/api/generations/{GENERATION}",
    "imageUrl": f"/api/images/{GENERATION}",
    "createdAt": CREATED,
    "expectedSeconds": 22,
}

ENDED_WITHOUT_AN_IMAGE = (
    *("no_image", "refused", "model_error", "model_auth_failed", "model_unavailable", "rate_limited"),
    *("interrupted", "deadline_exceeded", "canceled"),
)
"""The errors that a generation can end with."""

GENERATE = Operation(
    name="generateImage",
    tag=TAG,
    summary="Make one image from images and a prompt",
    description=(
        "Answers 200 with the new image, or 202 where it still runs when the response has to leave (where nothing else is set "
        "after 40 seconds behind Static Web Apps and 95 elsewhere, or earlier, as `Prefer` says): `statusUrl` then says how it "
        "stands, and `imageUrl` answers with the image as soon as there is one.\n\n"
        "An input that cannot be used fails the request before anything is paid for: none is skipped. Unknown fields are "
        "ignored.\n\n"
        "With `outputFormat` the image is converted before it is stored, so that `imageBase64`, `imageUrl` and `mimeType` agree. "
        "An image that the model made in that format is stored as it is. Where the conversion drops Content Credentials (C2PA) "
        "`warnings` has `metadata_lost`; where it fails the model's own file is stored, with `format_kept`.\n\n"
        "With `mask` a part of the first image is edited. The model gets the part around the mask, in a shape that it makes, and "
        "its answer is put back inside the mask, with an edge that is softened inside of it. All other pixels are those of the "
        "first image, and the new image has its size. `warnings` has `mask_misaligned` where the model shows the surroundings "
        "elsewhere or changed, and `mask_not_applied` where its answer could not be put back and is stored as it is. A mask of "
        "another shape than the image, and one that leaves nothing to edit, is `invalid_image` with `field` `mask`; one of the "
        "whole image counts as none.\n\n"
        "With `from` the image of an earlier generation is edited further: it is the first input, and the model is shown the turns "
        "that led to it where it can be. Where it was not, `warnings` has `context_not_kept`.\n\n"
        "With `dryRun` everything is checked and nothing is generated: the answer (`DryRun`) has the model that would be asked, "
        "what it is expected to cost, the inputs as the model would get them, and what is left of the budget.\n\n"
        "With an `Idempotency-Key` a request that is sent twice is paid for once: the second one waits for the first, or gets "
        "its answer again. One that was canceled, or failed and is `retryable`, runs again under the same `id`."
    ),
    parameters=(
        parameter("header", "Prefer", f"{PREFER} `respond-async`: 202 at once.", WORD),
        parameter(
            "header",
            "Idempotency-Key",
            "1 to 255 visible ASCII characters, new for each image that is wanted.",
            {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
        ),
    ),
    body={
        "required": True,
        "content": {
            "application/json": {
                "schema": schema(GenerateRequest),
                "examples": {
                    "one": {
                        "summary": "One image",
                        "value": {"images": [DATA_URL], "prompt": "as a watercolor painting"},
                    },
                    "several": {
                        "summary": "Several, with options",
                        "value": {
                            "images": [DATA_URL, DATA_URL],
                            "prompt": "both in one picture, at sunset",
                            "aspectRatio": "16:9",
                            "imageSize": "2K",
                            "includeBase64": False,
                        },
                    },
                    "mask": {
                        "summary": "A part of an image",
                        "value": {"images": [DATA_URL], "mask": MASK_URL, "prompt": "a red balloon in the sky"},
                    },
                    "further": {
                        "summary": "An earlier image, edited further",
                        "value": {"from": GENERATION, "prompt": "the same, at night"},
                    },
                    "check": {
                        "summary": "What would it cost?",
                        "value": {"images": [DATA_URL], "prompt": "as a watercolor painting", "dryRun": True},
                    },
                },
            }
        },
    },
    answers={
        "200": json_answer(
            "The new image: `status` is `succeeded`.",
            GenerateAnswer,
            RESULT,
            {
                "Idempotency-Replayed": header(
                    "`true` where an earlier request with this key made it.", {"type": "string", "enum": ["true"]}
                ),
                "Preference-Applied": PREFERENCE_APPLIED,
            },
            {"read": READ_LINK, "delete": DELETE_LINK},
        ),
        "202": json_answer(
            "Still running: `status` is `running`.",
            GenerateAnswer,
            RUNNING,
            {
                "Location": header("The `statusUrl`.", WORD, required=True),
                "Retry-After": header("Seconds after which to ask.", SECONDS, required=True),
                "Preference-Applied": PREFERENCE_APPLIED,
            },
            {"read": READ_LINK, "delete": DELETE_LINK},
        ),
    },
    codes=(
        *("invalid_json", "invalid_request", "no_images", "no_prompt"),
        *("invalid_image", "image_fetch_failed", "url_not_allowed", "image_too_large", "images_too_large"),
        *(
            "conflict",
            "length_required",
            "request_too_large",
            "unsupported_media_type",
            "not_found",
            "idempotency_mismatch",
        ),
        *("too_many_generations", "budget_exceeded", "gemini_key_missing", "storage_unavailable", "busy"),
        *ENDED_WITHOUT_AN_IMAGE,
    ),
)

UPLOAD = Operation(
    name="uploadImage",
    tag=TAG,
    summary="Store a file, to be used as an input",
    description="Checked as an input is. The address that is answered works as an entry of `images`.",
    body={
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {"file": {"type": "string", "format": "binary", "description": "The image."}},
                }
            }
        },
    },
    answers={
        "200": json_answer(
            "Stored.",
            Upload,
            {"url": f"https://account.blob.core.windows.net/catafract/{UPLOADED}"},
        )
    },
    codes=(
        *("no_file", "invalid_request", "invalid_image", "image_too_large", "length_required", "request_too_large"),
        "unsupported_media_type",
        *("storage_unavailable", "busy"),
    ),
)
