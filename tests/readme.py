"""What the README tells people to paste."""

import re
from pathlib import Path

README = Path(__file__).parent.parent / "README.md"


def next_configuration() -> str:
    """The whole `next.config.mjs`."""
    (found,) = re.findall(r"```js\n(const api = .*?)```", README.read_text(), re.DOTALL)
    return str(found)
