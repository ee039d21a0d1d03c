"""Errors that a caller can receive: their status, their code, and whether the same request can succeed later.

ImageError                           abstract
├── InvalidRequest              400  which field
│   ├── InvalidJson             400
│   ├── NoImages, NoPrompt      400
│   └── NoFile                  400
├── InputError                       abstract: which image, counted from 0, or the mask
│   ├── InvalidImage            400
│   ├── ImageFetchFailed        400
│   ├── UrlNotAllowed           400
│   ├── ImageTooLarge           413
│   └── UnsupportedImage        415
├── LengthRequired              411
├── RequestTooLarge             413
├── ImagesTooLarge              413
├── UnsupportedMediaType        415
├── Unauthorized                401  the reason is for the log alone
├── CrossSite                   403
├── NotFound, MethodNotAllowed  404, 405
├── Conflict                    409  `from` names a generation without an image
├── Canceled                    409  what was billed; the same key runs again
├── IdempotencyMismatch         422
├── TooManyGenerations          429
├── BudgetExceeded              429  the amounts, and when there is money again
├── Unavailable                      abstract: when to come back
│   ├── Busy                    503
│   ├── StorageUnavailable      503
│   │   └── ContainerMissing    503  a database or container that the settings name
│   └── SessionUnavailable      503
├── Misconfigured               500  the reason is for the log alone
│   └── GeminiKeyMissing        500
├── UploadFailed                500
├── Internal                    500
└── ModelError                       abstract: the warnings of the calls that were made
    ├── NoImage                 500  the model's text, finish reason
    │   └── Refused             500
    ├── ModelFailed             500
    │   ├── AccountRefused      500  the operator's account
    │   └── ModelAuthFailed     500
    ├── RateLimited             429  when there is quota again
    ├── ModelUnavailable        503
    ├── DeadlineExceeded        504
    └── Interrupted             500  its process died; a retry runs it again

The messages of Unauthorized, NoImages, NoPrompt, GeminiKeyMissing, NoImage and "Failed to generate image" are fixed:
existing front ends compare them.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar

from image_core.clock import iso

FAILED_TO_GENERATE = "Failed to generate image"


class ImageError(Exception):
    """The root of the tree; abstract. The caller receives `details`: no secret, stack or signed URL is in it."""

    status: ClassVar[int]
    code: ClassVar[str]
    retryable: ClassVar[bool] = False
    message: ClassVar[str]

    def __init__(
        self, details: str | None = None, *, message: str | None = None, retry_after: int | None = None
    ) -> None:
        self.text_for_people = message or self.message
        super().__init__(self.text_for_people if details is None else f"{self.text_for_people}: {details}")
        self.details = details
        self.retry_after = retry_after
        """Seconds, for the `Retry-After` header."""
        self.record_id: str | None = None
        """The id of the generation that failed, where it has a record."""

    def fields(self) -> dict[str, Any]:
        """Return the fields that this kind of error adds to the body."""
        return {}

    def body(self) -> dict[str, Any]:
        """Return the JSON body of the response, which is also what the record keeps."""
        wire: dict[str, Any] = {"error": self.text_for_people, "code": self.code, "retryable": self.retryable}
        if self.details is not None:
            wire["details"] = self.details
        wire |= self.fields()
        return wire if self.record_id is None else wire | {"id": self.record_id}


# A request that is wrong, or its sender.


class InvalidRequest(ImageError):
    """A part of the request is wrong. `field` names the part as in the request's JSON (`images[2]`)."""

    status = 400
    code = "invalid_request"
    message = "The request is not valid"

    def __init__(self, details: str | None = None, *, field: str | None = None, message: str | None = None) -> None:
        super().__init__(details, message=message)
        self.field = field

    def fields(self) -> dict[str, Any]:
        """Return the name of the wrong part."""
        return {} if self.field is None else {"field": self.field}


class InvalidJson(InvalidRequest):
    """The body is not JSON, or exceeds a limit of its parser."""

    code = "invalid_json"
    message = "The request body is not valid JSON"


class NoImages(InvalidRequest):
    """`images` is missing or empty."""

    code = "no_images"
    message = "No images provided"


class NoPrompt(InvalidRequest):
    """`prompt` is missing or blank."""

    code = "no_prompt"
    message = "No prompt provided"


class NoFile(InvalidRequest):
    """An upload form has no file."""

    code = "no_file"
    message = "No file provided"


class LengthRequired(ImageError):
    """The body was sent in chunks, without `Content-Length`: the platform delivers such a body empty."""

    status = 411
    code = "length_required"
    message = "Send the body with a Content-Length"


class RequestTooLarge(ImageError):
    """The body is longer than `MAX_REQUEST_BYTES`."""

    status = 413
    code = "request_too_large"
    message = "The request is too large"


class ImagesTooLarge(ImageError):
    """All images together are more than a model takes in one call."""

    status = 413
    code = "images_too_large"
    message = "The images are too large together"


