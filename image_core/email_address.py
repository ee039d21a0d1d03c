"""The normal form of e-mail addresses, which identify users in sessions, records and settings."""

_ASCII_LOWER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}


def lowered(address: str) -> str:
    """Return an e-mail address with A to Z in lower case, so that an id does not depend on how it was typed.

    Other letters stay as they are: Unicode's lower case maps several letters to one (the Kelvin sign and k), which
    would give two addresses the same id.
    """
    return address.translate(_ASCII_LOWER)
