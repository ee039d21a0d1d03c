"""Compares the application's responses with its own OpenAPI document.

Stricter than a client should be: a field that the document does not name is an error, so that neither can drift.
"""

import copy
import json
import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator

from image_core.api.openapi.document import build
from image_core.settings import Settings

STATUS_OF_BODY = {200: "succeeded", 202: "running"}


@cache
def document() -> dict[str, Any]:
    """Return the OpenAPI document."""
    return build(Settings.read({}))


@cache
def _closed() -> dict[str, Any]:
    """Return the document with every response closed to fields that it does not name."""
    closed = copy.deepcopy(document())

    def close(part: Any) -> None:
        if isinstance(part, dict):
            if isinstance(part.get("properties"), dict) and part.get("type") == "object":
                part.setdefault("additionalProperties", False)
            for each in part.values():
                close(each)
        elif isinstance(part, list):
            for each in part:
                close(each)

    for name, schema in closed["components"]["schemas"].items():
        if name != "GenerateRequest":  # unknown fields of requests are ignored
            close(schema)
    return closed


def problems(schema: Mapping[str, Any], value: Any) -> list[str]:
    """Return the errors of `value` by `schema`, which may refer into the document."""
    whole = {**schema, "components": _closed()["components"]}
    return [f"{error.json_path}: {error.message[:300]}" for error in Draft202012Validator(whole).iter_errors(value)]


def operation(method: str, path: str) -> dict[str, Any] | None:
    """Return the document's operation for `path` (without the prefix), if there is one."""
    for pattern, item in _closed()["paths"].items():
        expression = re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(pattern))
        if re.fullmatch(expression, f"/api/{path}", re.IGNORECASE) and method.lower() in item:
            found: dict[str, Any] = item[method.lower()]
            return found
    return None


def violations(method: str, path: str, status: int, headers: Mapping[str, str], body: bytes) -> list[str]:
    """Return what in a response contradicts the document. `path` is without the prefix."""
    lower = {name.lower(): value for name, value in headers.items()}
    media_type = lower.get("content-type", "").split(";")[0]
    known = operation(method, path)
    if known is None:  # no route, or a method that it does not have
        return problems({"$ref": "#/components/schemas/ErrorBody"}, json.loads(body)) if body else []
    answer = known["responses"].get(str(status))
    if answer is None:
        return [f"{status} is not an answer of {known['operationId']}"]
    wrong = [
        f"the header {name} is missing"
        for name, header in answer.get("headers", {}).items()
        if header["required"] and name.lower() not in lower
    ]
    contents = answer.get("content", {})
    content = contents.get(media_type) or contents.get(f"{media_type.split('/')[0]}/*")
    if content is None:
        return wrong + ([f"{media_type} with {len(body)} bytes is not an answer"] if body else [])
    if media_type != "application/json":
        return wrong
    parsed = json.loads(body)
    wrong += problems(content["schema"], parsed)
    # One schema describes both successes of a generation; only the descriptions relate them to the HTTP status.
    if known["operationId"] == "generateImage" and parsed.get(
        "status", STATUS_OF_BODY.get(status)
    ) != STATUS_OF_BODY.get(status):
        wrong.append(f"{parsed['status']} is not a body of {status}")
    if "examples" in content and isinstance(parsed, dict) and parsed.get("code") not in content["examples"]:
        wrong.append(f"{parsed.get('code')} is not an error of {known['operationId']}")
    return wrong
