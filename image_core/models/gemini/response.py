"""Parse the answer of a Gemini model: the image, the text, the reason why there is no image, and the counted tokens.

The answer's JSON is read leniently: unknown values are accepted (new finish reasons appear without notice), and a field
of an unexpected type counts as absent. A paid image must not be lost because something beside it is unusual.
"""

import io
import struct
import zlib
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import PIL.Image

from image_core.images import metadata, probe
from image_core.images.image import EXTENSIONS, Image
from image_core.models.gemini.turns import model_turn
from image_core.models.generated import Usage
from image_core.models.prices import priced
from image_core.models.provider import Reply

_CHANGE_PROMPT = "The model declined this request. Change the prompt: describe it another way."
_CHANGE_IMAGE = "The model declined the image that it would have made. Change the prompt or the image."
_TRY_AGAIN = "The model made no image this time. Try again, or say in the prompt that you want an image."

SENTENCES: Mapping[str, str] = {
    "SAFETY": _CHANGE_PROMPT,
    "IMAGE_SAFETY": _CHANGE_IMAGE,
    "PROHIBITED_CONTENT": "The request was blocked as prohibited content. Change the prompt or the image.",
    "IMAGE_PROHIBITED_CONTENT": "The image would have been prohibited content. Change the prompt or the image.",
    "BLOCKLIST": "The prompt has words that the service blocks. Change the prompt.",
    "SPII": "The request holds what looks like personal data. Change the prompt or the image.",
    "RECITATION": "The answer would have repeated a protected work. Change the prompt.",
    "IMAGE_RECITATION": "The image would have repeated a protected work. Change the prompt or the image.",
    "LANGUAGE": "The model does not take the prompt's language. Change the prompt.",
    "OTHER": "The service blocked the request without saying why. Change the prompt or the image.",
    "ESCALATION": _CHANGE_PROMPT,
    "MAX_TOKENS": "The model reached its output limit before the image was made. Shorten the prompt.",
    "NO_IMAGE": _TRY_AGAIN,
    "IMAGE_OTHER": _TRY_AGAIN,
    "STOP": _TRY_AGAIN,
}
"""What a person can do about each reason (ai.google.dev/api/generate-content, FinishReason and BlockReason)."""

_REFUSING = ("SAFETY", "PROHIBITED", "RECITATION", "BLOCKLIST", "SPII", "LANGUAGE", "JAILBREAK", "ESCALATION")
"""Parts of the names of reasons that are refusals, known or new: the same request would be refused again."""

_ACCOUNT_LIMITED = "PUP_LIMITED"
"""Part of the names of reasons that say that the operator's account is limited."""

LONGEST_NAME = 64
LONGEST_NUMBER = 12
"""Maximum number of digits of a number of tokens."""
LONGEST_MESSAGE = 2000
"""Maximum length of `finishMessage` and `blockReasonMessage`, in characters."""

OTHER_FORMATS = ("GIF", "BMP", "TIFF", "AVIF")
UNDECODABLE = (OSError, ValueError, SyntaxError, EOFError, LookupError, struct.error, zlib.error)
"""The exceptions of Pillow for an image that it cannot decode."""

Json = dict[str, Any]


def read(
    answer: Json,
    model: str,
    data: Callable[[str | bytes], bytes],
    received: Mapping[str, memoryview] = MappingProxyType({}),
) -> Reply:
    """Return the reply in a `GenerateContentResponse`. `data` decodes a value of its JSON (`Exchange.data`).

    `received`: the strings that were replaced in it, by their placeholders.

    Every byte of the image is checked: call it in a thread for a large one. Drafts are only decoded without a final
    image.
    """
    candidates = [each for each in _list(answer, "candidates") if isinstance(each, dict)]
    # One candidate is requested. Of several, the first with an image is the answer.
    chosen = next((each for each in candidates if _images(_parts(each))), candidates[0] if candidates else {})
    parts = _parts(chosen)
    shown = [part for part in parts if not _is_thought(part)]
    text = _valid_utf8("".join(part["text"] for part in shown if isinstance(part.get("text"), str))) or None
    # If every image is marked as a thought, the last one is the result.
    images = _images(shown) or _images(parts)
    image = _last_image(images, data)
    feedback = _object(answer, "promptFeedback")
    blocked = _name(feedback.get("blockReason"))
    reason = blocked or _name(chosen.get("finishReason"))
    limited = image is None and _ACCOUNT_LIMITED in (reason or "")
    refused = (blocked is not None or any(word in (reason or "") for word in _REFUSING)) and not limited
    return Reply(
        image,
        text,
        reason,
        refused and image is None,
        _usage(_object(answer, "usageMetadata"), model, made=bool(images)),
        message=_message(feedback.get("blockReasonMessage")) or _message(chosen.get("finishMessage")),
        turn=None if image is None else model_turn(_object(chosen, "content"), received),
        account_limited=limited,
        advice=_advice(reason, refused=refused and image is None),
    )


