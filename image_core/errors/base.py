"""The root of the tree."""

from typing import Any, ClassVar


class ImageError(Exception):
    """The root. `details` is shown to the caller: it never holds a secret, a stack or a signed URL."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal"
    retryable: ClassVar[bool] = False
    message: ClassVar[str] = "Failed to generate image"

    def __init__(
        self, details: str | None = None, *, message: str | None = None, retry_after: int | None = None
    ) -> None:
        self.text_for_people = message or self.message
        super().__init__(self.text_for_people if details is None else f"{self.text_for_people}: {details}")
        self.details = details
        self.retry_after = retry_after
        """Seconds, for the `Retry-After` header."""
        self.record_id: str | None = None
        """Of the generation that it is about, where a record of it exists."""

    def fields(self) -> dict[str, Any]:
        """What this kind of error adds to the body."""
        return {}

    def body(self) -> dict[str, Any]:
        """The body on the wire and in the record."""
        wire: dict[str, Any] = {"error": self.text_for_people, "code": self.code, "retryable": self.retryable}
        if self.details is not None:
            wire["details"] = self.details
        wire |= self.fields()
        return wire if self.record_id is None else wire | {"id": self.record_id}
