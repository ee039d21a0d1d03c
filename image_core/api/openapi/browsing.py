"""The operations that read and remove generations and images, and those about the service."""

from dataclasses import replace
from datetime import timedelta

from image_core.api.handlers.generations import DEFAULT_LIMIT, LONGEST_WAIT_SECONDS, MAX_LIMIT
from image_core.api.handlers.images import MAX_REDIRECTS, WIDTHS
from image_core.api.openapi.generating import (
    CREATED,
    ENDED_WITHOUT_AN_IMAGE,
    MODEL,
    NAME,
    RECORD,
    UPLOADED,
)
from image_core.api.openapi.parts import (
    DELETE_LINK,
    PREFER,
    PREFERENCE_APPLIED,
    READ_LINK,
    RECORD_ID,
    RETRY_AFTER,
    SECONDS,
    WORD,
    Operation,
    Part,
    header,
    json_answer,
    parameter,
)
from image_core.api.openapi.samples import GENERATION
from image_core.api.wire.generations import THUMBNAIL_WIDTH, Generation, GenerationPage, GenerationSummary
from image_core.api.wire.health import Health
from image_core.api.wire.models import ModelList
from image_core.api.wire.requests import MAX_PROMPT_CHARACTERS
from image_core.api.wire.usage import UsageReport
from image_core.errors import Canceled
from image_core.generations.failure import Failure
from image_core.generations.record import Status
from image_core.images.image import MIME_TYPES
from image_core.models.generated import CANCELED, Attempt

TAG = "Generations"
SERVICE = "Service"

LIST = Operation(
    name="listGenerations",
    tag=TAG,
    summary="The caller's generations, newest first",
    description=(
        "A page at a time, without the long fields (`text`, `attempts`, `inputs`, `mask`). A page of long records ends "
        "before `limit`: the list ends where `continuation` is null.\n\n"
        "With `root` the list has the generations that descend from one, oldest first: those with that `rootId`. They "
        "stay when it is deleted."
    ),
    parameters=(
        parameter(
            "query",
            "limit",
            "How many at most.",
            {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT},
        ),
        parameter("query", "continuation", "The `continuation` of the previous page.", WORD),
        parameter(
            "query",
            "root",
            "The `id` of the first generation of a chain: list what descends from it, oldest first.",
            WORD,
            example=GENERATION,
        ),
    ),
    answers={
        "200": json_answer(
            "A page.",
            GenerationPage,
            GenerationPage(items=[GenerationSummary.of(RECORD)], continuation=None).to_wire(),
            links={
                "next": {
                    "operationId": "listGenerations",
                    "parameters": {"continuation": "$response.body#/continuation"},
                    "description": "The next page.",
                }
            },
        )
    },
    codes=("invalid_request", "storage_unavailable"),
)

READ = Operation(
    name="getGeneration",
    tag=TAG,
    summary="One generation, whatever its state",
    description=(
        "Always 200 where it is the caller's: `status` has its state, and `error` the reason where it failed. With "
        "`Prefer: wait=N` the answer leaves as soon as the generation has ended, after N seconds (at most "
        f"{LONGEST_WAIT_SECONDS}) at the latest."
    ),
    parameters=(RECORD_ID, parameter("header", "Prefer", PREFER, WORD, example="wait=20")),
    answers={
        "200": json_answer(
            "The generation.",
            Generation,
            Generation.of(RECORD).to_wire(),
            {"Retry-After": RETRY_AFTER, "Preference-Applied": PREFERENCE_APPLIED},
            {
                "delete": DELETE_LINK,
                "read": READ_LINK,
                "input": {
                    "operationId": "getImage",
                    "parameters": {"name": "$response.body#/inputs/0/name"},
                    "description": "The copy of its first input.",
                },
            },
        )
    },
    codes=("not_found", "storage_unavailable"),
)

_RUNNING = replace(
    RECORD,
    status=Status.RUNNING,
    output_image_url=None,
    model=None,
    mime_type=None,
    width=None,
    height=None,
    text=None,
    usage=None,
    attempts=(),
    completed_at=None,
)
_ABORTED = Attempt(MODEL, CANCELED, 4210, started_at=CREATED + timedelta(milliseconds=120))
_CANCELED = _RUNNING.canceled(Failure.of(Canceled()), (_ABORTED,), CREATED + timedelta(seconds=4.33))

