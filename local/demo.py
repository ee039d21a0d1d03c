"""Make one image on a local stack: `make demo IMAGE=photo.jpg PROMPT="…"`. The exit code is 0 if everything worked."""

import json
import os
import sys
from http import HTTPStatus
from pathlib import Path

import requests

from local import config
from local.show import data_url, save_image
from local.stack import SAMPLE, SAMPLE_PROMPT, CannotStart, started


def main(image: Path, prompt: str) -> int:
    """Start a stack, generate one image, check its URL and print its record; return the exit code."""
    if not image.is_file():
        print(f"make demo: there is no file {image}: set IMAGE to an image file", file=sys.stderr)
        return 1
    print(f"Starting the local stack on free ports to generate “{prompt}” from {image.name} …", flush=True)
    try:
        with started(config.read(config.reserve_ports()), config.ROOT / ".local" / "demo-logs") as stack:
            for line in stack.notes:
                print(line, flush=True)
            headers = {"Cookie": stack.cookie()}
            body = {"images": [data_url(image)], "prompt": prompt}
            response = requests.post(f"{stack.front}/api/image", json=body, headers=headers, timeout=60)
            answer = response.json()
            if response.status_code != HTTPStatus.OK:
                print(f"make demo: the API answered {response.status_code}: {json.dumps(answer)}", file=sys.stderr)
                return 1
            path = save_image(answer, config.ROOT / "demo-output" / answer["id"])
            stored = requests.get(answer["imageUrl"], timeout=15).content
            url = f"{stack.front}/api/generations/{answer['id']}"
            record = requests.get(url, headers=headers, timeout=15).json()
            print(f"\nimage    {path.relative_to(config.ROOT)}  ({answer['width']} x {answer['height']})")
            print(f"url      {answer['imageUrl']}  (the same {len(stored):,} bytes)")
            print(f"record   {json.dumps(record, indent=2)}")
            if stored == path.read_bytes():
                return 0
            print("make demo: the image at the URL differs from the one in the answer", file=sys.stderr)
            return 1
    except (CannotStart, config.WrongSetting) as error:
        print(f"make demo: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(Path(os.environ.get("IMAGE") or SAMPLE), os.environ.get("PROMPT") or SAMPLE_PROMPT))
