"""Write or check the part of a document that is generated, between two markers."""

import sys
from pathlib import Path


def update(page: Path, begin: str, end: str, generated: str, *, check: bool) -> int:
    """Replace the text between the markers by `generated`, or with `check` compare it. Returns the exit code."""
    text = page.read_text(encoding="utf-8")
    before, found, rest = text.partition(begin)
    _, found_end, after = rest.partition(end)
    if not (found and found_end):
        print(f"{page.name}: the markers of the generated part are missing: restore them", file=sys.stderr)
        return 1
    wanted = f"{before}{begin}{generated}{end}{after}"
    if check and wanted != text:
        print(f"docs/{page.name}: the generated part is out of date: run `make format`", file=sys.stderr)
        return 1
    if not check:
        page.write_text(wanted, encoding="utf-8")
    return 0
