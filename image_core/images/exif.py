"""The orientation in EXIF metadata, and nothing else of it.

A tag beside it may have any type, count or value, and cannot make the orientation unreadable. Nothing but the entries of the
first directory is read, twelve bytes each and at most 65 535 of them; no array is followed.
"""

import struct

ORIENTATION = 0x0112
UPRIGHT = 1
_ENTRY_BYTES = 12
_INTEGERS = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i"}
"""TIFF 6.0's integer types. Orientation is a SHORT (3); writers are found that use another."""


def orientation(exif: bytes | memoryview) -> int:
    """1 to 8 as EXIF numbers them; 1 (upright) where none can be read. `exif` begins with a TIFF header or with `Exif\\0\\0`."""
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
    if values * struct.calcsize(letter) > 4:  # noqa: PLR2004 - what an entry holds itself
        (at,) = struct.unpack_from(order + "I", view, at)
    (value,) = struct.unpack_from(order + letter, view, at)
    return valid(value)


def valid(value: int) -> int:
    """`value` where it is an orientation, else 1."""
    return value if UPRIGHT <= value <= 8 else UPRIGHT  # noqa: PLR2004 - EXIF has eight
