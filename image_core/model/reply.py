"""What a model answered: the picture, its words, why there is none, and what the service counted.

Unknown values are data: new finish reasons appear without notice.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from image_core import sniff, structure
from image_core.generated import Usage
from image_core.picture import EXTENSIONS, Picture
from image_core.prices import priced

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
    "MAX_TOKENS": "The model ran out of room before the picture. Shorten the prompt.",
    "NO_IMAGE": _TRY_AGAIN,
    "IMAGE_OTHER": _TRY_AGAIN,
    "STOP": _TRY_AGAIN,
}
"""What a person can do about each reason (ai.google.dev/api/generate-content, FinishReason and BlockReason)."""

_REFUSING = ("SAFETY", "PROHIBITED", "RECITATION", "BLOCKLIST", "SPII", "LANGUAGE", "JAILBREAK")
"""A reason with one of these in its name is a refusal, known or new: the same request would be refused again."""

LONGEST_NAME = 64


@dataclass(frozen=True, slots=True)
class Reply:
    """`refused`: asking again would not help. `usage` is None where the service counted nothing."""

    picture: Picture | None
    text: str | None
    finish_reason: str | None
    refused: bool
    usage: Usage | None

    @property
    def sentence(self) -> str:
        """What a person can do, where there is no picture."""
        known = SENTENCES.get(self.finish_reason or "")
        return known or (_CHANGE_PROMPT if self.refused else _TRY_AGAIN)


def read(response: Any, model: str, data: Callable[[bytes], bytes]) -> Reply:
    """The reply in a `GenerateContentResponse`; `data` gives the bytes for what stands in it (`Exchange.data`).

    Looks at every byte of the picture: in a thread for a large one. Drafts are not looked at. Raises ValueError.
    """
    candidates = response.candidates or []
    first = candidates[0] if candidates else None
    parts = (first.content.parts or []) if first is not None and first.content is not None else []
    shown = [part for part in parts if not part.thought]
    text = _written("".join(part.text for part in shown if part.text)) or None
    images = [part.inline_data.data for part in shown if part.inline_data is not None and part.inline_data.data]
    picture = next(filter(None, (_picture(data(image)) for image in reversed(images))), None)
    blocked = _name(getattr(response.prompt_feedback, "block_reason", None))
    reason = blocked or _name(getattr(first, "finish_reason", None))
    refused = blocked is not None or any(word in (reason or "") for word in _REFUSING)
    usage = _usage(response.usage_metadata, model, made=bool(images))
    return Reply(picture, text, reason, refused and picture is None, usage)


def _picture(data: bytes) -> Picture | None:
    """The last image is the answer; one that cannot be opened is none."""
    header = sniff.sniff(data)
    if header is None or header.mime_type not in EXTENSIONS or not structure.whole(data, header.mime_type):
        return None
    return Picture(data, header.mime_type, header.width, header.height)


def _name(value: Any) -> str | None:
    """The name of an enum value, known to the SDK or not. `…_UNSPECIFIED` says nothing."""
    if value is None:
        return None
    name = _written(str(getattr(value, "value", value)))[:LONGEST_NAME]
    return None if name.endswith("_UNSPECIFIED") else name or None


def _written(text: str) -> str:
    """`text` as UTF-8 can hold it. JSON can escape half a character, and a picture must not be lost over that."""
    return text.encode(errors="replace").decode()


def _usage(counted: Any, model: str, *, made: bool) -> Usage | None:
    if counted is None:
        return None
    given = _by_modality(counted.prompt_tokens_details, counted.prompt_token_count, "TEXT")
    answered = _by_modality(
        counted.candidates_tokens_details, counted.candidates_token_count, "IMAGE" if made else "TEXT"
    )
    if thoughts := counted.thoughts_token_count or 0:
        answered["THOUGHTS"] = thoughts
    return priced(model, given, answered) if given or answered else None


def _by_modality(details: Any, total: int | None, otherwise: str) -> dict[str, int]:
    """Tokens by modality; what the details leave of the total counts as `otherwise`."""
    counts: dict[str, int] = {}
    for detail in details or []:
        if detail.token_count:
            name = _name(detail.modality) or otherwise
            counts[name] = counts.get(name, 0) + detail.token_count
    left = (total or 0) - sum(counts.values())
    if left > 0:
        counts[otherwise] = counts.get(otherwise, 0) + left
    return counts
