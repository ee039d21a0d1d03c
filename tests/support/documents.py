"""Code that readers copy from the documentation."""

import re

from tests.support.paths import ROOT

CLIENTS = ROOT / "docs" / "clients.md"


def next_configuration() -> str:
    """Return the whole `next.config.mjs`."""
    (found,) = re.findall(r"```js\n(const api = .*?)```", CLIENTS.read_text(encoding="utf-8"), re.DOTALL)
    return str(found)