class UnsupportedMediaType(ImageError):
    """The body's `Content-Type` is not one that the route takes."""

    status = 415
    code = "unsupported_media_type"
    message = "The content type is not supported"


class Unauthorized(ImageError):
    """There is no session, or it does not verify. `reason` is a code for the log; the caller does not receive it."""

    status = 401
    code = "unauthorized"
    message = "Unauthorized"

    def __init__(self, reason: str) -> None:
        super().__init__()
        self.reason = reason


class CrossSite(ImageError):
    """A write was sent by a page of an origin that is not allowed."""

    status = 403
    code = "cross_site"
    message = "Requests from another site are not accepted"


class NotFound(ImageError):
    """There is no such route, generation or image, or it is another user's. `field` is set where a request names it."""

    status = 404
    code = "not_found"
    message = "Not found"

    def __init__(self, details: str | None = None, *, field: str | None = None) -> None:
        super().__init__(details)
        self.field = field

    def fields(self) -> dict[str, Any]:
        """Return the name of the wrong part."""
        return {} if self.field is None else {"field": self.field}


class Conflict(ImageError):
    """The generation that `from` names has no image that could be edited."""

    status = 409
    code = "conflict"
    message = "The earlier generation has no image"

    def fields(self) -> dict[str, Any]:
        """Return the name of the wrong part."""
        return {"field": "from"}


class MethodNotAllowed(ImageError):
    """The route does not take this method. `allowed` goes into the `Allow` header."""

    status = 405
    code = "method_not_allowed"
    message = "Method not allowed"

    def __init__(self, allowed: tuple[str, ...]) -> None:
        super().__init__(f"Use {', '.join(allowed)}")
        self.allowed = allowed


class IdempotencyMismatch(ImageError):
    """The key belongs to a request with other content."""

    status = 422
    code = "idempotency_mismatch"
    message = "This Idempotency-Key was used with a different request"


class Canceled(ImageError):
    """The caller canceled the generation. `usage` is what the service counted for it, as far as that is known."""

    status = 409
    code = "canceled"
    retryable = True
    message = "The generation was canceled"

    def __init__(self, usage: dict[str, Any] | None = None) -> None:
        super().__init__()
        self.usage = usage

    def fields(self) -> dict[str, Any]:
        """Return the usage."""
        return {"usage": self.usage}


class TooManyGenerations(ImageError):
    """The user runs as many generations as a user may."""

    status = 429
    code = "too_many_generations"
    retryable = True
    message = "Too many generations are running"


class BudgetExceeded(ImageError):
    """The budget of a day or month is used up. `numbers`: the amounts, and when there is money again."""

    status = 429
    code = "budget_exceeded"
    retryable = True
    message = "The budget is used up"

    def __init__(self, details: str, *, retry_after: int, numbers: dict[str, Any]) -> None:
        super().__init__(details, retry_after=retry_after)
        self.numbers = numbers

    def fields(self) -> dict[str, Any]:
        """Return the amounts."""
        return self.numbers


# One of the images.


class InputError(ImageError):
    """One of the images cannot be used; abstract. `index` is its position in `images`, from 0; None for the mask."""

    sentence: ClassVar[str]
    """Completes "Image 1 …"."""

    def __init__(self, index: int | None, details: str | None = None) -> None:
        message = "The mask cannot be used" if index is None else f"Image {index + 1} {self.sentence}"
        super().__init__(details, message=message)
        self.index = index

    def fields(self) -> dict[str, Any]:
        """Return the position of the image, or the name of the mask's field."""
        return {"field": "mask"} if self.index is None else {"imageIndex": self.index}


class InvalidImage(InputError):
    """It is not an image, or a damaged one."""

    status = 400
    code = "invalid_image"
    sentence = "is not an image that can be read"


class ImageFetchFailed(InputError):
    """The server at its address did not answer with an image."""

    status = 400
    code = "image_fetch_failed"
    sentence = "could not be fetched"


class UrlNotAllowed(InputError):
    """Its address leads to a network or an image that the caller must not reach."""

    status = 400
    code = "url_not_allowed"
    sentence = "has an address that is not allowed"


class ImageTooLarge(InputError):
    """It exceeds the limit of bytes or pixels; `details` has the limit."""

    status = 413
    code = "image_too_large"
    sentence = "is too large"


class UnsupportedImage(InputError):
    """It is of a type that models do not take and that is not converted."""

    status = 415
    code = "unsupported_media_type"
    sentence = "is of a kind that is not supported"


# The model.


class ModelError(ImageError):
    """The models made no image; abstract. `warnings` are those of all calls."""

    def __init__(
        self, details: str | None = None, *, warnings: tuple[str, ...] = (), retry_after: int | None = None
    ) -> None:
        super().__init__(details, retry_after=retry_after)
        self.warnings = warnings


