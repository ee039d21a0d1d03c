"""Sign the parts of an answer, and refuse a conversation in which they were changed (thought signatures).

The rules of the service (ai.google.dev/gemini-api/docs/image-generation, "Thought signatures"): an answer of a Gemini
3 image model has a `thoughtSignature` on each image and on the first text before it, none on its thoughts. A later
request that replays the turn must have each of them on its part, unchanged. The messages are those of the service.
"""

import hashlib
import hmac
from collections.abc import Sequence

from local.gemini.request import Part, Turn

SIGNATURE_BYTES = 3000
"""Length of a signature. The service's have about as many bytes, or more."""

MISSING = (
    "Image part is missing a thought_signature in content position {turn}, part position {part}. Please refer to "
    "https://ai.google.dev/gemini-api/docs/thought-signatures#model-behavior for more details."
)
CORRUPTED = "Corrupted thought signature."
NO_ALTERNATION = "Please ensure that multiturn requests alternate between user and model."
NO_QUESTION = "Please ensure that multiturn requests ends with a user role or a function response."

_KEY = b"the key of the fake Gemini's signatures"


def signature(model: str, part: Part) -> bytes:
    """Return the signature of a part of an answer of `model`: a keyed digest of its content."""
    content = (part.text or "").encode() if part.data is None else part.data
    digest = hmac.digest(
        _KEY, b"\0".join((model.encode(), b"text" if part.data is None else b"image", content)), "sha256"
    )
    return hashlib.shake_256(digest).digest(SIGNATURE_BYTES)


def signed(parts: Sequence[Part]) -> tuple[bool, ...]:
    """Return for each part of an answer whether it has a signature."""
    shown = [index for index, part in enumerate(parts) if not part.thought]
    return tuple(index in shown and (parts[index].data is not None or index == shown[0]) for index in range(len(parts)))


def fault(model: str, turns: Sequence[Turn]) -> str | None:
    """Return why a conversation is refused, in the service's words; None where it is not."""
    if turns and turns[-1].role != "user":
        return NO_QUESTION
    if any(turn.role != ("user", "model")[index % 2] for index, turn in enumerate(turns)):
        return NO_ALTERNATION
    for place, turn in enumerate(turns, 1):
        if turn.role == "model" and (found := _fault(model, turn.parts, place)) is not None:
            return found
    return None


def _fault(model: str, parts: Sequence[Part], place: int) -> str | None:
    for index, (part, must) in enumerate(zip(parts, signed(parts), strict=True)):
        if part.signature is None:
            if must and part.data is not None:
                return MISSING.format(turn=place, part=index + 1)
            if must:
                return CORRUPTED
        elif not must or not hmac.compare_digest(part.signature, signature(model, part)):
            return CORRUPTED
    return None
