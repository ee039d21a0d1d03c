"""What was measured, as a table for people and JSON for programs, with the facts of the machine that it was measured on."""

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

PACKAGES = ("aiohttp", "google-genai", "azure-storage-blob", "azure-cosmos", "azure-functions", "pydantic", "pillow")


class Worthless(Exception):
    """A request was not answered with 200: the measure is worth nothing."""


@dataclass(frozen=True, slots=True)
class Row:
    """One measure. `goal` is the most that `value` may be, or with `least` the least; None where it is only told."""

    measure: str
    value: float
    unit: str
    goal: float | None = None
    least: bool = False
    note: str = ""

    @property
    def good(self) -> bool:
        return self.goal is None or (self.value >= self.goal if self.least else self.value <= self.goal)


def ratio(
    measure: str, product: float, floor: float, unit: str, goal: float, own: float | None = None, *, least: bool = False
) -> list[Row]:
    """Both values, and the product's as a multiple of the floor's, for which the goal is; `own` is one for the product's."""
    return [
        Row(f"{measure}: floor", floor, unit),
        Row(f"{measure}: product", product, unit, own, least),
        Row(f"{measure}: product / floor", product / floor, "x", goal, least),
    ]


def machine() -> dict[str, Any]:
    """What a reader has to know of the machine to compare."""
    model = next(
        (line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")), "unknown"
    )
    memory = next((line.split()[1] for line in _lines("/proc/meminfo") if line.startswith("MemTotal")), "0")
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "memoryGB": round(int(memory) / 1024**2, 1),
        "load": round(os.getloadavg()[0], 2),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES},
    }


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text(encoding="utf-8").splitlines()
    except OSError:
        return []


def shown(rows: Sequence[Row]) -> str:
    """A line for each row; what misses its goal is marked."""
    width = max(len(row.measure) for row in rows)
    lines = []
    for row in rows:
        goal = "" if row.goal is None else f"{'>=' if row.least else '<='} {row.goal:g}"
        mark = "" if row.goal is None else "ok" if row.good else "MISSED"
        lines.append(
            f"{row.measure:<{width}}  {row.value:>10.3f} {row.unit:<5} {goal:>9}  {mark:<6} {row.note}".rstrip()
        )
    return "\n".join(lines)


def write(rows: Sequence[Row], facts: dict[str, Any], path: Path) -> None:
    """The same as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    told = {"machine": facts, "rows": [{**asdict(row), "good": row.good} for row in rows]}
    path.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
