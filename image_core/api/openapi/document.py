"""The OpenAPI 3.1 document: every route of the table, with its answers, its errors and an example of each."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from openapi_pydantic.util import construct_open_api_with_schema_class
from openapi_pydantic.v3.v3_1 import OpenAPI

from image_core import __version__
from image_core.api.openapi import browsing, generating
from image_core.api.openapi.parts import RETRY_AFTER, WORD, Operation, Part, header, schema
from image_core.api.openapi.samples import EVERY_CODE, SAMPLES, UPLOAD_FAILED
from image_core.api.origin import SAFE_METHODS, origin_of
from image_core.api.router import ROUTES, Route
from image_core.api.wire.errors import ErrorBody
from image_core.api.wire.requests import OPEN
from image_core.api.wire.usage import UsageReport
from image_core.auth.cookies import NAMES, V4, V5
from image_core.clock import Clock
from image_core.errors import STATUS_BY_CODE, MethodNotAllowed, UploadFailed
from image_core.models.catalog import chain
from image_core.settings import Settings

OPERATIONS: dict[tuple[str, str], Operation] = {
    ("POST", "image"): generating.GENERATE,
    ("POST", "upload"): generating.UPLOAD,
    ("GET", "generations"): browsing.LIST,
    ("GET", "generations/{id}"): browsing.READ,
    ("POST", "generations/{id}/cancel"): browsing.CANCEL,
    ("DELETE", "generations/{id}"): browsing.DELETE,
    ("GET", "images/{name}"): browsing.IMAGE,
    ("DELETE", "images/{name}"): browsing.DELETE_UPLOAD,
    ("GET", "models"): browsing.MODELS,
    ("GET", "usage"): browsing.USAGE_REPORT,
    ("GET", "health"): browsing.HEALTH,
    ("GET", "openapi.json"): browsing.DOCUMENT,
    ("GET", "docs"): browsing.PAGE,
}
"""The operations by method and path. The document has the routes of `api.router.ROUTES`."""

SESSION_CODES = ("unauthorized", "misconfigured", "session_unavailable", "busy", "internal")
PUBLIC_CODES = ("misconfigured", "internal")
WAITING_STATUSES = {429, 503}
LOOPBACK = {"localhost", "127.0.0.1", "::1"}

INTRODUCTION = (
    "Make an image from images and a prompt.\n\n"
    "Requests are authenticated by the session cookie of NextAuth, which browsers send from the front end's own "
    "origin. Writes by pages of other sites are refused.\n\n"
    "Every error has the same body: `error` is for people, `code` for programs, and `retryable` says whether the same "
    "request can succeed later. A method that a route does not have is 405 with `Allow`. Every route answers "
    "`OPTIONS`, and every `GET` also `HEAD`. The fixed parts of a path are compared without regard to case."
)


def build(settings: Settings, clock: Clock | None = None) -> dict[str, Any]:
    """Return the document of an API with these settings, which give it the cookie's name, the models and the limits."""
    raw: dict[str, Any] = {
        "openapi": "3.1.1",
        "info": {
            "title": "Catafract image API",
            "version": __version__,
            "description": INTRODUCTION,
            "contact": {"name": "The operators of this API"},
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        **_servers(settings),
        "tags": [
            {"name": generating.TAG, "description": "Make images."},
            {"name": browsing.TAG, "description": "Read and remove generations and images."},
            {"name": browsing.SERVICE, "description": "Public: no session is needed."},
        ],
        "paths": {},
        "components": {
            "securitySchemes": _sessions(settings),
            "examples": {code: _example(code) for code in EVERY_CODE},
        },
    }
    for route in ROUTES:
        path = raw["paths"].setdefault(f"/api/{route.path}", {})
        path[route.method.lower()] = _operation(route, settings)
    document = construct_open_api_with_schema_class(OpenAPI.model_validate(raw), [ErrorBody, UsageReport])
    models = [link.model for link in chain(settings.gemini_models, (clock or Clock()).now().date())]
    found: dict[str, Any] = document.model_dump(mode="json", by_alias=True, exclude_unset=True)
    _as_set(found["components"]["schemas"]["GenerateRequest"], settings, models)
    return found


def codes_of(route: Route) -> list[str]:
    """Return the codes of the errors that a route answers with, by status."""
    codes = {*OPERATIONS[route.method, route.path].codes, *(PUBLIC_CODES if route.public else SESSION_CODES)}
    if not route.public and route.method not in SAFE_METHODS:
        codes.add("cross_site")
    return [code for code in EVERY_CODE if code in codes]


def _operation(route: Route, settings: Settings) -> Part:
    operation = OPERATIONS[route.method, route.path]
    answers = dict(operation.answers)
    upload = operation is generating.UPLOAD
    by_status: dict[int, list[str]] = {}
    for code in codes_of(route):
        by_status.setdefault(STATUS_BY_CODE[code], []).append(code)
    for status, codes in by_status.items():
        answers[str(status)] = _errors(status, codes, upload=upload)
    answers[str(MethodNotAllowed.status)] = {
        **_errors(MethodNotAllowed.status, [MethodNotAllowed.code], upload=False),
        "headers": {"Allow": header("The methods that the path has.", WORD, required=True)},
    }
    made: Part = {
        "operationId": operation.name,
        "tags": [operation.tag],
        "summary": operation.summary,
        "description": operation.description,
        "responses": dict(sorted(answers.items())),
        "security": [] if route.public else [{name: []} for name in _sessions(settings)],
    }
    if operation.parameters:
        made["parameters"] = list(operation.parameters)
    if operation.body is not None:
        made["requestBody"] = operation.body
    return made


def _errors(status: int, codes: list[str], *, upload: bool) -> Part:
    examples: Part = {code: {"$ref": f"#/components/examples/{code}"} for code in codes}
    if upload and UploadFailed.code in examples:
        examples[UploadFailed.code] = {"summary": UPLOAD_FAILED.when, "value": UPLOAD_FAILED.body}
    made: Part = {
        "description": " ".join(SAMPLES[code].when for code in codes),
        "content": {"application/json": {"schema": schema(ErrorBody), "examples": examples}},
    }
    return made | ({"headers": {"Retry-After": RETRY_AFTER}} if status in WAITING_STATUSES else {})


def _example(code: str) -> Part:
    return {"summary": SAMPLES[code].when, "value": SAMPLES[code].body}


def _sessions(settings: Settings) -> Part:
    names = (settings.nextauth_cookie_name,) if settings.nextauth_cookie_name else NAMES
    return {
        # A component's key takes fewer characters than a cookie's name.
        (name if name in NAMES else "session"): {
            "type": "apiKey",
            "in": "cookie",
            "name": name,
            "description": f"A session of {_maker(name)}, in one cookie or split (`.0`, `.1` and so on).",
        }
        for name in names
    }


def _maker(name: str) -> str:
    if name.endswith(V4):
        return "NextAuth v4"
    return "Auth.js v5" if name.endswith(V5) else "NextAuth or Auth.js"


def _servers(settings: Settings) -> Part:
    """Return the front end's origin, where this API is `/api`.

    Nothing where the origin is not known or is on the reader's own machine: clients are then configured with the
    address.
    """
    origin = origin_of(settings.nextauth_url) if settings.nextauth_url else None
    if origin is None or settings.allowed_origins or urlsplit(origin).hostname in LOOPBACK:
        return {}
    return {"servers": [{"url": origin, "description": "The front end's origin"}]}


def _as_set(request: dict[str, Any], settings: Settings, models: Sequence[str]) -> None:
    """Write into the schema of a request what it may hold with these settings."""
    fields = request["properties"]
    fields["images"]["maxItems"] = settings.max_images
    request["then"] = {"properties": {"images": {"maxItems": settings.max_images - 1}}} | OPEN
    named, absent = fields["model"]["anyOf"]
    fields["model"]["anyOf"] = [{"type": named["type"], "enum": list(models)}, absent]
