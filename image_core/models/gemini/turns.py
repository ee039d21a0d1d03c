"""Keep a turn of a Gemini model as it was received, so that it can be replayed byte for byte.

A replayed turn must have its parts in their order, and each `thoughtSignature` on the part that it came with
(ai.google.dev/gemini-api/docs/image-generation, "Thought signatures"). So a turn is kept as the JSON of its `content`
with the received strings, and this JSON is inserted unchanged into a later request.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

from image_core.models.turns import MAX_TURN_BYTES, ModelTurn

_PLACEHOLDER = re.compile(rb'"([0-9a-f]{32})"')


def model_turn(content: Mapping[str, Any], received: Mapping[str, memoryview]) -> ModelTurn | None:
    """Return the turn in the `content` of an answer, whose placeholders stand for the strings in `received`.

    None where it cannot be replayed, because its image has no signature, and where it is longer than MAX_TURN_BYTES.
    """
    parts = [part for part in content.get("parts", ()) if isinstance(part, dict)]
    images = [part for part in parts if isinstance(part.get("inlineData"), dict)]
    shown = [part for part in images if part.get("thought") is not True]
    if not shown or not all(isinstance(part.get("thoughtSignature"), str) for part in shown):
        return None
    text = json.dumps({**content, "role": "model"}, separators=(",", ":")).encode()
    pieces: list[bytes | memoryview] = []
    at = 0
    for found in _PLACEHOLDER.finditer(text):
        string = received.get(found[1].decode())
        if string is not None:
            pieces += [text[at : found.start(1)], string]
            at = found.end(1)
    words = [part["text"] for part in parts if isinstance(part.get("text"), str)]
    turn = ModelTurn((*pieces, text[at:]), len(images), sum(map(len, words)))
    return turn if turn.size <= MAX_TURN_BYTES else None
