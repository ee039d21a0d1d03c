"""What several operations share: parameters, headers, ways to write an answer."""

from dataclasses import dataclass
from typing import Any

from openapi_pydantic.util import PydanticSchema
from pydantic import BaseModel

Part = dict[str, Any]
"""A piece of the document, in OpenAPI's own words."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One route. `codes` are the errors beside those that every route of its kind has (`build.codes_of`)."""

    name: str
    tag: str
    summary: str
    description: str
    answers: dict[str, Part]
    codes: tuple[str, ...] = ()
    parameters: tuple[Part, ...] = ()
    body: Part | None = None


def schema(model: type[BaseModel]) -> PydanticSchema[BaseModel]:
    """A reference to `model`, which is then among the document's schemas."""
    return PydanticSchema(schema_class=model)  # type: ignore[call-arg] # `enum` has a default that mypy does not see


def json_answer(
    description: str,
    model: type[BaseModel],
    example: Any,
    headers: dict[str, Part] | None = None,
    links: dict[str, Part] | None = None,
) -> Part:
    """An answer with a body of JSON."""
    content = {"application/json": {"schema": schema(model), "example": example}}
    answer: Part = {"description": description, "content": content}
    return answer | ({"headers": headers} if headers else {}) | ({"links": links} if links else {})


def header(description: str, kind: Part, *, required: bool = False) -> Part:
    return {"description": description, "required": required, "schema": kind}


def parameter(
    where: str, name: str, description: str, kind: Part, *, required: bool = False, example: Any = None
) -> Part:
    """A parameter; `where` is `query`, `header` or `path`."""
    made = {"name": name, "in": where, "description": description, "required": required, "schema": kind}
    return made if example is None else {**made, "example": example}


SECONDS: Part = {"type": "integer", "minimum": 0}
WORD: Part = {"type": "string"}

RETRY_AFTER = header("Seconds after which to try again.", SECONDS)
PREFERENCE_APPLIED = header("The part of `Prefer` that was honoured.", WORD)

RECORD_ID = parameter(
    "path", "id", "A generation's `id`.", {"type": "string", "minLength": 1, "maxLength": 255}, required=True
)
PREFER = (
    "RFC 7240. `wait=N`: an answer within N seconds. What makes no sense is ignored, and more than the service allows is "
    "taken for what it allows."
)

READ_LINK: Part = {
    "operationId": "getGeneration",
    "parameters": {"id": "$response.body#/id"},
    "description": "How it stands.",
}
DELETE_LINK: Part = {
    "operationId": "deleteGeneration",
    "parameters": {"id": "$response.body#/id"},
    "description": "Remove it.",
}
