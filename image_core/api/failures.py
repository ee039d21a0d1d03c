"""From an error to its answer."""

from image_core.api.http import Response, json_response
from image_core.errors import ImageError, MethodNotAllowed


def error_response(error: ImageError) -> Response:
    """The answer for an error."""
    from image_core.api.wire.errors import ErrorBody  # noqa: PLC0415 - a health check does without pydantic

    headers = {}
    if error.retry_after is not None:
        headers["Retry-After"] = str(error.retry_after)
    if isinstance(error, MethodNotAllowed):
        headers["Allow"] = ", ".join(error.allowed)
    return json_response(error.status, ErrorBody.of(error).to_wire(), headers)
