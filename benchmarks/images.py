"""Images that cannot be compressed, and the requests and model answers that carry them."""

import base64
import io
import json
import random

from PIL import Image

INPUT_BYTES = 500_000
OUTPUT_BYTES = 1_000_000
PROMPT = "a watercolor painting of it"


def noise(size: int, seed: int = 1) -> bytes:
    """Return a square PNG of about `size` bytes."""
    side = round((size / 3) ** 0.5)
    pixels = random.Random(seed).randbytes(side * side * 3)  # noqa: S311 - noise, no secret
    out = io.BytesIO()
    Image.frombytes("RGB", (side, side), pixels).save(out, "PNG", compress_level=1)
    return out.getvalue()


def photograph(megapixels: int) -> bytes:
    """Return a JPEG in CMYK, which the product has to convert pixel by pixel."""
    side = round((megapixels * 1_000_000) ** 0.5)
    pixels = random.Random(2).randbytes((side // 20) ** 2 * 3)  # noqa: S311 - noise, no secret
    small = Image.frombytes("RGB", (side // 20, side // 20), pixels)
    out = io.BytesIO()
    small.resize((side, side)).convert("CMYK").save(out, "JPEG", quality=85)
    return out.getvalue()


def data_url(data: bytes, mime_type: str = "image/png") -> str:
    """Return an image as a data URL."""
    return f"data:{mime_type};base64,{base64.b64encode(data).decode()}"


def request(image: str, **fields: object) -> bytes:
    """Return the body of `POST /api/image`."""
    return json.dumps({"images": [image], "prompt": PROMPT, **fields}).encode()


def reply(image: bytes) -> bytes:
    """Return a `GenerateContentResponse` as Gemini writes it: indented JSON with one image and the token counts."""
    parts = [{"inlineData": {"mimeType": "image/png", "data": base64.b64encode(image).decode()}}]
    tokens = {
        "promptTokenCount": 566,
        "candidatesTokenCount": 1120,
        "totalTokenCount": 1686,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 6}, {"modality": "IMAGE", "tokenCount": 560}],
        "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 1120}],
    }
    candidate = {"content": {"parts": parts, "role": "model"}, "finishReason": "STOP", "index": 0}
    body = {"candidates": [candidate], "usageMetadata": tokens, "modelVersion": "benchmark", "responseId": "benchmark"}
    return json.dumps(body, indent=2).encode()
