"""The table of settings in the README, from the one place where they are declared.

`python checks/settings_table.py` writes it; with `--check` it only says whether it is up to date.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from image_core.settings import Settings

README = Path(__file__).parent.parent / "README.md"
BEGIN, END = "<!-- settings -->\n\n", "\n<!-- /settings -->"


def table() -> str:
    """Markdown, a row for each variable, in the order of the declaration."""
    rows = ["| variable | default |  |", "| -- | -- | -- |"]
    for field in Settings.model_fields.values():
        default = field.default
        if isinstance(default, tuple):
            shown = ",".join(map(str, default))
        else:
            shown = "" if default is None else str(int(default) if isinstance(default, float) else default)
        rows.append(f"| `{field.alias}` | {f'`{shown}`' if shown else ''} | {field.description} |")
    return "\n".join(rows) + "\n"


def main(check: bool) -> int:  # noqa: FBT001 - the one flag of the command
    """The exit code."""
    text = README.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    wanted = f"{before}{BEGIN}{table()}{END}{after}"
    if check and wanted != text:
        print("README.md: the table of settings is not up to date: run `make format`", file=sys.stderr)
        return 1
    if not check:
        README.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main("--check" in sys.argv))
