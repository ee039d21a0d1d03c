"""From an error to its answer."""

from image_core.api.http import Response, json_response
from image_core.errors import ImageError, MethodNotAllowed


def error_response(error: ImageError) -> Response:
    """The answer for an error."""
    headers = {}
    if error.retry_after is not None:
        headers["Retry-After"] = str(error.retry_after)
    if isinstance(error, MethodNotAllowed):
        headers["Allow"] = ", ".join(error.allowed)
    return json_response(error.status, error.body(), headers)
