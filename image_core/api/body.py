"""What is checked of every request body before it is parsed."""

from image_core.api.http import Request
from image_core.errors import LengthRequired, RequestTooLarge, UnsupportedMediaType

JSON_TYPES = {"", "application/json", "text/plain"}
"""`fetch` with a string sends `text/plain`; the origin policy, not the content type, keeps other sites out."""
SHOWN_CHARACTERS = 40


def check_body(request: Request, max_bytes: int) -> None:
    """Raise LengthRequired, UnsupportedMediaType or RequestTooLarge for a body that cannot be read."""
    # The host reads a body only where Content-Length is greater than 0. One that was sent in chunks arrives empty, and
    # the header is all that tells it from a request without a body.
    if not request.body and request.headers.get("transfer-encoding"):
        raise LengthRequired
    encodings = (encoding.strip() for encoding in request.headers.get("content-encoding", "").split(","))
    for encoding in encodings:
        if encoding.lower() not in {"", "identity"}:
            raise UnsupportedMediaType(f"Content-Encoding {encoding[:SHOWN_CHARACTERS]!r}: send the body unpacked")
    if len(request.body) > max_bytes:
        raise RequestTooLarge(f"The limit is {max_bytes} bytes")


def check_json_type(request: Request) -> None:
    """Raise UnsupportedMediaType where `Content-Type` says that the body is something else than JSON."""
    media_type = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if media_type not in JSON_TYPES and not media_type.endswith("+json"):
        raise UnsupportedMediaType("Send the request as application/json")
