"""The operations that read what there is, and remove it."""

from image_core.api.openapi.generating import (
    ADDRESS,
    CREATED,
    ENDED_WITHOUT_AN_IMAGE,
    MODEL,
    NAME,
    RESULT,
    UPLOADED,
    USAGE,
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
from image_core.api.openapi.samples import GENERATION, SAMPLES
from image_core.api.wire.generations import Generation, GenerationPage
from image_core.api.wire.health import Health
from image_core.api.wire.models import ModelList
from image_core.api.wire.usage import UsageReport

TAG = "Generations"
SERVICE = "Service"

SUMMARY: Part = {
    **{
        name: RESULT[name]
        for name in ("id", "status", "imageUrl", "thumbnailUrl", "model", "mimeType", "width", "height", "usage")
    },
    "warnings": [],
    "prompt": "as a watercolor painting",
    "inputImages": ["/api/images/input-4f1c2a9be07d3358.jpg"],
    "outputImageUrl": ADDRESS,
    "createdAt": CREATED,
    "completedAt": "2026-01-01T00:00:21.310Z",
    "userId": "ada@example.com",
    "parentId": None,
    "rootId": None,
    "options": {"aspectRatio": "1:1"},
    "error": None,
}

LIST = Operation(
    name="listGenerations",
    tag=TAG,
    summary="The caller's generations, newest first",
    description=(
        "A page at a time, without the long fields (`text`, `attempts`, `inputs`). A page of long records ends before `limit`: "
        "only a `continuation` of null ends the list.\n\n"
        "With `root` the list has the generations that descend from one, oldest first: those with that `rootId`. They stay "
        "when it is deleted."
    ),
    parameters=(
        parameter(
            "query", "limit", "How many at most.", {"type": "integer", "minimum": 1, "maximum": 100, "default": 20}
        ),
        parameter("query", "continuation", "The `continuation` of the page before.", WORD),
        parameter(
            "query",
            "root",
            "The `id` of the first generation of a chain of edits: list what descends from it, oldest first.",
            WORD,
            example=GENERATION,
        ),
    ),
    answers={
        "200": json_answer(
            "A page.",
            GenerationPage,
            {"items": [SUMMARY], "continuation": None},
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
        "Always 200 where it is the caller's: `status` says how it stands, and `error` why it failed. With `Prefer: wait=N` "
        "it answers as soon as the generation is finished, after N seconds (at most 40) at the latest."
    ),
    parameters=(RECORD_ID, parameter("header", "Prefer", PREFER, WORD, example="wait=20")),
    answers={
        "200": json_answer(
            "How it stands.",
            Generation,
            {
                **SUMMARY,
                "text": RESULT["text"],
                "attempts": RESULT["attempts"],
                "inputs": [
                    {
                        "name": "input-4f1c2a9be07d3358.jpg",
                        "mimeType": "image/jpeg",
                        "width": 1600,
                        "height": 1200,
                        "bytes": 409600,
                    }
                ],
            },
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

_STANDING: Part = {
    **SUMMARY,
    **dict.fromkeys(("imageUrl", "outputImageUrl", "thumbnailUrl", "model", "mimeType", "width", "height")),
    "status": "canceled",
    "usage": None,
    "text": None,
    "inputs": [],
    "attempts": [
        {"model": MODEL, "outcome": "canceled", "durationMs": 4210, "startedAt": "2026-01-01T00:00:00.120Z"},
    ],
    "completedAt": "2026-01-01T00:00:04.330Z",
    "error": SAMPLES["canceled"].body | {"usage": None},
}

CANCEL = Operation(
    name="cancelGeneration",
    tag=TAG,
    summary="Stop a generation",
    description=(
        "A queued one never starts; of a running one the model's call is aborted. Requests that wait for it get the error "
        "`canceled`. Safe to repeat: one that has ended is answered as it is, and an image that is there by then is kept "
        "(`succeeded`).\n\n"
        "The service may bill a call that was aborted. Budgets count it at its expected price (`estimatedUsd` of `/api/usage`)."
    ),
    parameters=(RECORD_ID,),
    answers={
        "200": json_answer("It has ended: how it stands.", Generation, _STANDING),
        "202": json_answer(
            "Another process runs it and will stop with its next lease renewal, within 20 seconds.",
            Generation,
            {**_STANDING, "status": "running", "attempts": [], "completedAt": None, "error": None},
            {
                "Location": header("Where to ask how it stands.", WORD, required=True),
                "Retry-After": header("Seconds after which to ask.", SECONDS, required=True),
            },
        ),
    },
    codes=("not_found", "storage_unavailable"),
)

DELETE = Operation(
    name="deleteGeneration",
    tag=TAG,
    summary="Remove a generation and its picture",
    description="A second time it is not there: 404.",
    parameters=(RECORD_ID,),
    answers={"204": {"description": "They are gone."}},
    codes=("not_found", "storage_unavailable"),
)

_BLOB_HEADERS = {
    "ETag": header("The version of the bytes.", WORD, required=True),
    "Accept-Ranges": header("`bytes`.", WORD, required=True),
    "Cache-Control": header(
        "A caller's own cache may keep a stored image for good, and a rendition for a day.", WORD, required=True
    ),
}
_CONTENT_RANGE = {"Content-Range": header("Which bytes, and how many there are.", WORD, required=True)}
_IF_NONE_MATCH = parameter("header", "If-None-Match", "The `ETag` that the caller has.", WORD)
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
        "Answers a range where one is asked for, and 304 where the caller has it.\n\n"
        "With `w` or `format` the answer is a rendition: never enlarged, upright, in sRGB, without metadata; transparency is kept "
        "in WebP and PNG, and white in JPEG. It is made when it is first asked for, kept beside the image, and removed with it.\n\n"
        "The `id` of a generation is the name of its image. While the generation runs the request waits, and redirects to "
        "itself when the response has to leave, at most 15 times; where the generation failed, its error is the answer."
    ),
    parameters=(
        _IMAGE_NAME,
        parameter(
            "query",
            "redirects",
            "How often the request was redirected to itself. Only the API sets it.",
            {"type": "integer", "minimum": 0, "maximum": 15, "default": 0},
        ),
        parameter(
            "query",
            "w",
            "The width in pixels, at most. Rounded up to one of 64, 128, 256, 320, 480, 640, 800, 1024, 1280, 1600, 2048.",
            {"type": "integer", "minimum": 1, "maximum": 2048},
            example=320,
        ),
        parameter(
            "query",
            "format",
            "The format; `webp` where only `w` is given.",
            {"type": "string", "enum": ["png", "jpeg", "webp"]},
            example="webp",
        ),
        parameter("header", "Range", "One range of bytes (RFC 9110).", WORD),
        _IF_NONE_MATCH,
        parameter("header", "If-Range", "The `ETag` to which `Range` belongs.", WORD),
    ),
    answers={
        "200": {"description": "The bytes.", "headers": _BLOB_HEADERS, "content": _BYTES},
        "206": {"description": "The range.", "headers": {**_BLOB_HEADERS, **_CONTENT_RANGE}, "content": _BYTES},
        "304": {"description": "The caller has it.", "headers": _BLOB_HEADERS},
        "307": {
            "description": "The generation still runs: the same address, to be asked again at once.",
            "headers": {"Location": header("The same address.", WORD, required=True)},
        },
        "416": {"description": "The range holds no byte.", "headers": {**_BLOB_HEADERS, **_CONTENT_RANGE}},
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
        "By the last part of the address that the upload answered. Another user's, one that is gone, and the image of a "
        "generation, which is deleted with the generation, are 404. What was made from the upload stays."
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
    answers={"204": {"description": "It is gone."}},
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
                    "runningUsd": USAGE["costUsd"],
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
    description="What a front end needs to draw its controls, and to say what an image costs before it is made.",
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
                    "maxPromptCharacters": 32000,
                },
            },
        )
    },
)

_HEALTHY: Part = {"status": "ok", "version": "0.2.0"}

HEALTH = Operation(
    name="getHealth",
    tag=SERVICE,
    summary="Whether it works",
    description="With `deep=1` each dependency is looked at, anew at most every ten seconds.",
    parameters=(parameter("query", "deep", "`1` for the dependencies too.", WORD, example="1"),),
    answers={
        "200": json_answer("It works.", Health, _HEALTHY),
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

_CACHED = {"ETag": header("The version of it.", WORD, required=True)}
_KNOWN: Part = {"description": "The caller has it.", "headers": _CACHED}

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
    description="Made of the document, for people.",
    parameters=(_IF_NONE_MATCH,),
    answers={
        "200": {"description": "The page.", "headers": _CACHED, "content": {"text/html": {"schema": WORD}}},
        "304": _KNOWN,
    },
)
