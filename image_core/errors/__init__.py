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
├── LengthRequired              411
├── RequestTooLarge             413
├── ImagesTooLarge              413
├── UnsupportedMediaType        415
├── Unauthorized                401  the reason is for the log alone
├── CrossSite                   403
├── NotFound, MethodNotAllowed  404, 405
├── Canceled                    409  what was billed; the same key runs again
├── IdempotencyMismatch         422
├── TooManyGenerations          429
├── BudgetExceeded              429  the numbers, and when there is money again
├── Unavailable                 503  when to come back
│   ├── Busy                    503
│   ├── StorageUnavailable      503
│   │   └── ContainerMissing    503  a database or container that the settings name
│   └── SessionUnavailable      503
├── Misconfigured               500
│   └── GeminiKeyMissing        500
├── UploadFailed                500
├── Internal                    500
└── ModelError                       every attempt that was made
    ├── NoImage                 500  what the model said, finish reason
    │   └── Refused             500
    ├── ModelFailed             500
    │   ├── AccountRefused      500  the operator's account
    │   └── ModelAuthFailed     500
    ├── RateLimited             429  when there is quota again
    ├── ModelUnavailable        503
    ├── DeadlineExceeded        504
    └── Interrupted             500  its process died; a retry runs it again

The messages of 401, NoImages, NoPrompt, GeminiKeyMissing, NoImage and "Failed to generate image" are fixed: existing
front ends compare them.
"""

from image_core.errors.base import (
    ImageError,
)
from image_core.errors.inputs import (
    ImageFetchFailed,
    ImageTooLarge,
    InputError,
    InvalidImage,
    UnsupportedImage,
    UrlNotAllowed,
)
from image_core.errors.model import (
    AccountRefused,
    DeadlineExceeded,
    Interrupted,
    ModelAuthFailed,
    ModelError,
    ModelFailed,
    ModelUnavailable,
    NoImage,
    RateLimited,
    Refused,
)
from image_core.errors.request import (
    BudgetExceeded,
    Canceled,
    CrossSite,
    IdempotencyMismatch,
    ImagesTooLarge,
    InvalidJson,
    InvalidRequest,
    LengthRequired,
    MethodNotAllowed,
    NoFile,
    NoImages,
    NoPrompt,
    NotFound,
    RequestTooLarge,
    TooManyGenerations,
    Unauthorized,
    UnsupportedMediaType,
)
from image_core.errors.service import (
    BlobMissing,
    BlobTooLarge,
    Busy,
    ContainerMissing,
    GeminiKeyMissing,
    Internal,
    Misconfigured,
    SessionUnavailable,
    StorageUnavailable,
    Unavailable,
    UploadFailed,
)

__all__ = [
    "STATUS_BY_CODE",
    "AccountRefused",
    "BlobMissing",
    "BlobTooLarge",
    "BudgetExceeded",
    "Busy",
    "Canceled",
    "ContainerMissing",
    "CrossSite",
    "DeadlineExceeded",
    "GeminiKeyMissing",
    "IdempotencyMismatch",
    "ImageError",
    "ImageFetchFailed",
    "ImageTooLarge",
    "ImagesTooLarge",
    "InputError",
    "Internal",
    "Interrupted",
    "InvalidImage",
    "InvalidJson",
    "InvalidRequest",
    "LengthRequired",
    "MethodNotAllowed",
    "Misconfigured",
    "ModelAuthFailed",
    "ModelError",
    "ModelFailed",
    "ModelUnavailable",
    "NoFile",
    "NoImage",
    "NoImages",
    "NoPrompt",
    "NotFound",
    "RateLimited",
    "Refused",
    "RequestTooLarge",
    "SessionUnavailable",
    "StorageUnavailable",
    "TooManyGenerations",
    "Unauthorized",
    "Unavailable",
    "UnsupportedImage",
    "UnsupportedMediaType",
    "UploadFailed",
    "UrlNotAllowed",
]


def _status_by_code(kind: type[ImageError]) -> dict[str, int]:
    known = {kind.code: kind.status}
    for child in kind.__subclasses__():
        known |= _status_by_code(child)
    return known


STATUS_BY_CODE: dict[str, int] = _status_by_code(ImageError)
"""The status of each code, for an error that was kept in a record and is answered again."""
