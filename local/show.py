"""An answer of the API, shown to a person: `curl … | python -m local.show FILE` writes the picture and says the rest."""

import base64
import json
import mimetypes
import sys
from pathlib import Path
from typing import Any


def data_url(path: Path) -> str:
    """A picture as a data URL."""
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"


def write_picture(answer: dict[str, Any], stem: Path) -> Path:
    """The picture of a 200, written beside `stem` with the extension of what it is."""
    extension = {"image/jpeg": ".jpg", "image/webp": ".webp"}.get(answer["mimeType"], ".png")
    path = stem.with_name(stem.name + extension)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(base64.b64decode(answer["imageBase64"].partition(",")[2]))
    return path


def main(stem: Path) -> int:
    """The exit code."""
    raw = sys.stdin.read()
    try:
        answer = json.loads(raw)
    except ValueError:
        print(raw[:2000] or "no answer", file=sys.stderr)
        return 1
    if answer.get("imageBase64"):
        print(f"picture  {write_picture(answer, stem)}  ({answer['width']} x {answer['height']})")
    print(json.dumps({name: value for name, value in answer.items() if name != "imageBase64"}, indent=2))
    return 0 if answer.get("status") in {"succeeded", "running"} else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else "result")))
