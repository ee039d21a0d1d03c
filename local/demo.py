"""The main job once, from nothing to an exit code: `make demo IMAGE=photo.jpg PROMPT="…"`."""

import json
import os
import sys
from pathlib import Path

import requests

from local import config
from local.show import data_url, write_picture
from local.stack import SAMPLE, CannotStart, started

OK = 200


def main(image: Path, prompt: str) -> int:
    """The exit code."""
    if not image.is_file():
        print(f"make demo: there is no file {image}", file=sys.stderr)
        return 1
    print(f"Starting the local stack on free ports, to make “{prompt}” of {image.name} …", flush=True)
    try:
        with started(config.read(config.free_ports()), config.ROOT / ".local" / "demo-logs") as stack:
            for note in (
                *(f"uses {used.line}" for used in stack.used),
                *(f"WARNING: {said}" for said in stack.warnings),
            ):
                print(note, flush=True)
            headers = {"Cookie": stack.cookie()}
            body = {"images": [data_url(image)], "prompt": prompt}
            answer = requests.post(f"{stack.front}/api/image", json=body, headers=headers, timeout=60)
            made = answer.json()
            if answer.status_code != OK:
                print(f"make demo: the API answered {answer.status_code}: {json.dumps(made)}", file=sys.stderr)
                return 1
            path = write_picture(made, config.ROOT / "demo-output" / made["id"])
            shown = requests.get(made["imageUrl"], timeout=15).content
            record = requests.get(f"{stack.front}/api/generations/{made['id']}", headers=headers, timeout=15).json()
            print(f"\npicture  {path.relative_to(config.ROOT)}  ({made['width']} x {made['height']})")
            print(f"url      {made['imageUrl']}  (answers with the same {len(shown):,} bytes)")
            print(f"record   {json.dumps(record, indent=2)}")
            return 0 if shown == path.read_bytes() else 1
    except (CannotStart, config.WrongSetting) as error:
        print(f"make demo: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(Path(os.environ.get("IMAGE") or SAMPLE), os.environ.get("PROMPT") or "a watercolor painting of it"))
