"""Parts that several operations share: parameters, headers, answers."""

from dataclasses import dataclass
from typing import Any

from openapi_pydantic.util import PydanticSchema
from pydantic import BaseModel

Part = dict[str, Any]
"""A part of the document, as OpenAPI defines it."""


@dataclass(frozen=True, slots=True)
class Operation:
    """The description of one route. `codes`: its errors, beside those that `document.codes_of` adds."""

    name: str
    tag: str
    summary: str
    description: str
    answers: dict[str, Part]
    codes: tuple[str, ...] = ()
    parameters: tuple[Part, ...] = ()
    body: Part | None = None


def schema(model: type[BaseModel]) -> PydanticSchema[BaseModel]:
    """Return a reference to `model`, which adds it to the document's schemas."""
    return PydanticSchema(schema_class=model)  # type: ignore[call-arg] # `enum` has a default that mypy does not see


def json_answer(
    description: str,
    model: type[BaseModel],
    example: Any,
    headers: dict[str, Part] | None = None,
    links: dict[str, Part] | None = None,
) -> Part:
    """Return an answer with a body of JSON."""
    content = {"application/json": {"schema": schema(model), "example": example}}
    answer: Part = {"description": description, "content": content}
    return answer | ({"headers": headers} if headers else {}) | ({"links": links} if links else {})


def header(description: str, kind: Part, *, required: bool = False) -> Part:
    """Return a header of an answer."""
    return {"description": description, "required": required, "schema": kind}


def parameter(
    where: str, name: str, description: str, kind: Part, *, required: bool = False, example: Any = None
) -> Part:
    """Return a parameter; `where` is `query`, `header` or `path`."""
    made = {"name": name, "in": where, "description": description, "required": required, "schema": kind}
    return made if example is None else {**made, "example": example}


SECONDS: Part = {"type": "integer", "minimum": 0}
WORD: Part = {"type": "string"}

RETRY_AFTER = header("Seconds after which to try again.", SECONDS)
PREFERENCE_APPLIED = header("The part of `Prefer` that was applied.", WORD)

RECORD_ID = parameter(
    "path", "id", "A generation's `id`.", {"type": "string", "minLength": 1, "maxLength": 255}, required=True
)
PREFER = (
    "RFC 7240. `wait=N`: an answer within N seconds, or within the time that the service allows where that is shorter. "
    "Malformed preferences are ignored."
)

READ_LINK: Part = {
    "operationId": "getGeneration",
    "parameters": {"id": "$response.body#/id"},
    "description": "Its state.",
}
DELETE_LINK: Part = {
    "operationId": "deleteGeneration",
    "parameters": {"id": "$response.body#/id"},
    "description": "Remove it.",
}
