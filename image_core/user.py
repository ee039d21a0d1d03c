"""Who a request is made for."""

import hashlib
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class User:
    """A signed-in person. `id` is the session's email in lower case, else `sub:` and its subject."""

    id: str

    @property
    def folder(self) -> str:
        """The name of this user's folders in storage: 32 hexadecimal digits that do not show the address."""
        return hashlib.sha256(self.id.encode()).hexdigest()[:32]

    def __repr__(self) -> str:
        # An address in a traceback would be an address in the logs.
        return f"User({self.folder})"
