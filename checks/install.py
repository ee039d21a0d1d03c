"""Install pinned requirements into an environment, once for each state of their file.

`python checks/install.py ENVIRONMENT_PYTHON REQUIREMENTS [LARGER…]`: nothing is done if a LARGER file, which contains
all of REQUIREMENTS, is installed already. It runs on any Python 3, without other packages.
"""

import hashlib
import subprocess
import sys
from pathlib import Path


def main(python: str, wanted: Path, larger: list[Path]) -> int:
    """Install `wanted`; return the exit code."""
    stamp = Path(python).parent.parent / ".installed"
    installed = stamp.read_text(encoding="utf-8") if stamp.exists() else ""
    if installed in {digest(path) for path in (wanted, *larger)}:
        return 0
    print(f"Installing {wanted.name} …", flush=True)
    stamp.unlink(missing_ok=True)
    command = [python, "-m", "pip", "install", "--quiet", "--require-hashes", "-r", str(wanted)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)  # noqa: S603 - our own interpreter
    if done.returncode != 0:
        reason = next(
            (line for line in done.stderr.splitlines() if line.startswith("ERROR")), done.stderr.strip()[-300:]
        )
        print(
            f"make: the packages of {wanted.name} could not be installed: is PyPI reachable?\n  {reason}",
            file=sys.stderr,
        )
        return 1
    stamp.write_text(digest(wanted), encoding="utf-8")
    return 0


def digest(path: Path) -> str:
    """Return the SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2]), [Path(name) for name in sys.argv[3:]]))
