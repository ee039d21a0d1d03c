"""Make the image of docs/edits.md: a photograph, its mask over it, and the result of a masked edit on the local stack.

`python checks/masked_edit_image.py` starts a stack on free ports, edits the sample through the API, and compares the
pixels outside the mask. The exit code is 1 if one of them differs.
"""

import base64
import io
import sys
from http import HTTPStatus
from pathlib import Path

import PIL.Image
import requests
from PIL import ImageChops

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from local import config
from local.show import data_url
from local.stack import started

SAMPLES = config.ROOT / "local" / "samples"
TARGET = config.ROOT / "docs" / "masked-edit.jpg"
PROMPT = "the cup and its saucer in blue"
WIDTH = 440
"""Width of each of the three images, in pixels."""
GAP = 10
OVERLAY = (255, 0, 120)
"""The colour in which the mask is shown."""


def edited() -> PIL.Image.Image:
    """Return the sample, edited by a stack on free ports. Raises SystemExit if the API refuses."""
    with started(config.read(config.reserve_ports()), config.ROOT / ".local" / "demo-logs") as stack:
        body = {
            "images": [data_url(SAMPLES / "coffee.jpg")],
            "mask": data_url(SAMPLES / "coffee-mask.png"),
            "prompt": PROMPT,
        }
        response = requests.post(f"{stack.front}/api/image", json=body, headers={"Cookie": stack.cookie()}, timeout=60)
        if response.status_code != HTTPStatus.OK:
            raise SystemExit(f"The API answered {response.status_code}: {response.text}")
        answer = response.json()
        print("\n".join(answer["warnings"]) or "no warnings")
        data = base64.b64decode(answer["imageBase64"].partition(",")[2])
        return PIL.Image.open(io.BytesIO(data)).convert("RGB")


def main() -> int:
    """Write the image; return the exit code."""
    before = PIL.Image.open(SAMPLES / "coffee.jpg").convert("RGB")
    mask = PIL.Image.open(SAMPLES / "coffee-mask.png").convert("L")
    after = edited()
    marked = PIL.Image.blend(before, PIL.Image.new("RGB", before.size, OVERLAY), 0.45)
    shown = (before, PIL.Image.composite(marked, before, mask), after)
    height = WIDTH * before.height // before.width
    combined = PIL.Image.new("RGB", (3 * WIDTH + 2 * GAP, height), "white")
    for number, image in enumerate(shown):
        small = image.resize((WIDTH, height), PIL.Image.Resampling.LANCZOS)
        combined.paste(small, (number * (WIDTH + GAP), 0))
    combined.save(TARGET, "JPEG", quality=82, optimize=True)
    print(f"{TARGET.relative_to(config.ROOT)}  ({TARGET.stat().st_size:,} bytes)")
    outside, different = ImageChops.invert(mask), 0
    for channel in ImageChops.difference(before, after).split():
        different += sum(channel.histogram(outside)[1:])
    print(f"{outside.histogram()[255]:,} pixels outside the mask, {different} values of them differ")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
