"""Every measure, as a table and as JSON: `make bench`, or some of them: `make bench ONLY=requests,cold`.

The exit code is 1 where a goal is missed.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks import cold, growth, masks, renditions, requests, session, stall, worker
from benchmarks.table import Row, machine, shown, write
from local import config

RESULTS = config.ROOT / ".local" / "benchmarks" / "results.json"


def _requests(rounds: int) -> list[Row]:
    found = requests.figures(rounds, count=100)
    print("\n".join(requests.told(found)), flush=True)
    return requests.rows(found)


MEASURES: dict[str, Callable[[int], list[Row]]] = {
    "requests": _requests,
    "stall": stall.rows,
    "cold": lambda _: cold.rows(),
    "session": lambda _: session.rows(),
    "growth": lambda _: growth.rows(),
    "worker": lambda _: worker.rows(),
    "renditions": renditions.rows,
    "masks": masks.rows,
}


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure the product beside a floor that promises nothing.")
    parser.add_argument("--only", default=",".join(MEASURES), help=f"some of {', '.join(MEASURES)}")
    parser.add_argument("--rounds", type=int, default=3, help="in which floor and product take turns")
    parser.add_argument("--json", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    chosen = [name for name in arguments.only.split(",") if name]
    if not chosen or (strange := [name for name in chosen if name not in MEASURES]):
        parser.error(f"{', '.join(strange) if chosen else 'nothing'} is no measure: {', '.join(MEASURES)}")
    facts, rows = machine(), list[Row]()
    for name, value in facts.items():
        print(f"{name}: {value}")
    for name in chosen:
        found = MEASURES[name](arguments.rounds)
        print(shown(found), flush=True)
        rows += found
    write(rows, facts, arguments.json)
    missed = [row.measure for row in rows if not row.good]
    print(f"missed: {', '.join(missed)}" if missed else "every goal is met")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
