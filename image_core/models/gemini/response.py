"""What a model answered: the image, its words, why there is none, and what the service counted.

Read from the answer's JSON, leniently: unknown values are data (new finish reasons appear without notice), and a field of
an unexpected type counts as absent. An image that was paid for is not lost because something beside it is odd.
"""

import io
import struct
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import PIL.Image

from image_core.images import metadata, probe
from image_core.images.image import EXTENSIONS, Image
from image_core.models.gemini.turns import model_turn
from image_core.models.generated import Usage
from image_core.models.prices import priced
from image_core.models.turns import ModelTurn

_CHANGE_PROMPT = "The model declined this request. Change the prompt: describe it another way."
_CHANGE_IMAGE = "The model declined the picture it would have made. Change the prompt or the image."
_TRY_AGAIN = "The model made no picture this time. Try again, or say in the prompt that you want an image."

SENTENCES: Mapping[str, str] = {
    "SAFETY": _CHANGE_PROMPT,
    "IMAGE_SAFETY": _CHANGE_IMAGE,
    "PROHIBITED_CONTENT": "The request was blocked as prohibited content. Change the prompt or the image.",
    "IMAGE_PROHIBITED_CONTENT": "The picture would have been prohibited content. Change the prompt or the image.",
    "BLOCKLIST": "The prompt has words that the service blocks. Change the prompt.",
    "SPII": "The request holds what looks like personal data. Change the prompt or the image.",
    "RECITATION": "The answer would have repeated a protected work. Change the prompt.",
    "IMAGE_RECITATION": "The picture would have repeated a protected work. Change the prompt or the image.",
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
"""A reason with one of these in its name is a refusal, known or new: the same request would be refused again."""

_OF_ACCOUNT = "PUP_LIMITED"
"""A reason with this in its name is about the operator's account: it is limited."""

LONGEST_NAME = 64
LONGEST_NUMBER = 12
"""Digits of a number of tokens."""
LONGEST_MESSAGE = 2000
"""Characters of `finishMessage` and `blockReasonMessage` that are shown."""
LONGEST_TEXT = 16_000
"""Characters of what a model said instead of making an image."""

OTHER_FORMATS = ("GIF", "BMP", "TIFF", "AVIF")
UNDECODABLE = (OSError, ValueError, SyntaxError, EOFError, LookupError, struct.error, zlib.error)
"""What Pillow raises for an image that it cannot decode."""

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Reply:
    """`refused`: asking again would not help. `usage` is None where the service counted nothing."""

    picture: Image | None
    text: str | None
    """What the model said beside the image, or instead of it."""
    finish_reason: str | None
    refused: bool
    usage: Usage | None
    message: str | None = None
    """What the service says to people about an answer without an image."""
    turn: ModelTurn | None = None
    """What can be replayed of it when its image is edited."""
    in_context: bool = False
    """Whether the model was shown the earlier turns."""
    account_limited: bool = False
    """The service answers nothing to this account, whatever is asked."""

    @property
    def sentence(self) -> str:
        """What a person can do, where there is no image."""
        known = SENTENCES.get(self.finish_reason or "")
        return known or (_CHANGE_PROMPT if self.refused else _TRY_AGAIN)

    @property
    def words(self) -> str | None:
        """What to show a person where there is no image: the model's words and the service's, bounded."""
        said = [part for part in ((self.text or "")[:LONGEST_TEXT], self.message) if part]
        return "\n".join(said) or None


def read(
    answer: Json,
    model: str,
    data: Callable[[str | bytes], bytes],
    received: Mapping[str, memoryview] = MappingProxyType({}),
) -> Reply:
    """The reply in a `GenerateContentResponse`; `data` gives the bytes for what its JSON has (`Exchange.data`).

    `received` are the strings that were taken out of it, by their marks.

    Checks every byte of the image: in a thread for a large one. Drafts are decoded only where there is nothing else.
    """
    candidates = [each for each in _list(answer, "candidates") if isinstance(each, dict)]
    # One is asked for. Of several, the first with an image is the answer.
    chosen = next((each for each in candidates if _images(_parts(each))), candidates[0] if candidates else {})
    parts = _parts(chosen)
    shown = [part for part in parts if not _is_thought(part)]
    text = _written("".join(part["text"] for part in shown if isinstance(part.get("text"), str))) or None
    # Where every image is marked as a thought, the last of them is the one that was paid for.
    images = _images(shown) or _images(parts)
    picture = _last_picture(images, data)
    feedback = _object(answer, "promptFeedback")
    blocked = _name(feedback.get("blockReason"))
    reason = blocked or _name(chosen.get("finishReason"))
    limited = picture is None and _OF_ACCOUNT in (reason or "")
    refused = (blocked is not None or any(word in (reason or "") for word in _REFUSING)) and not limited
    return Reply(
        picture,
        text,
        reason,
        refused and picture is None,
        _usage(_object(answer, "usageMetadata"), model, made=bool(images)),
        _message(feedback.get("blockReasonMessage")) or _message(chosen.get("finishMessage")),
        turn=None if picture is None else model_turn(_object(chosen, "content"), received),
        account_limited=limited,
    )


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
    """The encoded images of parts, in order; gateways that are not Google's write `inline_data` too."""
    found = (_object(part, "inlineData") or _object(part, "inline_data") for part in parts)
    return [inline["data"] for inline in found if isinstance(inline.get("data"), str | bytes) and inline["data"]]


def _last_picture(images: list[str | bytes], decoded: Callable[[str | bytes], bytes]) -> Image | None:
    """The last whole image, whatever type was declared; else the last that can be repaired; None where none can be opened."""
    damaged: list[Image] = []
    for image in reversed(images):
        try:
            found = decoded(image)
        except ValueError:
            continue
        header = probe.read_header(found)
        if header is None or header.mime_type not in EXTENSIONS:
            if (rewritten := _rewritten(found)) is not None:
                return rewritten
            continue
        # A file may be whole and still not open everywhere: metadata with a wrong checksum, say.
        opening = metadata.repaired(found, header.mime_type)
        if opening is None:
            continue
        picture = Image(opening, header.mime_type, header.width, header.height)
        if metadata.whole(found, header.mime_type):
            return picture
        damaged.append(picture)
    return next(filter(_decodes, damaged), None)


def _rewritten(data: bytes) -> Image | None:
    """A PNG of an image of a kind that is not kept; no model is known to answer with one. None where it is no image."""
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
    return _written(value)[:LONGEST_MESSAGE] or None if isinstance(value, str) else None


def _name(value: Any) -> str | None:
    """The name of an enum value, known or new. `…_UNSPECIFIED` says nothing."""
    if not isinstance(value, str):
        return None
    name = _written(value)[:LONGEST_NAME]
    return None if name.endswith("_UNSPECIFIED") else name or None


def _written(text: str) -> str:
    """`text` as UTF-8 can hold it. JSON can escape half a character, and an image must not be lost over that."""
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
    """A number of tokens; ProtoJSON may write one as a string. What is none counts nothing."""
    value = counted.get(name)
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < LONGEST_NUMBER:
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def _by_modality(details: list[Any], total: int, otherwise: str) -> dict[str, int]:
    """Tokens by modality; what the details leave of the total counts as `otherwise`."""
    counts: dict[str, int] = {}
    for detail in details:
        if isinstance(detail, dict) and (tokens := _count(detail, "tokenCount")):
            name = _name(detail.get("modality")) or otherwise
            counts[name] = counts.get(name, 0) + tokens
    left = total - sum(counts.values())
    if left > 0:
        counts[otherwise] = counts.get(otherwise, 0) + left
    return counts
