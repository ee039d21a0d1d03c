"""The base class of response models, and the types of their fields."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer
from pydantic.alias_generators import to_camel
from pydantic.json_schema import SkipJsonSchema

from image_core.clock import iso

Absent = SkipJsonSchema[None]
"""The type None of a field that is omitted from the answer if it has no value, and is never null. Declare the field
with `absent`."""

Time = Annotated[datetime, PlainSerializer(iso, return_type=str)]
"""ISO 8601 with milliseconds, in UTC."""


def absent(description: str | None = None, **schema: Any) -> Any:
    """Return the definition of a field that is omitted if it is None. `schema` is added to its JSON schema."""
    return Field(None, description=description, exclude_if=_is_none, json_schema_extra=schema or None)


def _is_none(value: object) -> bool:
    return value is None


def as_published(schema: dict[str, Any]) -> None:
    """Remove from a model's JSON schema the titles that repeat names, and the defaults that are null."""
    for name, field in schema.get("properties", {}).items():
        field.pop("title", None)
        if field.get("default", ...) in (None, "", []):
            del field["default"]
        if field.pop("x-required", False):
            schema.setdefault("required", []).append(name)


class Wire(BaseModel):
    """The body of a response, or a part of one. Its fields are sent in the order of the class."""

    model_config = ConfigDict(
        alias_generator=to_camel, validate_by_name=True, validate_by_alias=True, json_schema_extra=as_published
    )

    def to_wire(self) -> dict[str, Any]:
        """Return the JSON object: the fields that were set, under their names on the wire."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True)
