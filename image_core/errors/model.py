"""Why a model made no picture."""

from typing import Any

from image_core.errors.base import ImageError
from image_core.models.generated import Attempt


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
    """The service answered with an error that repeating the same request does not change."""


class AccountRefused(ModelFailed):
    """The service answers nothing to the operator's account: its place, its billing, or a limit set on it."""


class ModelAuthFailed(ModelFailed):
    """The service refused the API key."""

    code = "model_auth_failed"


class RateLimited(ModelError):
    """The quota of every model is used up. `resets_at` (ISO 8601): when the first has some again, where it is one of the day."""

    status = 429
    code = "rate_limited"
    retryable = True
    message = "The model's quota is used up for now"

    def __init__(
        self,
        details: str | None = None,
        *,
        attempts: tuple[Attempt, ...] = (),
        warnings: tuple[str, ...] = (),
        retry_after: int | None = None,
        resets_at: str | None = None,
    ) -> None:
        super().__init__(details, attempts=attempts, warnings=warnings, retry_after=retry_after)
        self.resets_at = resets_at

    def fields(self) -> dict[str, Any]:
        return {} if self.resets_at is None else {"resetsAt": self.resets_at}


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