CANCEL = Operation(
    name="cancelGeneration",
    tag=TAG,
    summary="Cancel a generation",
    description=(
        "A queued generation never starts; the model's call of a running one is aborted. Requests that wait for it "
        "get the error `canceled`. Safe to repeat: a generation that has ended is returned unchanged, and an image "
        "that was made in the meantime is kept (`succeeded`).\n\n"
        "The model's service may bill an aborted call. Budgets count it at its expected price (`estimatedUsd` of "
        "`/api/usage`)."
    ),
    parameters=(RECORD_ID,),
    answers={
        "200": json_answer(
            "The generation, which has ended.",
            Generation,
            Generation.of(_CANCELED).to_wire(),
        ),
        "202": json_answer(
            "Another process runs it and will abort it with its next lease renewal, within 20 seconds.",
            Generation,
            Generation.of(_RUNNING).to_wire(),
            {
                "Location": header("The address of its state.", WORD, required=True),
                "Retry-After": header("Seconds after which to ask again.", SECONDS, required=True),
            },
        ),
    },
    codes=("not_found", "storage_unavailable"),
)

DELETE = Operation(
    name="deleteGeneration",
    tag=TAG,
    summary="Remove a generation and its image",
    description="A second request is answered with 404.",
    parameters=(RECORD_ID,),
    answers={"204": {"description": "They were removed."}},
    codes=("not_found", "storage_unavailable"),
)

_BLOB_HEADERS = {
    "ETag": header("The version of the bytes.", WORD, required=True),
    "Accept-Ranges": header("`bytes`.", WORD, required=True),
    "Cache-Control": header(
        "A private cache may keep a stored image forever, and a rendition for a day.", WORD, required=True
    ),
}
_CONTENT_RANGE = {
    "Content-Range": header("The positions of the bytes, and the size of the image.", WORD, required=True)
}
_IF_NONE_MATCH = parameter("header", "If-None-Match", "The `ETag` of the caller's copy.", WORD)
_BYTES: Part = {"image/*": {"schema": {"type": "string", "format": "binary"}}}

_IMAGE_NAME = parameter(
    "path",
    "name",
    "The name of a stored image or of an input copy, or the `id` of a generation.",
    {**WORD, "minLength": 1, "maxLength": 1024},
    required=True,
    example=NAME,
)

IMAGE = Operation(
    name="getImage",
    tag=TAG,
    summary="An image or an input copy, to its owner",
    description=(
        "Answers with one range of bytes where one is requested, and with 304 where the caller has the image.\n\n"
        "With `w` or `format` the answer is a rendition: never enlarged, upright, in sRGB, without metadata. "
        "Transparency is kept in WebP and PNG, and becomes white in JPEG. A rendition is made when it is first "
        "requested, kept beside the image, and removed with it.\n\n"
        "The `id` of a generation is a name of its image. While the generation runs, the request waits, and redirects "
        f"to itself when the response has to leave, at most {MAX_REDIRECTS} times. Where the "
        "generation failed, its error is the answer."
    ),
    parameters=(
        _IMAGE_NAME,
        parameter(
            "query",
            "redirects",
            "How often the request was redirected to itself. Only the API sets it.",
            {"type": "integer", "minimum": 0, "maximum": MAX_REDIRECTS, "default": 0},
        ),
        parameter(
            "query",
            "w",
            f"The largest width in pixels, rounded up to {', '.join(map(str, WIDTHS[:-1]))} or {WIDTHS[-1]}.",
            {"type": "integer", "minimum": 1, "maximum": WIDTHS[-1]},
            example=THUMBNAIL_WIDTH,
        ),
        parameter(
            "query",
            "format",
            "The format; `webp` where only `w` is given.",
            {"type": "string", "enum": list(MIME_TYPES)},
            example="webp",
        ),
        parameter("header", "Range", "One range of bytes (RFC 9110).", WORD),
        _IF_NONE_MATCH,
        parameter("header", "If-Range", "The `ETag` to which `Range` belongs.", WORD),
    ),
    answers={
        "200": {"description": "The bytes.", "headers": _BLOB_HEADERS, "content": _BYTES},
        "206": {"description": "The range.", "headers": {**_BLOB_HEADERS, **_CONTENT_RANGE}, "content": _BYTES},
        "304": {"description": "The caller has the image.", "headers": _BLOB_HEADERS},
        "307": {
            "description": "The generation still runs: the same address, to be requested again at once.",
            "headers": {"Location": header("The same address.", WORD, required=True)},
        },
        "416": {"description": "The range has no bytes.", "headers": {**_BLOB_HEADERS, **_CONTENT_RANGE}},
    },
    codes=(
        *("invalid_request", "invalid_image", "image_too_large", "unsupported_media_type", "not_found"),
        *("storage_unavailable", "busy", "internal", *ENDED_WITHOUT_AN_IMAGE),
    ),
)