class NoImage(ModelError):
    """The model answered without an image. `text` is the answer's text; `finish_reason` as the service names it."""

    status = 500
    code = "no_image"
    retryable = True
    message = "No image was generated"

    def __init__(
        self,
        details: str | None = None,
        *,
        text: str | None = None,
        finish_reason: str | None = None,
        warnings: tuple[str, ...] = (),
    ) -> None:
        super().__init__(details, warnings=warnings)
        self.text = text
        self.finish_reason = finish_reason

    def fields(self) -> dict[str, Any]:
        """Return the model's text and the finish reason."""
        return {"text": self.text, "finishReason": self.finish_reason}


class Refused(NoImage):
    """The model would refuse the same request again."""

    code = "refused"
    retryable = False


class ModelFailed(ModelError):
    """The service answered with an error that repeating the same request does not change."""

    status = 500
    code = "model_error"
    message = FAILED_TO_GENERATE


class AccountRefused(ModelFailed):
    """The service serves the operator's account nothing: its region, its billing, or a limit set on it."""


class ModelAuthFailed(ModelFailed):
    """The service refused the API key."""

    code = "model_auth_failed"


class RateLimited(ModelError):
    """The quota of every model is used up. `resets_at`: when the first has some again, where it is a daily quota."""

    status = 429
    code = "rate_limited"
    retryable = True
    message = "The model's quota is used up for now"

    def __init__(
        self,
        details: str | None = None,
        *,
        warnings: tuple[str, ...] = (),
        retry_after: int | None = None,
        resets_at: datetime | None = None,
    ) -> None:
        super().__init__(details, warnings=warnings, retry_after=retry_after)
        self.resets_at = resets_at

    def fields(self) -> dict[str, Any]:
        """Return the time of the reset."""
        return {} if self.resets_at is None else {"resetsAt": iso(self.resets_at)}


class ModelUnavailable(ModelError):
    """Every model is overloaded or unreachable."""

    status = 503
    code = "model_unavailable"
    retryable = True
    message = "The model is overloaded, try again shortly"


class DeadlineExceeded(ModelError):
    """No model answered before the generation's deadline."""

    status = 504
    code = "deadline_exceeded"
    retryable = True
    message = "The generation took too long"


class Interrupted(ModelError):
    """The process that made the call died, and so did its recoveries."""

    status = 500
    code = "interrupted"
    retryable = True
    message = FAILED_TO_GENERATE


# This service, and the services it depends on.


class Unavailable(ImageError):
    """A part of the service cannot answer now; abstract."""

    status = 503
    retryable = True

    def __init__(self, details: str | None = None, *, retry_after: int = 5) -> None:
        super().__init__(details, retry_after=retry_after)


class Busy(Unavailable):
    """This process has no memory, connection or subprocess left for the request."""

    code = "busy"
    message = "The service is busy, try again shortly"


class StorageUnavailable(Unavailable):
    """Blob Storage or Cosmos DB does not answer."""

    code = "storage_unavailable"
    message = "The storage is not available, try again shortly"


class ContainerMissing(StorageUnavailable):
    """A database or container that the settings name does not exist."""


class SessionUnavailable(Unavailable):
    """The front end that knows the session does not answer."""

    code = "session_unavailable"
    message = "The session cannot be checked now, try again shortly"


class Misconfigured(ImageError):
    """A setting is missing or unusable. `reason` is for the log alone."""

    status = 500
    code = "misconfigured"
    message = "The service is not configured"

    def __init__(self, reason: str = "") -> None:
        super().__init__()
        self.reason = reason


class GeminiKeyMissing(Misconfigured):
    """`GEMINI_API_KEY` is not set."""

    code = "gemini_key_missing"
    message = "GEMINI_API_KEY not configured. Please add GEMINI_API_KEY to your .env.local file"


class UploadFailed(ImageError):
    """An upload failed for a reason that is not the caller's."""

    status = 500
    code = "internal"
    retryable = True
    message = "Failed to upload file"


class Internal(ImageError):
    """An unexpected failure."""

    status = 500
    code = "internal"
    retryable = True
    message = FAILED_TO_GENERATE


# Not for callers.


class BlobMissing(Exception):
    """There is no blob of that name."""


class BlobTooLarge(Exception):
    """The blob is longer than its reader takes."""


def subclasses(kind: type[ImageError]) -> frozenset[type[ImageError]]:
    """Return `kind` and all classes below it that have a code: the abstract ones are left out."""
    own = {kind} if hasattr(kind, "code") else set()
    return frozenset(own.union(*map(subclasses, kind.__subclasses__())))


def _status_by_code() -> Mapping[str, int]:
    statuses: dict[str, int] = {}
    for kind in subclasses(ImageError):
        if statuses.setdefault(kind.code, kind.status) != kind.status:
            raise TypeError(f"the code {kind.code} has two statuses: {statuses[kind.code]} and {kind.status}")
    return statuses


STATUS_BY_CODE: Mapping[str, int] = _status_by_code()
"""The status of each code, for the errors that records keep. All classes are in this module."""
