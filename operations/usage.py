"""Sum up the ledger: `make usage`, or `python -m operations.usage --since DAY --until DAY --by day,user,model --csv`.

Days are in UTC; `--until` is the first day after the period. The app's settings, in the environment, point to the
ledger.
"""

import argparse
import asyncio
import csv
import os
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import TextIO

from image_core.app import Application
from image_core.billing.entries import Entry, Sum
from image_core.billing.ledger import Ledger
from image_core.errors import ImageError, Misconfigured

COLUMNS = ("day", "user", "model")
NUMBERS = ("images", "calls", "usd", "unpriced calls")

Sums = Mapping[tuple[str, ...], Sum]
"""A sum for each combination of the columns' values."""


async def collect(ledger: Ledger, since: date, until: date, by: Sequence[str]) -> Sums:
    """Return the sums from `since` to before `until`, sorted by the values of the columns `by`."""
    found: dict[tuple[str, ...], Sum] = {}
    async for entry in ledger.entries_of_all_users(since.isoformat(), until.isoformat()):
        found.setdefault(_key(entry, by), Sum()).add(entry)
    return dict(sorted(found.items()))


def write_csv(found: Sums, by: Sequence[str], out: TextIO) -> None:
    """Write a header and a row for each sum."""
    csv.writer(out, lineterminator="\n").writerows([(*by, *NUMBERS), *(_row(key, each) for key, each in found.items())])


def write_table(found: Sums, by: Sequence[str], out: TextIO) -> None:
    """Write a table for a terminal, whose last line is the total."""
    total = Sum(
        sum(each.images for each in found.values()),
        sum(each.calls for each in found.values()),
        sum(each.usd for each in found.values()),
        sum(each.unpriced for each in found.values()),
    )
    total_key = ("total", *[""] * (len(by) - 1))
    table = [(*by, *NUMBERS), *(_row(key, each) for key, each in found.items()), _row(total_key, total)]
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    for row in table:
        cells = [
            cell.ljust(width) if number < len(by) else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        out.write("  ".join(cells).rstrip() + "\n")


def columns(text: str) -> tuple[str, ...]:
    """Parse the value of `--by`. Raises ArgumentTypeError for an unknown column."""
    chosen = tuple(part.strip() for part in text.split(",") if part.strip())
    if not chosen or not set(chosen) <= set(COLUMNS):
        raise argparse.ArgumentTypeError(f"any of {', '.join(COLUMNS)}")
    return chosen


async def main(since: date, until: date, by: Sequence[str], *, as_csv: bool) -> int:
    """Print the sums of the app of this environment; return the exit code."""
    app = Application(os.environ)
    try:
        found = await collect(app.components.ledger, since, until, by)
    except ImageError as error:
        reason = error.reason if isinstance(error, Misconfigured) else error.code
        print(f"usage: {reason}: `make doctor` says more", file=sys.stderr)
        return 1
    finally:
        await app.close()
    write = write_csv if as_csv else write_table
    write(found, by, sys.stdout)
    return 0


def _key(entry: Entry, by: Sequence[str]) -> tuple[str, ...]:
    values = {"day": entry.day, "user": entry.user_id, "model": entry.model}
    return tuple(values[column] for column in by)


def _row(key: tuple[str, ...], each: Sum) -> tuple[str, ...]:
    return (*key, str(each.images), str(each.calls), f"{each.usd:.6f}", str(each.unpriced))


if __name__ == "__main__":
    today = datetime.now(UTC).date()
    parser = argparse.ArgumentParser(prog="make usage", description="Sum up images, calls and cost from the ledger.")
    parser.add_argument(
        "--since", type=date.fromisoformat, default=today.replace(day=1), help="first day, UTC; default: of this month"
    )
    parser.add_argument(
        "--until",
        type=date.fromisoformat,
        default=today + timedelta(days=1),
        help="day after the last; default: tomorrow",
    )
    parser.add_argument("--by", type=columns, default=COLUMNS, help="columns to group by, any of day,user,model")
    parser.add_argument("--csv", action="store_true", help="write CSV instead of a table")
    chosen = parser.parse_args()
    sys.exit(asyncio.run(main(chosen.since, chosen.until, chosen.by, as_csv=chosen.csv)))
