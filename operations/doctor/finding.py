"""What one look found: a line, and what mends it."""

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """`fix` is None where nothing is wrong. Neither text ever holds a secret or a cookie."""

    what: str
    state: str
    fix: str | None = None

    @property
    def line(self) -> str:
        return (
            f"ok    {self.what}: {self.state}" if self.fix is None else f"FAIL  {self.what}: {self.state} -> {self.fix}"
        )


Findings = Iterator[Finding]

PRINCIPAL = '"$(az ad signed-in-user show --query id --output tsv)"'
"""Of whoever runs the doctor; for the app itself it is the identity's, which the templates take care of."""
