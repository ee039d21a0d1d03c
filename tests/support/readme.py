"""What the README tells people to paste."""

import re

from tests.support.paths import ROOT

README = ROOT / "README.md"


def next_configuration() -> str:
    """The whole `next.config.mjs`."""
    (found,) = re.findall(r"```js\n(const api = .*?)```", README.read_text(), re.DOTALL)
    return str(found)