def _advice(reason: str | None, *, refused: bool) -> str:
    """Return what a person can do about an answer without an image."""
    return SENTENCES.get(reason or "") or (_CHANGE_PROMPT if refused else _TRY_AGAIN)


def _object(parent: Json, name: str) -> Json:
    value = parent.get(name)
    return value if isinstance(value, dict) else {}


def _list(parent: Json, name: str) -> list[Any]:
    value = parent.get(name)
    return value if isinstance(value, list) else []


def _parts(candidate: Json) -> list[Json]:
    return [part for part in _list(_object(candidate, "content"), "parts") if isinstance(part, dict)]


def _is_thought(part: Json) -> bool:
    thought = part.get("thought")
    return thought is True or thought == "true"


def _images(parts: list[Json]) -> list[str | bytes]:
    """Return the encoded images of parts, in order; gateways other than Google's write `inline_data` too."""
    found = (_object(part, "inlineData") or _object(part, "inline_data") for part in parts)
    return [inline["data"] for inline in found if isinstance(inline.get("data"), str | bytes) and inline["data"]]


def _last_image(encoded: list[str | bytes], decoded: Callable[[str | bytes], bytes]) -> Image | None:
    """Return the last complete image, whatever its declared type, else the last that can be repaired, else None."""
    damaged: list[Image] = []
    for each in reversed(encoded):
        try:
            found = decoded(each)
        except ValueError:
            continue
        header = probe.read_header(found)
        if header is None or header.mime_type not in EXTENSIONS:
            if (rewritten := _rewritten(found)) is not None:
                return rewritten
            continue
        # Some decoders refuse complete files, for example with a wrong checksum of metadata.
        opening = metadata.repaired(found, header.mime_type)
        if opening is None:
            continue
        image = Image(opening, header.mime_type, header.width, header.height)
        if metadata.whole(found, header.mime_type):
            return image
        damaged.append(image)
    return next(filter(_decodes, damaged), None)


def _rewritten(data: bytes) -> Image | None:
    """Return a PNG of an image of another type, which no model is known to return; None where it is not an image."""
    try:
        with PIL.Image.open(io.BytesIO(data), formats=OTHER_FORMATS) as image:
            out = io.BytesIO()
            image.convert("RGBA" if image.has_transparency_data else "RGB").save(out, "PNG")
            return Image(out.getvalue(), "image/png", image.width, image.height)
    except UNDECODABLE:
        return None


def _decodes(repaired: Image) -> bool:
    try:
        with PIL.Image.open(io.BytesIO(repaired.data)) as image:
            image.load()
    except UNDECODABLE:
        return False
    return True


def _message(value: Any) -> str | None:
    return _valid_utf8(value)[:LONGEST_MESSAGE] or None if isinstance(value, str) else None


def _name(value: Any) -> str | None:
    """Return the name of an enum value, known or new; None for `…_UNSPECIFIED`."""
    if not isinstance(value, str):
        return None
    name = _valid_utf8(value)[:LONGEST_NAME]
    return None if name.endswith("_UNSPECIFIED") else name or None


def _valid_utf8(text: str) -> str:
    """Return `text` without lone surrogates, which JSON can escape and UTF-8 cannot encode."""
    return text.encode(errors="replace").decode()


def _usage(counted: Json, model: str, *, made: bool) -> Usage | None:
    given = _by_modality(_list(counted, "promptTokensDetails"), _count(counted, "promptTokenCount"), "TEXT")
    answered = _by_modality(
        _list(counted, "candidatesTokensDetails"), _count(counted, "candidatesTokenCount"), "IMAGE" if made else "TEXT"
    )
    if thoughts := _count(counted, "thoughtsTokenCount"):
        answered["THOUGHTS"] = thoughts
    return priced(model, given, answered) if given or answered else None


def _count(counted: Json, name: str) -> int:
    """Return a number of tokens, which ProtoJSON may write as a string; 0 for other values."""
    value = counted.get(name)
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < LONGEST_NUMBER:
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def _by_modality(details: list[Any], total: int, otherwise: str) -> dict[str, int]:
    """Return tokens by modality; those of the total that are not in the details count as `otherwise`."""
    counts: dict[str, int] = {}
    for detail in details:
        if isinstance(detail, dict) and (tokens := _count(detail, "tokenCount")):
            name = _name(detail.get("modality")) or otherwise
            counts[name] = counts.get(name, 0) + tokens
    left = total - sum(counts.values())
    if left > 0:
        counts[otherwise] = counts.get(otherwise, 0) + left
    return counts
