"""A file is a room: none of ours is longer than it should be."""

import subprocess
import sys
from pathlib import Path

LONGEST = 300
LONGEST_FUNCTION_APP = 150
SUFFIXES = {".py", ".mjs", ".js", ".css", ".html", ".ts", ".tsx"}
GENERATED = {"examples/client/schema.ts"}


def main() -> int:
    """The exit code."""
    listed = subprocess.run(["git", "ls-files"], check=True, capture_output=True, text=True)  # noqa: S607 - git of the PATH
    too_long = []
    for name in listed.stdout.splitlines():
        path = Path(name)
        if path.suffix not in SUFFIXES or name in GENERATED or not path.exists():
            continue
        lines = len(path.read_text(encoding="utf-8").splitlines())
        limit = LONGEST_FUNCTION_APP if name == "function_app.py" else LONGEST
        if lines > limit:
            too_long.append(f"{name} has {lines} lines; {limit} are a room")
    print("\n".join(too_long) or "sizes: every file is a room")
    return 1 if too_long else 0


if __name__ == "__main__":
    sys.exit(main())
