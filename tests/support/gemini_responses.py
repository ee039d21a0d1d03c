"""Responses of the Gemini API that several tests script."""

import base64
from typing import Any

from local.gemini.script import Scripted, finished

BILLED_REFUSAL: dict[str, Any] = {
    "promptTokenCount": 300,
    "candidatesTokenCount": 40,
    "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 40}, {"modality": "IMAGE", "tokenCount": 260}],
    "candidatesTokensDetails": [{"modality": "TEXT", "tokenCount": 40}],
}


def answer_without_image() -> Scripted:
    """Return a billed answer with a text and no image."""
    return finished("STOP", {"text": "I would rather not draw."}, usage=BILLED_REFUSAL)


def refusal() -> Scripted:
    """Return a billed refusal for safety."""
    return finished("IMAGE_SAFETY", usage=BILLED_REFUSAL)


def part(data: bytes, mime_type: str = "image/png", **more: Any) -> dict[str, Any]:
    """Return a part with an image."""
    return {"inlineData": {"mimeType": mime_type, "data": base64.b64encode(data).decode()}, **more}
