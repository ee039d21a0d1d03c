"""Warn of models of the default chain that are shut down, or will be within 30 days.

A warning and never an error: a clean build must not break by ageing.
"""

import sys
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from image_core.models.catalog import retiring
from image_core.settings import DEFAULT_CHAIN


def warnings(names: Sequence[str], on: date) -> list[str]:
    """Return a line for each of `names` that is retired or will be, as of that day."""
    return [
        f"warning: image_core/models/catalog.py: {each.name} of the default chain retires on {each.on};"
        f" successor: {each.successor}"
        for each in retiring(names, on)
    ]


if __name__ == "__main__":
    for line in warnings(DEFAULT_CHAIN, datetime.now(UTC).date()):
        print(line, file=sys.stderr)
