"""Why a generation has no image, as its record keeps it and callers see it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from image_core.errors import ImageError, Internal

_NAMED = frozenset({"error", "code", "retryable", "details", "retryAfter"})


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
        return cls.from_document({**error.body(), "retryAfter": error.retry_after})

    def body(self) -> dict[str, Any]:
        """Return the error body of the API: the same for the first caller and for each that asks later."""
        body: dict[str, Any] = {"error": self.message, "code": self.code, "retryable": self.retryable}
        if self.details is not None:
            body["details"] = self.details
        return {**body, **self.fields}

    def to_document(self) -> dict[str, Any]:
        """Return the stored form: the body, with `retryAfter` where it is known."""
        return self.body() if self.retry_after is None else {**self.body(), "retryAfter": self.retry_after}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "Failure":
        """Read the stored form."""
        return cls(
            message=document.get("error", Internal.message),
            code=document.get("code", Internal.code),
            retryable=document.get("retryable", False),
            details=document.get("details"),
            retry_after=document.get("retryAfter"),
            fields={name: value for name, value in document.items() if name not in _NAMED},
        )