DELETE_UPLOAD = Operation(
    name="deleteUpload",
    tag=TAG,
    summary="Remove an uploaded file",
    description=(
        "By the last part of the address that the upload returned. Another user's upload, a removed one, and the "
        "image of a generation, which is deleted with its generation, are 404. Images that were made from the upload "
        "stay."
    ),
    parameters=(
        parameter(
            "path",
            "name",
            "The name of an upload.",
            {**WORD, "minLength": 1, "maxLength": 1024},
            required=True,
            example=UPLOADED,
        ),
    ),
    answers={"204": {"description": "It was removed."}},
    codes=("not_found", "storage_unavailable"),
)

_SPENDING: Part = {
    "since": "2026-01-01T00:00:00.000Z",
    "images": 3,
    "calls": 4,
    "costUsd": 0.402,
    "unpricedCalls": 0,
    "estimatedUsd": 0.0,
    "byModel": [{"model": MODEL, "images": 3, "calls": 4, "costUsd": 0.402, "unpricedCalls": 0, "estimatedUsd": 0.0}],
}

USAGE_REPORT = Operation(
    name="getUsage",
    tag=TAG,
    summary="What the caller has spent",
    description="Today and this month (UTC), by model. `budget` is null where none is set.",
    answers={
        "200": json_answer(
            "The sums.",
            UsageReport,
            {
                "currency": "USD",
                "today": _SPENDING,
                "month": _SPENDING,
                "budget": {
                    "dailyUsd": 2.0,
                    "runningUsd": 0.134,
                    "remainingUsd": 1.464,
                    "resetsAt": "2026-01-02T00:00:00.000Z",
                },
            },
        )
    },
    codes=("storage_unavailable",),
)

MODELS = Operation(
    name="listModels",
    tag=TAG,
    summary="The models that a request may name, and the limits of a request",
    description="What a front end needs to draw its controls, and to show the cost of an image before it is made.",
    answers={
        "200": json_answer(
            "The chain, in its order.",
            ModelList,
            {
                "models": [
                    {
                        "id": MODEL,
                        "aspectRatios": ["1:1", "16:9"],
                        "imageSizes": ["1K", "2K", "4K"],
                        "maxInputImages": 14,
                        "prices": {"1K": 0.1344, "2K": 0.1344, "4K": 0.24},
                        "default": True,
                        "retiresOn": None,
                        "available": True,
                        "expectedSeconds": 25,
                    }
                ],
                "limits": {
                    "maxImages": 14,
                    "maxImageBytes": 20000000,
                    "maxRequestBytes": 30000000,
                    "maxImagePixels": 120000000,
                    "maxPromptCharacters": MAX_PROMPT_CHARACTERS,
                },
            },
        )
    },
)

_HEALTHY: Part = {"status": "ok", "version": "0.2.0"}

HEALTH = Operation(
    name="getHealth",
    tag=SERVICE,
    summary="Whether the API works",
    description="With `deep=1` each dependency is checked, at most once in ten seconds.",
    parameters=(parameter("query", "deep", "`1` for the dependencies too.", WORD, example="1"),),
    answers={
        "200": json_answer("The API works.", Health, _HEALTHY),
        "503": json_answer(
            "A dependency is down.",
            Health,
            {
                **_HEALTHY,
                "status": "down",
                "dependencies": {
                    "database": {"status": "down", "latencyMs": 5000, "code": "timeout"},
                    "storage": {
                        "status": "down",
                        "latencyMs": 12,
                        "code": "storage_unavailable",
                        "containers": {"catafract": "ok", "catafract-private": "missing"},
                    },
                },
            },
        ),
    },
)

_CACHED = {"ETag": header("The version of the description.", WORD, required=True)}
_KNOWN: Part = {"description": "The caller has this version.", "headers": _CACHED}

DOCUMENT = Operation(
    name="getDocument",
    tag=SERVICE,
    summary="This description",
    description="OpenAPI 3.1.",
    parameters=(_IF_NONE_MATCH,),
    answers={
        "200": {
            "description": "The document.",
            "headers": _CACHED,
            "content": {"application/json": {"schema": {"type": "object"}}},
        },
        "304": _KNOWN,
    },
)

PAGE = Operation(
    name="getPage",
    tag=SERVICE,
    summary="This description as a page",
    description="Made from the document, for people.",
    parameters=(_IF_NONE_MATCH,),
    answers={
        "200": {"description": "The page.", "headers": _CACHED, "content": {"text/html": {"schema": WORD}}},
        "304": _KNOWN,
    },
)
