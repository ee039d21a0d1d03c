"""Change one package in many small ways (mutants), and list the changes that its unit tests do not notice.

`python checks/mutation.py auth` changes a copy of `image_core/auth` in `.local/mutation/` and runs `tests/unit/auth`.
A second run continues an interrupted one; `--again` starts over.
"""

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
WORK = ROOT / ".local" / "mutation"
PACKAGES = ("auth", "billing", "generations", "images")
COPIED = ("image_core", "local", "checks", "tests", "function_app.py", "pyproject.toml")
LEFT_OUT = shutil.ignore_patterns("node_modules", "__pycache__", ".local")


def copy(package: str, folder: Path) -> None:
    """Copy the sources and the tests of `package` to `folder`, with the settings of mutmut for it."""
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=LEFT_OUT, dirs_exist_ok=True)
        else:
            shutil.copy2(source, folder / name)
    marker = "[tool.mutmut]\n"
    settings = (folder / "pyproject.toml").read_text(encoding="utf-8")
    chosen = (
        f'only_mutate = ["image_core/{package}/*"]\npytest_add_cli_args_test_selection = ["tests/unit/{package}"]\n'
    )
    (folder / "pyproject.toml").write_text(settings.replace(marker, marker + chosen), encoding="utf-8")
    # mutmut's map of functions to tests does not follow renamed tests: it is made again.
    (folder / "mutants" / "mutmut-stats.json").unlink(missing_ok=True)


def main(package: str, *, again: bool) -> int:
    """Run mutmut; return its exit code."""
    folder = WORK / package
    if again:
        shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    copy(package, folder)
    mutmut = [sys.executable, "-m", "mutmut"]
    done = subprocess.run([*mutmut, "run"], cwd=folder, check=False)  # noqa: S603 - our own interpreter
    if done.returncode == 0:
        subprocess.run([*mutmut, "results"], cwd=folder, check=False)  # noqa: S603 - see above
        print(f"\nShow a change: cd {folder.relative_to(Path.cwd())} && python -m mutmut show NAME")
    return done.returncode


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("package", choices=PACKAGES)
    parser.add_argument("--again", action="store_true", help="start over")
    given = parser.parse_args()
    sys.exit(main(given.package, again=given.again))
