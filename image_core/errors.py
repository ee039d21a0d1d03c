"""Errors that a caller can see: each knows its status, its code, and whether the same request can succeed later.

ImageError
├── InvalidRequest              400  which field
│   ├── InvalidJson             400
│   ├── NoImages, NoPrompt      400
│   └── NoFile                  400
├── InputError                       which image, from 0
│   ├── InvalidImage            400
│   ├── ImageFetchFailed        400
│   ├── UrlNotAllowed           400
│   ├── ImageTooLarge           413
│   └── UnsupportedImage        415
├── RequestTooLarge             413
├── UnsupportedMediaType        415
├── Unauthorized                401  the reason is for the log alone
├── CrossSite                   403
├── NotFound, MethodNotAllowed  404, 405
├── IdempotencyMismatch         422
├── TooManyGenerations          429
├── Unavailable                 503  when to come back
│   ├── Busy                    503
│   ├── StorageUnavailable      503
│   └── SessionUnavailable      503
├── Misconfigured               500
│   └── GeminiKeyMissing        500
├── UploadFailed                500
├── Internal                    500
└── ModelError                       every attempt that was made
    ├── NoImage                 500  what the model said, finish reason
    │   └── Refused             500
    ├── ModelFailed             500
    │   └── ModelAuthFailed     500
    ├── RateLimited             429
    ├── ModelUnavailable        503
    ├── DeadlineExceeded        504
    └── Interrupted             500  its process died; a retry runs it again

The messages of 401, NoImages, NoPrompt, GeminiKeyMissing, NoImage and "Failed to generate image" are fixed: existing
front ends compare them.
"""

from typing import Any, ClassVar

from image_core.generated import Attempt


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


class InputError(ImageError):
    """One of the images cannot be used. `index` is its place in `images`, from 0."""

    status = 400
    sentence: ClassVar[str] = "cannot be used"

    def __init__(self, index: int, details: str | None = None) -> None:
        super().__init__(details, message=f"Image {index + 1} {self.sentence}")
        self.index = index

    def fields(self) -> dict[str, Any]:
        return {"imageIndex": self.index}


class InvalidImage(InputError):
    code = "invalid_image"
    sentence = "is not an image that can be read"


class ImageFetchFailed(InputError):
    code = "image_fetch_failed"
    sentence = "could not be fetched"


class UrlNotAllowed(InputError):
    code = "url_not_allowed"
    sentence = "has an address that is not allowed"


class ImageTooLarge(InputError):
    """Over the byte or pixel limit; `details` has the limit."""

    status = 413
    code = "image_too_large"
    sentence = "is too large"


class UnsupportedImage(InputError):
    """A kind that the model does not take and that we do not convert."""

    status = 415
    code = "unsupported_media_type"
    sentence = "is of a kind that is not supported"


class RequestTooLarge(ImageError):
    status = 413
    code = "request_too_large"
    message = "The request is too large"


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


class TooManyGenerations(ImageError):
    status = 429
    code = "too_many_generations"
    retryable = True
    message = "Too many generations are running"


class Unavailable(ImageError):
    """A part of the service cannot answer now."""

    status = 503
    code = "busy"
    retryable = True
    message = "The service is busy, try again shortly"

    def __init__(self, details: str | None = None, *, retry_after: int = 5) -> None:
        super().__init__(details, retry_after=retry_after)


class Busy(Unavailable):
    """This process holds as many bytes as it may."""


class StorageUnavailable(Unavailable):
    code = "storage_unavailable"
    message = "The storage is not available, try again shortly"


class SessionUnavailable(Unavailable):
    code = "session_unavailable"
    message = "The session cannot be checked now, try again shortly"


class Misconfigured(ImageError):
    """A setting is missing or unusable. `reason` is for the log alone."""

    code = "misconfigured"
    message = "The service is not configured"

    def __init__(self, reason: str = "") -> None:
        super().__init__()
        self.reason = reason


class GeminiKeyMissing(Misconfigured):
    code = "gemini_key_missing"
    message = "GEMINI_API_KEY not configured. Please add GEMINI_API_KEY to your .env.local file"


class UploadFailed(ImageError):
    retryable = True
    message = "Failed to upload file"


class Internal(ImageError):
    """Anything unexpected."""

    retryable = True


class ModelError(ImageError):
    """The model made no picture. Carries every attempt, for the record and the ledger."""

    code = "model_error"

    def __init__(
        self,
        details: str | None = None,
        *,
        attempts: tuple[Attempt, ...] = (),
        warnings: tuple[str, ...] = (),
        retry_after: int | None = None,
    ) -> None:
        super().__init__(details, retry_after=retry_after)
        self.attempts = attempts
        self.warnings = warnings


class NoImage(ModelError):
    """The model answered without a picture. `text` is what it said; `finish_reason` as the service names it."""

    code = "no_image"
    retryable = True
    message = "No image was generated"

    def __init__(
        self,
        details: str | None = None,
        *,
        text: str | None = None,
        finish_reason: str | None = None,
        attempts: tuple[Attempt, ...] = (),
        warnings: tuple[str, ...] = (),
    ) -> None:
        super().__init__(details, attempts=attempts, warnings=warnings)
        self.text = text
        self.finish_reason = finish_reason

    def fields(self) -> dict[str, Any]:
        return {"text": self.text, "finishReason": self.finish_reason}


class Refused(NoImage):
    """The model would refuse the same request again."""

    code = "refused"
    retryable = False


class ModelFailed(ModelError):
    """The service answered with an error that a retry of the same request does not mend."""


class ModelAuthFailed(ModelFailed):
    """The service refused the API key."""

    code = "model_auth_failed"


class RateLimited(ModelError):
    status = 429
    code = "rate_limited"
    retryable = True
    message = "The model's quota is used up for now"


class ModelUnavailable(ModelError):
    status = 503
    code = "model_unavailable"
    retryable = True
    message = "The model is overloaded, try again shortly"


class DeadlineExceeded(ModelError):
    status = 504
    code = "deadline_exceeded"
    retryable = True
    message = "The generation took too long"


class Interrupted(ModelError):
    """The process that made the call died, and so did its recoveries."""

    code = "interrupted"
    retryable = True


class BlobMissing(Exception):
    """Not for callers: there is no blob of that name."""


class BlobTooLarge(Exception):
    """Not for callers: the blob is longer than its reader takes."""


def _status_by_code(kind: type[ImageError]) -> dict[str, int]:
    known = {kind.code: kind.status}
    for child in kind.__subclasses__():
        known |= _status_by_code(child)
    return known


STATUS_BY_CODE: dict[str, int] = _status_by_code(ImageError)
"""The status of each code, for an error that was kept in a record and is answered again."""
