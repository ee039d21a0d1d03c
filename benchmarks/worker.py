"""Memory of Azure's real worker code while requests wait for the model, with the memory budget of a 2 GB instance.

It sends 14 requests of 28 MB, then 100 of 0.7 MB, to a process of its own. Requests beyond the budget are refused with
503. There is no floor: the goals are limits. The process must stay under 1200 MB, which leaves the rest of the instance
to the host and the sandboxes; a waiting request may hold 2.5 times its body; the given number must be accepted.

The worker code needs Python 3.13: this interpreter, or that of `.venv-3.13`.
"""

import json
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

from benchmarks import programs
from benchmarks.programs import LOGS, Services
from benchmarks.table import InvalidMeasurement, Row
from local import config

INSTANCE_MB = 2048
BYTES_PER_MB = 350_000
"""`MAX_INFLIGHT_BYTES` for each MB of an instance, as in `infra/modules/functions.bicep`."""

LATENCY_SECONDS = 20.0
MAX_PROCESS_MB = 1200


@dataclass(frozen=True, slots=True)
class Case:
    """`count` requests of `size` bytes, started evenly over `seconds`."""

    name: str
    size: int
    count: int
    seconds: float


LARGE = Case("14 requests of 28 MB", 28_000_000, 14, 2.0)
SMALL = Case("100 requests of 0.7 MB", 700_000, 100, 4.0)


def rows() -> list[Row]:
    """Measure both cases. Raises InvalidMeasurement without Python 3.13 or for an unexpected status."""
    found: list[Row] = []
    for case, least in ((LARGE, 5), (SMALL, SMALL.count)):
        with programs.services() as around:
            measured = measure(around, case)
        statuses = {int(status): count for status, count in measured["statuses"].items()}
        if set(statuses) - {200, 503}:
            raise InvalidMeasurement(f"{case.name}: {statuses}")
        each = (measured["waiting"] - measured["before"]) / measured["held"]
        found += [
            Row(f"{case.name} in the worker: accepted", measured["held"], "", least, at_least=True),
            Row(f"{case.name}: refused with 503", statuses.get(503, 0), ""),
            Row(f"{case.name}: memory of the process at its highest", measured["highest"] / 1e6, "MB", MAX_PROCESS_MB),
            Row(f"{case.name}: memory of the process, idle", measured["before"] / 1e6, "MB"),
            Row(f"{case.name}: memory of a waiting request", each / 1e6, "MB"),
            Row(f"{case.name}: memory of a waiting request / body", each / case.size, "x", 2.5),
        ]
    return found


def measure(
    around: Services, case: Case, limit: int = INSTANCE_MB * BYTES_PER_MB, latency: float = LATENCY_SECONDS
) -> dict[str, Any]:
    """Run the requests in a process of their own and return the output of `functions_worker`."""
    given = {
        "environment": {**around.configuration.environment, "MAX_INFLIGHT_BYTES": str(limit)},
        "gemini": around.gemini,
        "latency": latency,
        "bytes": case.size,
        "count": case.count,
        "interval": case.seconds / case.count,
        "cookies": [around.cookie(user) for user in range(case.count)],
    }
    with (LOGS / "functions_worker.log").open("w", encoding="utf-8") as log:
        done = subprocess.run(  # noqa: S603 - an interpreter of this project
            [_python(), "-m", "benchmarks.functions_worker"],  # by name: only Python 3.13 can import it
            input=json.dumps(given),
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            cwd=config.ROOT,
            check=False,
        )
    if done.returncode != 0:
        raise InvalidMeasurement(f"the worker ended with {done.returncode}: see {log.name}")
    measured: dict[str, Any] = json.loads(done.stdout)
    return measured


def _python() -> str:
    if sys.version_info >= (3, 13):
        return sys.executable
    python = config.ROOT / ".venv-3.13" / "bin" / "python"
    if not python.exists():
        raise InvalidMeasurement(
            "the worker code needs Python 3.13: run this with it, or install the packages into .venv-3.13"
        )
    return str(python)
