"""Microsoft's Static Web Apps emulator, for `make run FRONT=swa`. What it is told is in swa-cli.config.json; the ports are ours."""

import os
from pathlib import Path

from local.node import find_node

ROOT = Path(__file__).parent.parent
PACKAGES = Path(__file__).parent / "swa"


def command(port: int, page: int, api: int) -> list[str]:
    """It listens on `port`, and answers with what listens on `page`; `/api/*` with the Functions host on `api`."""
    return [
        find_node().node,
        str(PACKAGES / "node_modules" / "@azure" / "static-web-apps-cli" / "dist" / "cli" / "bin.js"),
        "start",
        *("--config", str(ROOT / "swa-cli.config.json")),
        *("--port", str(port)),
        *("--app-devserver-url", f"http://127.0.0.1:{page}"),
        *("--api-devserver-url", f"http://127.0.0.1:{api}"),
    ]


def environment() -> dict[str, str]:
    """What its processes need beside this process's own environment, and what keeps them on this machine."""
    options = (os.environ.get("NODE_OPTIONS"), f"--import={(PACKAGES / 'lifetime.mjs').as_uri()}")
    return {
        "PATH": find_node().environment()["PATH"],
        "NODE_OPTIONS": " ".join(filter(None, options)),
        "NO_UPDATE_NOTIFIER": "1",
        # It would look for the Functions host, which is on this machine, through them.
        "HTTP_PROXY": "",
        "HTTPS_PROXY": "",
    }
