"""The operations that make images and store inputs."""

from datetime import UTC, datetime, timedelta
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
from image_core.generations.record import Record, Status
from image_core.models.generated import Attempt, Options, Usage
from image_core.settings import DEFAULT_CHAIN
from image_core.storage.input_copies import InputCopy


def _one_of(schema: dict[str, Any]) -> None:
    """Say that the schemas exclude each other, which pydantic does not without a discriminator."""
    schema["oneOf"] = schema.pop("anyOf")


class GenerateAnswer(RootModel[Result | Running | DryRun]):
    """The new image (`status` is `succeeded`), a running generation (`running`), or the result of a dry run (none).

    Both statuses have this schema, because many generated clients know one schema for all of an operation's successes.
    """

    # No `discriminator`: every schema would have to require `status`, which a dry run does not have.
    model_config = ConfigDict(json_schema_extra=_one_of)


TAG = "Images"
MODEL = DEFAULT_CHAIN[0]
NAME = "generated-1767225600000-9b2f3c5d7e8a41b6a0c4d1e2f3a5b6c7.png"
UPLOADED = "1767225600000-4f1c2a9be07d33584f1c2a9be07d3358-photo.jpg"
ADDRESS = f"https://account.blob.core.windows.net/catafract/{NAME}"
USAGE = Usage(1300, 1120, 0.134)
CREATED = datetime(2026, 1, 1, tzinfo=UTC)

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

RECORD = Record(
    id=GENERATION,
    user_id="ada@example.com",
    prompt="as a watercolor painting",
    input_images=("/api/images/input-4f1c2a9be07d3358.jpg",),
    inputs=(InputCopy("input-4f1c2a9be07d3358.jpg", "image/jpeg", 1600, 1200, 409600),),
    options=Options(aspect_ratio="1:1"),
    created_at=CREATED,
    request_hash="",
    blob_stem="",
    status=Status.SUCCEEDED,
    output_image_url=ADDRESS,
    model=MODEL,
    mime_type="image/png",
    width=1024,
    height=1024,
    text="Here is your photograph as a watercolor.",
    usage=USAGE,
    attempts=(Attempt(MODEL, "ok", 21042, USAGE),),
    completed_at=CREATED + timedelta(seconds=21.31),
)
"""The generation of the examples, from which the models of the answers make them."""

RESULT: Part = {**Result.of(RECORD).to_wire(), "imageBase64": "data:image/png;base64,iVBORw0KGgo="}
RUNNING: Part = Running.of(RECORD, expected_seconds=22).to_wire()

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
        "Answers 200 with the new image, or 202 where it is still being made when the response has to leave: after 40 "
        "seconds behind Static Web Apps and 95 elsewhere, unless the service is configured otherwise, or earlier, as "
        "`Prefer` says. `statusUrl` then has the state, and `imageUrl` answers with the image as soon as there is "
        "one.\n\n"
        "An input that cannot be used fails the request before anything is paid for: none is skipped. Unknown fields "
        "are ignored.\n\n"
        "With `outputFormat` the image is converted before it is stored, so that `imageBase64`, `imageUrl` and "
        "`mimeType` agree. An image that the model made in that format is stored unchanged. Where the conversion "
        "drops Content Credentials (C2PA), `warnings` has `metadata_lost`; where it fails, the model's own file is "
        "stored and `warnings` has `format_kept`.\n\n"
        "With `mask` a part of the first image is edited. The model gets the part around the mask, in a shape that it "
        "makes. Its answer is put back inside the mask, with a feathered edge. All other pixels are those of the "
        "first image, and the new image has its size. `warnings` has `mask_misaligned` where the model moved or "
        "changed the surroundings, and `mask_not_applied` where its answer could not be put back and is stored "
        "unchanged. A mask of another shape than the image, and one that leaves nothing to edit, is `invalid_image` "
        "with `field` `mask`. A mask of the whole image counts as none.\n\n"
        "With `from` the image of an earlier generation is edited: it becomes the first input, and the model is sent "
        "the turns that led to it where that is possible. Where it is not, `warnings` has `context_not_kept`.\n\n"
        "With `dryRun` everything is checked and nothing is generated. The answer (`DryRun`) has the model that would "
        "be asked, the expected cost, the inputs as the model would get them, and what is left of the budget.\n\n"
        "With an `Idempotency-Key` a request that is sent twice is paid for once: the second request waits for the "
        "first, or gets its answer again. A generation that was canceled, or failed and is `retryable`, runs again "
        "under the same `id`."
    ),
    parameters=(
        parameter("header", "Prefer", f"{PREFER} `respond-async`: 202 at once.", WORD),
        parameter(
            "header",
            "Idempotency-Key",
            "1 to 255 visible ASCII characters, another key for each new image.",
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
                            "prompt": "both in one image, at sunset",
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
                        "summary": "A dry run",
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
                "Retry-After": header("Seconds after which to ask again.", SECONDS, required=True),
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
    summary="Store a file that is used as an input later",
    description="The file is checked as an input is. The address in the answer works as an entry of `images`.",
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
            Upload(url=f"https://account.blob.core.windows.net/catafract/{UPLOADED}").to_wire(),
        )
    },
    codes=(
        *("no_file", "invalid_request", "invalid_image", "image_too_large", "length_required", "request_too_large"),
        "unsupported_media_type",
        *("storage_unavailable", "busy"),
    ),
)
