"""Who spent what: `python -m operations.usage [--since DAY] [--until DAY] [--by day,user,model] [--csv]`, from the ledger.

Days are UTC; `--until` is the first day that is not in it. The app's settings lead to the ledger.
"""

import argparse
import asyncio
import csv
import os
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import TextIO

from image_core.app import App
from image_core.errors import ImageError, Misconfigured
from image_core.storage.ledger import Entry, Sum

COLUMNS = ("day", "user", "model")
NUMBERS = ("images", "calls", "usd", "unpriced calls")


def _key(entry: Entry, by: Sequence[str]) -> tuple[str, ...]:
    values = {"day": entry.day, "user": entry.user_id, "model": entry.model}
    return tuple(values[column] for column in by)


async def collect(app: App, since: date, until: date, by: Sequence[str]) -> dict[tuple[str, ...], Sum]:
    """The sums of a time, in the order of their keys."""
    found: dict[tuple[str, ...], Sum] = {}
    async for entry in app.components.ledger.of_everybody(since.isoformat(), until.isoformat()):
        found.setdefault(_key(entry, by), Sum()).add(entry)
    return dict(sorted(found.items()))


def write(found: Mapping[tuple[str, ...], Sum], by: Sequence[str], out: TextIO, *, as_csv: bool) -> None:
    """As CSV, or as a table for a terminal with a line for everything together."""
    rows = [
        (*key, str(each.images), str(each.calls), f"{each.usd:.6f}", str(each.unpriced)) for key, each in found.items()
    ]
    header = (*by, *NUMBERS)
    if as_csv:
        csv.writer(out, lineterminator="\n").writerows([header, *rows])
        return
    together = Sum(
        sum(each.images for each in found.values()),
        sum(each.calls for each in found.values()),
        sum(each.usd for each in found.values()),
        sum(each.unpriced for each in found.values()),
    )
    total = ("together", *[""] * (len(by) - 1), str(together.images), str(together.calls), f"{together.usd:.6f}")
    table = [header, *rows, (*total, str(together.unpriced))]
    widths = [max(len(row[column]) for row in table) for column in range(len(header))]
    for row in table:
        cells = [
            cell.ljust(width) if number < len(by) else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        out.write("  ".join(cells).rstrip() + "\n")


async def main(since: date, until: date, by: Sequence[str], *, as_csv: bool) -> int:
    """The exit code."""
    app = App(os.environ)
    try:
        write(await collect(app, since, until, by), by, sys.stdout, as_csv=as_csv)
    except ImageError as error:
        reason = error.reason if isinstance(error, Misconfigured) else error.code
        print(f"usage: {reason}", file=sys.stderr)
        return 1
    finally:
        await app.close()
    return 0


def columns(text: str) -> tuple[str, ...]:
    """Raises ArgumentTypeError where one is not there."""
    chosen = tuple(part.strip() for part in text.split(",") if part.strip())
    if not chosen or not set(chosen) <= set(COLUMNS):
        raise argparse.ArgumentTypeError(f"any of {', '.join(COLUMNS)}")
    return chosen


if __name__ == "__main__":
    today = datetime.now(UTC).date()
    parser = argparse.ArgumentParser(description="Who spent what, from the ledger.")
    parser.add_argument("--since", type=date.fromisoformat, default=today.replace(day=1), help="the first day, UTC")
    parser.add_argument(
        "--until", type=date.fromisoformat, default=today + timedelta(days=1), help="the day after the last"
    )
    parser.add_argument("--by", type=columns, default=COLUMNS, help="any of day,user,model")
    parser.add_argument("--csv", action="store_true")
    chosen = parser.parse_args()
    sys.exit(asyncio.run(main(chosen.since, chosen.until, chosen.by, as_csv=chosen.csv)))
