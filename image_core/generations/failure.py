"""Why a generation has no image, as its record keeps it and callers see it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from image_core.errors import ImageError


@dataclass(frozen=True, slots=True)
class Failure:
    """An error that has ended a generation.

    `retry_after` is in seconds. `fields` are what this kind of error adds to its body (`ImageError.fields`).
    """

    message: str
    code: str
    retryable: bool
    details: str | None = None
    retry_after: int | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, error: ImageError) -> "Failure":
        """Return what is kept of `error`."""
        return cls(error.text_for_people, error.code, error.retryable, error.details, error.retry_after, error.fields())

    def body(self) -> dict[str, Any]:
        """Return the error body of the API: the same for the first caller and for each that asks later."""
        body: dict[str, Any] = {"error": self.message, "code": self.code, "retryable": self.retryable}
        if self.details is not None:
            body["details"] = self.details
        return {**body, **self.fields}
