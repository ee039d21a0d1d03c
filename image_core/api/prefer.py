"""The `Prefer` header (RFC 7240): `respond-async` and `wait=N`. Unknown and malformed preferences are ignored."""

import re
from dataclasses import dataclass

_WAIT = re.compile(r"\d{1,9}")


@dataclass(frozen=True, slots=True)
class Preference:
    """How a caller prefers to wait. `wait` is in seconds, None where the header does not have it."""

    respond_async: bool = False
    wait: int | None = None

    @property
    def at_once(self) -> bool:
        """Whether the answer should leave without waiting for the generation."""
        return self.wait == 0 or (self.respond_async and self.wait is None)

    @property
    def applied(self) -> str | None:
        """The `Preference-Applied` header; None where there is no preference."""
        words = ["respond-async"] if self.respond_async else []
        if self.wait is not None:
            words.append(f"wait={self.wait}")
        return ", ".join(words) or None


def preference(header: str | None) -> Preference:
    """Parse the header. Of a preference that is given twice, the first counts."""
    given: dict[str, str] = {}
    for part in (header or "").split(","):
        name, _, value = part.split(";", 1)[0].partition("=")
        given.setdefault(name.strip().lower(), value.strip().strip('"'))
    wait = given.get("wait", "")
    return Preference("respond-async" in given, int(wait) if _WAIT.fullmatch(wait) and wait.isascii() else None)
