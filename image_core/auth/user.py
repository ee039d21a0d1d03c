"""The user of a request."""

import hashlib
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class User:
    """A signed-in person.

    `id` is the session's e-mail address with A to Z in lower case, else `sub:` and its subject.
    """

    id: str
    written: str | None = field(default=None, compare=False)
    """The e-mail address as in the session, where it differs: the original product stored records under it."""

    @property
    def partitions(self) -> tuple[str, ...]:
        """The partition keys of this user's records: the id, and that of the original product where it differs."""
        return (self.id,) if self.written in {None, self.id} else (self.id, str(self.written))

    @property
    def folder(self) -> str:
        """The name of this user's folders in private containers: 32 hexadecimal digits.

        The digest has no key, so that it never changes. It must not appear where others may read it: see
        `storage.pseudonyms`.
        """
        return hashlib.sha256(self.id.encode()).hexdigest()[:32]

    def __repr__(self) -> str:
        # Tracebacks are logged: neither the address nor a digest that anybody can compute may be in them.
        return "User(…)"
