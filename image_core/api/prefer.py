"""The `Prefer` header (RFC 7240): `respond-async` and `wait=N`. What makes no sense is ignored, as the RFC says."""

import re
from dataclasses import dataclass

_WAIT = re.compile(r"\d{1,9}")


@dataclass(frozen=True, slots=True)
class Preference:
    """What a caller would like. `wait` in seconds, None where nothing was said of it."""

    respond_async: bool = False
    wait: int | None = None

    @property
    def at_once(self) -> bool:
        """Whether the answer should not wait for the work at all."""
        return self.wait == 0 or (self.respond_async and self.wait is None)

    @property
    def applied(self) -> str | None:
        """The `Preference-Applied` header, where a preference was honoured."""
        words = ["respond-async"] if self.respond_async else []
        if self.wait is not None:
            words.append(f"wait={self.wait}")
        return ", ".join(words) or None


def preference(header: str | None) -> Preference:
    """Of a preference that is given twice the first counts."""
    given: dict[str, str] = {}
    for part in (header or "").split(","):
        name, _, value = part.split(";", 1)[0].partition("=")
        given.setdefault(name.strip().lower(), value.strip().strip('"'))
    wait = given.get("wait", "")
    return Preference("respond-async" in given, int(wait) if _WAIT.fullmatch(wait) and wait.isascii() else None)
