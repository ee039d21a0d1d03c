"""The command line: `make bench`, or some measurements with `make bench ONLY=requests,cold ROUNDS=5`.

It prints a table and writes it as JSON. The exit code is 1 if a goal is missed.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks import cold, growth, masks, renditions, requests, session, stall, worker
from benchmarks.table import Row, format_table, machine, write
from local import config

RESULTS = config.ROOT / ".local" / "benchmarks" / "results.json"

MEASUREMENTS: dict[str, Callable[[int], list[Row]]] = {
    "requests": requests.rows,
    "stall": stall.rows,
    "cold": lambda _: cold.rows(),
    "session": lambda _: session.rows(),
    "growth": lambda _: growth.rows(),
    "worker": lambda _: worker.rows(),
    "renditions": renditions.rows,
    "masks": masks.rows,
}
"""Each takes the number of rounds; those whose rounds are fixed ignore it."""


def main() -> int:
    """Run the chosen measurements; return the exit code."""
    parser = argparse.ArgumentParser(prog="make bench", description="Measure the product beside a floor.")
    parser.add_argument("--only", default=",".join(MEASUREMENTS), help=f"some of {', '.join(MEASUREMENTS)}")
    parser.add_argument("--rounds", type=int, default=3, help="rounds in which floor and product take turns")
    parser.add_argument("--json", type=Path, default=RESULTS, help="where the results are written")
    arguments = parser.parse_args()
    chosen = [name for name in arguments.only.split(",") if name]
    if not chosen or (unknown := [name for name in chosen if name not in MEASUREMENTS]):
        parser.error(f"--only: {', '.join(unknown) if chosen else 'nothing'} is not one of {', '.join(MEASUREMENTS)}")
    facts, rows = machine(), list[Row]()
    for name, value in facts.items():
        print(f"{name}: {value}")
    for name in chosen:
        found = MEASUREMENTS[name](arguments.rounds)
        print(format_table(found), flush=True)
        rows += found
    write(rows, facts, arguments.json)
    missed = [row.name for row in rows if not row.met]
    print(f"missed: {', '.join(missed)}" if missed else "Every goal is met.")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
