"""Who a request is made for."""

import hashlib
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class User:
    """A signed-in person. `id` is the session's email in lower case, else `sub:` and its subject."""

    id: str
    written: str | None = field(default=None, compare=False)
    """The email as the session has it, where that differs: the original product stored records under it."""

    @property
    def partitions(self) -> tuple[str, ...]:
        """The partition keys under which this user's records are: ours, and the original product's where it differs."""
        return (self.id,) if self.written in {None, self.id} else (self.id, str(self.written))

    @property
    def folder(self) -> str:
        """The name of this user's folders in storage: 32 hexadecimal digits that do not show the address."""
        return hashlib.sha256(self.id.encode()).hexdigest()[:32]

    def __repr__(self) -> str:
        # An address in a traceback would be an address in the logs.
        return f"User({self.folder})"
