"""Who a request is made for."""

import hashlib
from dataclasses import dataclass, field

_ASCII_LOWER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}


def lowered(address: str) -> str:
    """An e-mail address with A to Z in lower case, so that an id does not depend on how it was typed.

    Other letters stay as they are: Unicode's lower case maps several letters to one (the Kelvin sign and k), and two
    addresses to one id.
    """
    return address.translate(_ASCII_LOWER)


@dataclass(frozen=True, slots=True)
class User:
    """A signed-in person. `id` is the session's e-mail address with A to Z in lower case, else `sub:` and its subject."""

    id: str
    written: str | None = field(default=None, compare=False)
    """The email as the session has it, where that differs: the original product stored records under it."""

    @property
    def partitions(self) -> tuple[str, ...]:
        """The partition keys under which this user's records are: ours, and the original product's where it differs."""
        return (self.id,) if self.written in {None, self.id} else (self.id, str(self.written))

    @property
    def folder(self) -> str:
        """The name of this user's folders in private containers and of ledger items: 32 hexadecimal digits.

        It has no key, so that stored data stays where it is. It does not go where others may read: see
        `store.pseudonyms`.
        """
        return hashlib.sha256(self.id.encode()).hexdigest()[:32]

    def __repr__(self) -> str:
        # An address in a traceback would be an address in the logs, and so would a digest of it that anybody can make.
        return "User(…)"
