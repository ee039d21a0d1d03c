"""What is wrong with us, or with what we depend on."""

from image_core.errors.base import ImageError


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


class ContainerMissing(StorageUnavailable):
    """A database or container that the settings name does not exist."""


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


class BlobMissing(Exception):
    """Not for callers: there is no blob of that name."""


class BlobTooLarge(Exception):
    """Not for callers: the blob is longer than its reader takes."""
