"""Results: as a table, and as JSON with the facts of the machine."""

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

PACKAGES = ("aiohttp", "google-genai", "azure-storage-blob", "azure-cosmos", "azure-functions", "pydantic", "pillow")


class InvalidMeasurement(Exception):
    """A request was not answered as it should be, so that the figures mean nothing."""


@dataclass(frozen=True, slots=True)
class Row:
    """One figure and its goal: the highest permitted value, or with `at_least` the lowest. None is no goal."""

    name: str
    value: float
    unit: str
    goal: float | None = None
    at_least: bool = False
    note: str = ""

    @property
    def met(self) -> bool:
        """Whether the goal is met, if there is one."""
        return self.goal is None or (self.value >= self.goal if self.at_least else self.value <= self.goal)


@dataclass(frozen=True, slots=True)
class Pair:
    """A figure of the product and the same one of the floor."""

    name: str
    product: float
    floor: float
    unit: str

    def rows(self, ratio: float, product: float | None = None, *, at_least: bool = False) -> list[Row]:
        """Return both figures and their ratio. `ratio` is the ratio's goal, `product` one for the product's figure."""
        return [
            Row(f"{self.name}: floor", self.floor, self.unit),
            Row(f"{self.name}: product", self.product, self.unit, product, at_least),
            Row(f"{self.name}: product / floor", self.product / self.floor, "x", ratio, at_least),
        ]


def machine() -> dict[str, Any]:
    """Return what a reader has to know of the machine to compare results."""
    processor = next(
        (line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")), "unknown"
    )
    memory = next((line.split()[1] for line in _lines("/proc/meminfo") if line.startswith("MemTotal")), "0")
    return {
        "processor": processor,
        "cores": os.cpu_count(),
        "memoryGB": round(int(memory) / 1024**2, 1),
        "load": round(os.getloadavg()[0], 2),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES},
    }


def format_table(rows: Sequence[Row]) -> str:
    """Return a line for each row; one that misses its goal is marked."""
    width = max(len(row.name) for row in rows)
    lines = []
    for row in rows:
        goal = "" if row.goal is None else f"{'>=' if row.at_least else '<='} {row.goal:g}"
        mark = "" if row.goal is None else "ok" if row.met else "MISSED"
        lines.append(f"{row.name:<{width}}  {row.value:>10.3f} {row.unit:<5} {goal:>9}  {mark:<6} {row.note}".rstrip())
    return "\n".join(lines)


def write(rows: Sequence[Row], facts: dict[str, Any], path: Path) -> None:
    """Write rows and facts as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    results = {"machine": facts, "rows": [{**asdict(row), "met": row.met} for row in rows]}
    path.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
