"""Memory of requests that wait for the model in Azure's real worker code, with the memory budget of a 2 GB instance.

The worker code needs Python 3.13: this interpreter, or that of `.venv-3.13` (`make` and CI install it there).
"""

import json
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

from benchmarks import programs
from benchmarks.programs import LOGS, Services
from benchmarks.table import Row, Worthless
from local import config

INSTANCE_MB = 2048
BYTES_PER_MB = 350_000
"""`MAX_INFLIGHT_BYTES` for each MB of an instance, as in `infra/modules/functions.bicep`."""

LATENCY_SECONDS = 20.0
MOST_MB = 1200
"""Of the process on an instance of 2 GB: the host and the sandboxes need the rest."""


@dataclass(frozen=True, slots=True)
class Case:
    """`count` requests of `size` bytes, begun within `seconds`."""

    name: str
    size: int
    count: int
    seconds: float


LARGE = Case("14 requests of 28 MB", 28_000_000, 14, 2.0)
SMALL = Case("100 requests of 0.7 MB", 700_000, 100, 4.0)


def rows() -> list[Row]:
    """The table's lines. Raises Worthless where there is no Python 3.13, or a request is answered with another status."""
    found: list[Row] = []
    for case, least in ((LARGE, 5), (SMALL, SMALL.count)):
        with programs.services() as around:
            measured = measure(around, case)
        statuses = {int(status): count for status, count in measured["statuses"].items()}
        if set(statuses) - {200, 503}:
            raise Worthless(f"{case.name}: {statuses}")
        each = (measured["waiting"] - measured["before"]) / measured["held"]
        found += [
            Row(f"{case.name} in the worker: accepted", measured["held"], "", least, least=True),
            Row(f"{case.name}: refused with 503", statuses.get(503, 0), ""),
            Row(f"{case.name}: memory of the process at its highest", measured["most"] / 1e6, "MB", MOST_MB),
            Row(f"{case.name}: memory of the process, idle", measured["before"] / 1e6, "MB"),
            Row(f"{case.name}: memory of one that waits", each / 1e6, "MB"),
            Row(f"{case.name}: that, as a multiple of its body", each / case.size, "x", 2.5),
        ]
    return found


def measure(
    around: Services, case: Case, limit: int = INSTANCE_MB * BYTES_PER_MB, latency: float = LATENCY_SECONDS
) -> dict[str, Any]:
    """Run the requests in a process of their own; what `benchmarks.functions_worker` prints."""
    told = {
        "environment": {**around.configuration.environment, "MAX_INFLIGHT_BYTES": str(limit)},
        "model": around.model,
        "latency": latency,
        "bytes": case.size,
        "count": case.count,
        "apart": case.seconds / case.count,
        "cookies": [around.cookie(user) for user in range(case.count)],
    }
    with (LOGS / "functions_worker.log").open("w", encoding="utf-8") as log:
        done = subprocess.run(  # noqa: S603 - our own interpreter
            [_python(), "-m", "benchmarks.functions_worker"],
            input=json.dumps(told),
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            cwd=config.ROOT,
            check=False,
        )
    if done.returncode != 0:
        raise Worthless(f"the worker ended with {done.returncode}: see {log.name}")
    measured: dict[str, Any] = json.loads(done.stdout)
    return measured


def _python() -> str:
    if sys.version_info >= (3, 13):
        return sys.executable
    python = config.ROOT / ".venv-3.13" / "bin" / "python"
    if not python.exists():
        raise Worthless("the worker code needs Python 3.13: run it there, or make .venv-3.13 (CI does)")
    return str(python)
