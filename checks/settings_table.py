"""Write the tables of settings in docs/settings.md from `image_core.settings`, where they are declared.

`python checks/settings_table.py` writes them. With `--check` it exits with 1 if they are out of date.
"""

import sys
from pathlib import Path

from pydantic.fields import FieldInfo

sys.path.insert(0, str(Path(__file__).parent.parent))

from checks.generated_part import update
from image_core.settings import Settings

PAGE = Path(__file__).parent.parent / "docs" / "settings.md"
BEGIN, END = "<!-- settings: written by `make format` -->\n\n", "\n<!-- /settings -->"
GROUPS = {
    "GEMINI_API_KEY": ("Gemini", "Without a key every request for an image is answered with 500."),
    "NEXTAUTH_SECRET": (
        "Sessions and origins",
        "They are those of the front end that signs users in. [Sessions](sessions.md) explains each form.",
    ),
    "AZURE_STORAGE_CONNECTION_STRING": (
        "Blob Storage",
        "Set the connection string or the address. The address needs a managed identity.",
    ),
    "AZURE_COSMOS_CONNECTION_STRING": ("Cosmos DB", "Set the connection string or the endpoint, as for Blob Storage."),
    "FETCH_ALLOW_HOSTS": (
        "Fetching images",
        "Images are fetched from public addresses only, unless a host is named here. See [inputs](inputs.md).",
    ),
    "MAX_IMAGES": ("Size limits", "A request over one of them is answered with 400, 413 or 503."),
    "RESPONSE_BUDGET_SECONDS": (
        "Time and recovery",
        "[Reliability](reliability.md) explains leases, [clients](clients.md) the response budget.",
    ),
    "MAX_CONCURRENT_PER_USER": ("Users and budgets", "[Money](money.md) explains how spending is counted."),
    "LOG_PROMPTS": ("Logs", "Prompts are personal data: they are not logged by default."),
}
"""Title and introduction of each group, by its first variable in the order of the declaration."""


def tables() -> str:
    """Return a heading, an introduction and a table for each group."""
    lines: list[str] = []
    for field in Settings.model_fields.values():
        if group := GROUPS.get(field.alias or ""):
            title, introduction = group
            lines += ["", f"## {title}", "", introduction, "", "| variable | default | meaning |", "| -- | -- | -- |"]
        lines.append(row(field))
    return "\n".join(lines).lstrip("\n") + "\n"


def row(field: FieldInfo) -> str:
    """Return the table row of one setting."""
    default = field.default
    if isinstance(default, tuple):
        shown = ",".join(map(str, default))
    else:
        shown = "" if default is None else str(int(default) if isinstance(default, float) else default)
    return f"| `{field.alias}` | {f'`{shown}`' if shown else ''} | {field.description} |"


if __name__ == "__main__":
    sys.exit(update(PAGE, BEGIN, END, tables(), check="--check" in sys.argv))
