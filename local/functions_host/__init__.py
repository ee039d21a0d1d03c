"""A local Azure Functions host that serves `function_app.py` unchanged. README.md compares it with Azure's host."""

import sys
from pathlib import Path


def command(port: int, root: Path) -> list[str]:
    """Return the command line that serves the app in `root` on `port`."""
    return [sys.executable, "-m", __name__, "--port", str(port), "--root", str(root)]
