"""Images that no compression makes smaller, and the requests and replies that carry them."""

import base64
import io
import json
import random

from PIL import Image

INPUT_BYTES = 500_000
OUTPUT_BYTES = 1_000_000
PROMPT = "a watercolor painting of it"


def noise(size: int, seed: int = 1) -> bytes:
    """A square PNG of about `size` bytes."""
    side = round((size / 3) ** 0.5)
    pixels = random.Random(seed).randbytes(side * side * 3)  # noqa: S311 - noise, no secret
    out = io.BytesIO()
    Image.frombytes("RGB", (side, side), pixels).save(out, "PNG", compress_level=1)
    return out.getvalue()


def photograph(megapixels: int) -> bytes:
    """A progressive JPEG in CMYK: of a kind that must be converted, pixel by pixel."""
    side = round((megapixels * 1_000_000) ** 0.5)
    small = Image.frombytes("RGB", (side // 20, side // 20), random.Random(2).randbytes((side // 20) ** 2 * 3))  # noqa: S311 - noise
    out = io.BytesIO()
    small.resize((side, side)).convert("CMYK").save(out, "JPEG", quality=85)
    return out.getvalue()


def data_url(data: bytes, mime_type: str = "image/png") -> str:
    return f"data:{mime_type};base64,{base64.b64encode(data).decode()}"


def request(image: str, **fields: object) -> bytes:
    """The body of `POST /api/image`."""
    return json.dumps({"images": [image], "prompt": PROMPT, **fields}).encode()


def reply(picture: bytes) -> bytes:
    """A `GenerateContentResponse` as the service writes it: indented, one image, what was counted."""
    parts = [{"inlineData": {"mimeType": "image/png", "data": base64.b64encode(picture).decode()}}]
    counted = {
        "promptTokenCount": 566,
        "candidatesTokenCount": 1120,
        "totalTokenCount": 1686,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 6}, {"modality": "IMAGE", "tokenCount": 560}],
        "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 1120}],
    }
    candidate = {"content": {"parts": parts, "role": "model"}, "finishReason": "STOP", "index": 0}
    body = {"candidates": [candidate], "usageMetadata": counted, "modelVersion": "benchmark", "responseId": "benchmark"}
    return json.dumps(body, indent=2).encode()
