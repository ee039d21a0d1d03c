"""Encode the API's inputs, and show its answers.

`curl … | python -m local.show FILE` saves the image of an answer and prints the rest of it.
"""

import base64
import json
import mimetypes
import sys
from pathlib import Path
from typing import Any


def data_url(path: Path) -> str:
    """Return an image file as a data URL."""
    media_type = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return f"data:{media_type};base64,{base64.b64encode(path.read_bytes()).decode()}"


def save_image(answer: dict[str, Any], stem: Path) -> Path:
    """Write the image of a 200 to `stem` plus the extension of its type; return the path."""
    extension = {"image/jpeg": ".jpg", "image/webp": ".webp"}.get(answer["mimeType"], ".png")
    path = stem.with_name(stem.name + extension)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(base64.b64decode(answer["imageBase64"].partition(",")[2]))
    return path


def main(stem: Path) -> int:
    """Show the answer on standard input; return the exit code."""
    raw = sys.stdin.read()
    try:
        answer = json.loads(raw)
    except ValueError:
        print(raw[:2000] or "The answer is empty: does the API run?", file=sys.stderr)
        return 1
    if answer.get("imageBase64"):
        print(f"image    {save_image(answer, stem)}  ({answer['width']} x {answer['height']})")
    print(json.dumps({name: value for name, value in answer.items() if name != "imageBase64"}, indent=2))
    return 0 if answer.get("status") in {"succeeded", "running"} else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else "result")))
