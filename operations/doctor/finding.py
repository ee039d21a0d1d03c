"""The result of one check of the doctor."""

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """What was checked, its state, and what fixes it: None if nothing is wrong. It never holds a secret or a cookie."""

    what: str
    state: str
    fix: str | None = None

    @property
    def line(self) -> str:
        """One line for a terminal."""
        if self.fix is None:
            return f"ok    {self.what}: {self.state}"
        return f"FAIL  {self.what}: {self.state} -> {self.fix}"


Findings = Iterator[Finding]

PRINCIPAL = '"$(az ad signed-in-user show --query id --output tsv)"'
"""The person who runs the doctor, for a role assignment. The templates assign the app's roles."""
