"""One example of each error, and when the API answers with it."""

from dataclasses import dataclass
from typing import Any

from image_core import errors
from image_core.api.wire.errors import ErrorBody
from image_core.errors import STATUS_BY_CODE, ImageError

GENERATION = "gen-1767225600000-4f1c2a9be07d3358"


@dataclass(frozen=True, slots=True)
class Sample:
    """An error as a caller receives it. `when` says when, in CommonMark."""

    error: ImageError
    when: str

    @property
    def body(self) -> dict[str, Any]:
        """The body of the answer."""
        return ErrorBody.of(self.error).to_wire()


def _of_generation(error: ImageError) -> ImageError:
    error.record_id = GENERATION
    return error


_SAMPLES = (
    Sample(errors.InvalidJson("The body must be one JSON object in UTF-8"), "The body is not JSON."),
    Sample(
        errors.InvalidRequest("Input should be '1K', '2K' or '4K'", field="imageSize"),
        "A part of the request is not valid; `field` names it.",
    ),
    Sample(errors.NoImages(field="images"), "`images` is missing, null or empty."),
    Sample(errors.NoPrompt(field="prompt"), "`prompt` is missing, null or blank."),
    Sample(errors.NoFile(field="file"), "The form has no field `file`."),
    Sample(
        errors.InvalidImage(0, "The file is truncated"),
        "An input cannot be read; `imageIndex` is its position, from 0.",
    ),
    Sample(
        errors.ImageFetchFailed(1, "It answered with the status 404"),
        "An address answered with an error, took too long, or cannot be reached.",
    ),
    Sample(
        errors.UrlNotAllowed(1, "Private addresses are not fetched"),
        "The address leads to a network or an image that the caller must not reach.",
    ),
    Sample(errors.Unauthorized("no_session_cookie"), "There is no session, or none that verifies."),
    Sample(errors.CrossSite(), "Another site's page tries to write."),
    Sample(errors.NotFound(), "There is nothing with this name, or it is another user's."),
    Sample(
        errors.MethodNotAllowed(("GET", "DELETE")), "The route has no such method; `Allow` lists those that it has."
    ),
    Sample(errors.LengthRequired(), "The body was sent in chunks, without `Content-Length`."),
    Sample(errors.RequestTooLarge("The limit is 30000000 bytes"), "The request is longer than the limit."),
    Sample(
        errors.ImageTooLarge(0, "The limit is 20000000 bytes"),
        "An input has more bytes or pixels than the limit, which is in `details`.",
    ),
    Sample(
        errors.ImagesTooLarge("together they have 120,000,000 bytes in a request to the model, which takes 99,500,000"),
        "All images together are more than a model takes in one call, even where they are made smaller.",
    ),
    Sample(
        errors.UnsupportedMediaType("Send the request as application/json"),
        "The request is of another content type or compressed (`Content-Encoding`), or an input is of a type that the "
        "model does not take and that is not converted.",
    ),
    Sample(
        _of_generation(errors.Canceled({"inputTokens": 1300, "outputTokens": 240, "costUsd": 0.0055})),
        "The caller canceled the generation; `usage` is what the model's service counted for it, null where nothing is "
        "known. The same `Idempotency-Key` runs it again.",
    ),
    Sample(
        errors.Conflict("It is still running"),
        "`from` names a generation of the caller that has no image (yet).",
    ),
    Sample(errors.IdempotencyMismatch(), "The `Idempotency-Key` was used with a different request."),
    Sample(
        errors.TooManyGenerations("10 of yours are running; wait until one is finished", retry_after=10),
        "The caller runs as many generations as a user may.",
    ),
    Sample(
        errors.BudgetExceeded(
            "Your budget of 2 US dollars a day is used up; it begins again at 2026-01-02T00:00:00.000Z",
            retry_after=3600,
            numbers={
                "dailyUsd": 2.0,
                "spentUsd": 1.76,
                "runningUsd": 0.134,
                "resetsAt": "2026-01-02T00:00:00.000Z",
            },
        ),
        "The budget of a day or month is used up: the caller's, or that of all users.",
    ),
    Sample(_of_generation(errors.RateLimited(retry_after=30)), "The model's quota is used up for now."),
    Sample(
        _of_generation(errors.NoImage(text="Here is what I would paint: …", finish_reason="STOP")),
        "The model answered without an image; `text` is its answer.",
    ),
    Sample(
        _of_generation(errors.Refused("Change the prompt or the images", text=None, finish_reason="IMAGE_SAFETY")),
        "The model would refuse the same request again.",
    ),
    Sample(
        _of_generation(errors.ModelFailed("The service answered with the status 400")), "The model's service failed."
    ),
    Sample(_of_generation(errors.ModelAuthFailed()), "The model's service refused the API key."),
    Sample(
        _of_generation(errors.Interrupted()),
        "The process that ran the generation ended, and so did those that resumed it.",
    ),
    Sample(errors.GeminiKeyMissing(), "The service has no key for the model."),
    Sample(errors.Misconfigured(), "The service has no usable secret or settings."),
    Sample(errors.Internal(), "An unexpected failure."),
    Sample(_of_generation(errors.ModelUnavailable(retry_after=10)), "The model is overloaded or does not answer."),
    Sample(errors.StorageUnavailable(), "Blob Storage or Cosmos DB does not answer."),
    Sample(errors.SessionUnavailable(), "The front end does not answer whether the session is valid."),
    Sample(errors.Busy(), "The service has no memory for the request now."),
    Sample(_of_generation(errors.DeadlineExceeded()), "The generation took longer than its deadline."),
)

SAMPLES: dict[str, Sample] = {sample.error.code: sample for sample in _SAMPLES}
"""The samples by code, in the order of the documentation."""

UPLOAD_FAILED = Sample(errors.UploadFailed(), "An unexpected failure.")
"""The error `internal` of an upload."""

EVERY_CODE: tuple[str, ...] = tuple(sorted(SAMPLES, key=lambda code: STATUS_BY_CODE[code]))
"""All codes, sorted by status."""
