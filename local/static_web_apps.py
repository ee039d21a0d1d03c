"""Microsoft's Static Web Apps emulator, for `make run FRONT=swa`; swa-cli.config.json has its other settings."""

import os
from pathlib import Path

from local.node import find_node

ROOT = Path(__file__).parent.parent
PACKAGES = Path(__file__).parent / "swa"


def command(port: int, page: int, api: int) -> list[str]:
    """Return its command line: on `port`, it serves the page of port `page`, and `/api/*` of the host on port `api`."""
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
    """Return the variables that its processes need, and those that keep their requests on this machine."""
    options = (os.environ.get("NODE_OPTIONS"), f"--import={(PACKAGES / 'lifetime.mjs').as_uri()}")
    return {
        "PATH": find_node().environment()["PATH"],
        "NODE_OPTIONS": " ".join(filter(None, options)),
        "NO_UPDATE_NOTIFIER": "1",
        # It would reach the Functions host, on this machine, through a proxy.
        "HTTP_PROXY": "",
        "HTTPS_PROXY": "",
    }
