"""What is wrong with a request, or with who sends it."""

from typing import Any

from image_core.errors.base import ImageError


class InvalidRequest(ImageError):
    """The request is wrong in itself. `field` names the part, in the wire's words (`images[2]`)."""

    status = 400
    code = "invalid_request"
    message = "The request is not valid"

    def __init__(self, details: str | None = None, *, field: str | None = None, message: str | None = None) -> None:
        super().__init__(details, message=message)
        self.field = field

    def fields(self) -> dict[str, Any]:
        return {} if self.field is None else {"field": self.field}


class InvalidJson(InvalidRequest):
    code = "invalid_json"
    message = "The request body is not valid JSON"


class NoImages(InvalidRequest):
    code = "no_images"
    message = "No images provided"


class NoPrompt(InvalidRequest):
    code = "no_prompt"
    message = "No prompt provided"


class NoFile(InvalidRequest):
    code = "no_file"
    message = "No file provided"


class LengthRequired(ImageError):
    """The body was sent in chunks, without `Content-Length`: the platform delivers such a body empty."""

    status = 411
    code = "length_required"
    message = "Send the body with a Content-Length"


class RequestTooLarge(ImageError):
    status = 413
    code = "request_too_large"
    message = "The request is too large"


class ImagesTooLarge(ImageError):
    """All images together are more than a model takes in one call."""

    status = 413
    code = "images_too_large"
    message = "The images are too large together"


class UnsupportedMediaType(ImageError):
    status = 415
    code = "unsupported_media_type"
    message = "The content type is not supported"


class Unauthorized(ImageError):
    """No session, or one that does not verify. `reason` is a code for the log; the caller never learns it."""

    status = 401
    code = "unauthorized"
    message = "Unauthorized"

    def __init__(self, reason: str) -> None:
        super().__init__()
        self.reason = reason


class CrossSite(ImageError):
    status = 403
    code = "cross_site"
    message = "Requests from another site are not accepted"


class NotFound(ImageError):
    status = 404
    code = "not_found"
    message = "Not found"


class MethodNotAllowed(ImageError):
    """`allowed` goes into the `Allow` header."""

    status = 405
    code = "method_not_allowed"
    message = "Method not allowed"

    def __init__(self, allowed: tuple[str, ...]) -> None:
        super().__init__(f"Use {', '.join(allowed)}")
        self.allowed = allowed


class IdempotencyMismatch(ImageError):
    status = 422
    code = "idempotency_mismatch"
    message = "This Idempotency-Key was used with a different request"


class Canceled(ImageError):
    """Its caller has canceled the generation. `usage` is what the service counted for it, as far as that is known."""

    status = 409
    code = "canceled"
    retryable = True
    message = "The generation was canceled"

    def __init__(self, usage: dict[str, Any] | None = None) -> None:
        super().__init__()
        self.usage = usage

    def fields(self) -> dict[str, Any]:
        return {"usage": self.usage}


class TooManyGenerations(ImageError):
    status = 429
    code = "too_many_generations"
    retryable = True
    message = "Too many generations are running"


class BudgetExceeded(ImageError):
    """A day's money is used up. `numbers` says how much that is, and when there is some again."""

    status = 429
    code = "budget_exceeded"
    retryable = True
    message = "The budget is used up"

    def __init__(self, details: str, *, retry_after: int, numbers: dict[str, Any]) -> None:
        super().__init__(details, retry_after=retry_after)
        self.numbers = numbers

    def fields(self) -> dict[str, Any]:
        return self.numbers
