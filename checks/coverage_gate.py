"""Fail if the unit tests cover less of a package than its threshold, in percent of lines and branches together.

`make coverage` runs the unit tests with coverage.py before it. Thresholds are raised when tests are added, and never
lowered.
"""

import json
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import coverage

THRESHOLDS: Mapping[str, float] = {
    "image_core": 93,
    "image_core/api": 98,
    "image_core/auth": 98,
    "image_core/billing": 98,
    "image_core/generations": 96,
    "image_core/images": 92,
    "image_core/inputs": 96,
    "image_core/models": 95,
    "image_core/runtime": 86,
    "image_core/storage": 95,
}
Counts = tuple[int, int]
"""The number of lines and branches that were run, and of all."""


def by_package(files: Mapping[str, Counts]) -> dict[str, Counts]:
    """Sum the counts of files (paths with `/`) for each package of THRESHOLDS."""
    sums: dict[str, Counts] = {}
    for package in THRESHOLDS:
        counts = [files[name] for name in files if name.startswith(f"{package}/")]
        sums[package] = (sum(run for run, _ in counts), sum(every for _, every in counts))
    return sums


def below(packages: Mapping[str, Counts]) -> Iterator[str]:
    """Yield a line for each package that is below its threshold, or that has no file."""
    for package, (run, every) in packages.items():
        if not every:
            yield f"{package} has no code: remove it from THRESHOLDS in checks/coverage_gate.py"
        elif 100 * run / every < THRESHOLDS[package]:
            covered = f"{100 * run / every:.1f} %"
            yield f"{package}: {covered} is below {THRESHOLDS[package]} %; `make coverage` lists the lines"


def measured() -> dict[str, Counts]:
    """Read the counts of each file from coverage.py's data."""
    data = coverage.Coverage()
    data.load()
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        data.json_report(outfile=file.name)
        files = json.loads(Path(file.name).read_text(encoding="utf-8"))["files"]
    return {
        Path(name).as_posix(): (
            file["summary"]["covered_lines"] + file["summary"]["covered_branches"],
            file["summary"]["num_statements"] + file["summary"]["num_branches"],
        )
        for name, file in files.items()
    }


if __name__ == "__main__":
    packages = by_package(measured())
    for name, (run, every) in packages.items():
        print(f"{name:24} {100 * run / max(1, every):5.1f} %  (at least {THRESHOLDS[name]})")
    faults = list(below(packages))
    for line in faults:
        print(line, file=sys.stderr)
    sys.exit(bool(faults))
