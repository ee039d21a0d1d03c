"""Read the orientation in EXIF metadata, and nothing else.

Other tags may have any type, count or value without making the orientation unreadable. Only the entries of the first
directory are read, twelve bytes each and at most 65 535 of them; no array is read.
"""

import struct

ORIENTATION = 0x0112
UPRIGHT = 1
_ENTRY_BYTES = 12
_INTEGERS = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i"}
"""TIFF 6.0's integer types. Orientation is a SHORT (3); some writers use another."""


def orientation(exif: bytes | memoryview) -> int:
    """Return the orientation, 1 to 8; 1 (upright) where none can be read. APP1's signature may precede `exif`."""
    view = memoryview(exif)
    if bytes(view[:6]) == b"Exif\0\0":
        view = view[6:]
    order = {b"II": "<", b"MM": ">"}.get(bytes(view[:2]))
    if order is None:
        return UPRIGHT
    try:
        (at,) = struct.unpack_from(order + "I", view, 4)
        (count,) = struct.unpack_from(order + "H", view, at)
        for number in range(count):
            tag, kind, values = struct.unpack_from(order + "HHI", view, at + 2 + number * _ENTRY_BYTES)
            if tag == ORIENTATION:
                return _first_value(view, order, kind, values, at + 2 + number * _ENTRY_BYTES + 8)
    except struct.error:  # the metadata ends early
        return UPRIGHT
    return UPRIGHT


def _first_value(view: memoryview, order: str, kind: int, values: int, at: int) -> int:
    letter = _INTEGERS.get(kind)
    if letter is None or values < 1:
        return UPRIGHT
    if values * struct.calcsize(letter) > 4:  # noqa: PLR2004 - larger values are outside of the entry
        (at,) = struct.unpack_from(order + "I", view, at)
    (value,) = struct.unpack_from(order + letter, view, at)
    return valid(value)


def valid(value: int) -> int:
    """Return `value` if it is an orientation, else 1."""
    return value if UPRIGHT <= value <= 8 else UPRIGHT  # noqa: PLR2004 - EXIF has eight
