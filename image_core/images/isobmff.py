"""Read the orientation of the primary image of a HEIC or AVIF file (ISO/IEC 14496-12, 23008-12).

libheif and libavif apply the container's rotation (`irot`) and mirroring (`imir`). EXIF repeats them in most files, and
in some only EXIF has an orientation, so it counts only where the container has neither.

It runs in the sandbox. Only the headers of at most MAX_BOXES boxes are read.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from image_core.images import exif

MAX_BOXES = 100_000
"""Maximum number of boxes on one level: a gigapixel image in tiles of 512 x 512 has 4000 items."""


@dataclass(frozen=True, slots=True)
class Turning:
    """The orientation of a file. `turned`: the container rotates or mirrors the primary item. `orientation`: EXIF's."""

    turned: bool
    orientation: int
    exif_types: tuple[int, ...]
    """Offsets of the item types `Exif`: decoders ignore the items if these are overwritten."""


Box = tuple[bytes, int, int]
"""A box: its type, and the start and end of its contents."""


def turning(data: bytes) -> Turning:
    """Return the orientation of the primary image; upright for a file that cannot be read."""
    try:
        return _turning(data)
    except (struct.error, IndexError):
        return Turning(turned=False, orientation=exif.UPRIGHT, exif_types=())


def is_sequence(data: bytes) -> bool:
    """Return whether the file has tracks, and no still image."""
    try:
        return _first(data, 0, len(data), b"meta") is None and _first(data, 0, len(data), b"moov") is not None
    except struct.error:
        return False


def _turning(data: bytes) -> Turning:
    meta = _first(data, 0, len(data), b"meta")
    if meta is None:
        return Turning(turned=False, orientation=exif.UPRIGHT, exif_types=())
    inside = {name: (at, end) for name, at, end in _boxes(data, meta[0] + 4, meta[1])}
    primary = _primary(data, inside)
    exif_items = _exif_items(data, inside)
    orientation = exif.UPRIGHT
    described = _descriptions(data, inside, primary)
    for item in exif_items:
        if len(exif_items) == 1 or item in described:
            orientation = _orientation_in(data, inside, item)
            break
    return Turning(_is_turned(data, inside, primary), orientation, tuple(exif_items.values()))


def _boxes(data: bytes, at: int, end: int) -> Iterator[Box]:
    for _ in range(MAX_BOXES):
        if at + 8 > end:
            return
        size, name = struct.unpack_from(">I4s", data, at)
        body = at + 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, body)
            body += 8
        elif size == 0:
            size = end - at
        if size < body - at:
            return
        yield name, body, min(at + size, end)
        at += size


def _first(data: bytes, at: int, end: int, name: bytes) -> tuple[int, int] | None:
    return next(((body, stop) for found, body, stop in _boxes(data, at, end) if found == name), None)


def _number(data: bytes, at: int, size: int) -> int:
    return int.from_bytes(data[at : at + size], "big")


def _primary(data: bytes, inside: dict[bytes, tuple[int, int]]) -> int | None:
    if b"pitm" not in inside:
        return None
    at, _ = inside[b"pitm"]
    return _number(data, at + 4, 4 if data[at] else 2)


def _exif_items(data: bytes, inside: dict[bytes, tuple[int, int]]) -> dict[int, int]:
    """Return the offsets of the types of all EXIF items, by item id."""
    items: dict[int, int] = {}
    if b"iinf" not in inside:
        return items
    at, end = inside[b"iinf"]
    for name, body, _ in _boxes(data, at + (8 if data[at] else 6), end):
        version = data[body]
        if name == b"infe" and version >= 2:  # noqa: PLR2004 - older ones have no item type
            wide = 4 if version > 2 else 2  # noqa: PLR2004
            kind_at = body + 4 + wide + 2
            if data[kind_at : kind_at + 4] == b"Exif":
                items[_number(data, body + 4, wide)] = kind_at
    return items


def _descriptions(data: bytes, inside: dict[bytes, tuple[int, int]], primary: int | None) -> set[int]:
    """Return the ids of the items that describe the primary one."""
    found: set[int] = set()
    if b"iref" not in inside:
        return found
    at, end = inside[b"iref"]
    wide = 4 if data[at] else 2
    for name, body, stop in _boxes(data, at + 4, end):
        if name == b"cdsc":
            targets = range(body + wide + 2, stop, wide)
            if any(_number(data, target, wide) == primary for target in targets):
                found.add(_number(data, body, wide))
    return found


def _is_turned(data: bytes, inside: dict[bytes, tuple[int, int]], primary: int | None) -> bool:
    if b"iprp" not in inside:
        return False
    at, end = inside[b"iprp"]
    properties = _first(data, at, end, b"ipco")
    if properties is None:
        return False
    turning = {number for number, (name, _, _) in enumerate(_boxes(data, *properties), 1) if name in {b"irot", b"imir"}}
    return any(
        not turning.isdisjoint(_associated(data, body, stop, primary))
        for name, body, stop in _boxes(data, at, end)
        if name == b"ipma"
    )


def _associated(data: bytes, at: int, end: int, item: int | None) -> list[int]:
    """Return the numbers of an item's properties."""
    version, wide_index = data[at], data[at + 3] & 1
    wide = 4 if version else 2
    entries = _number(data, at + 4, 4)
    at += 8
    for _ in range(min(entries, MAX_BOXES)):
        if at >= end:
            return []
        number, count = _number(data, at, wide), data[at + wide]
        at += wide + 1
        size = 2 if wide_index else 1
        if number == item:
            mask = 0x7FFF if wide_index else 0x7F
            return [_number(data, at + size * index, size) & mask for index in range(count)]
        at += count * size
    return []


def _orientation_in(data: bytes, inside: dict[bytes, tuple[int, int]], item: int) -> int:
    """Return the orientation in the first 64 KB of an EXIF item, which begins with the offset of its TIFF header."""
    found = _location(data, inside, item)
    if found is None:
        return exif.UPRIGHT
    start, length = found
    body = data[start : start + min(length, 65536)]
    skipped = 4 + _number(body, 0, 4)
    return exif.orientation(body[skipped:] if body[skipped : skipped + 2] in {b"II", b"MM"} else body[4:])


def _location(data: bytes, inside: dict[bytes, tuple[int, int]], item: int) -> tuple[int, int] | None:
    """Return the start and length of the first extent of an item (ISO/IEC 14496-12, 8.11.3)."""
    if b"iloc" not in inside:
        return None
    at, end = inside[b"iloc"]
    version = data[at]
    offset_size, length_size = data[at + 4] >> 4, data[at + 4] & 15
    base_size, index_size = data[at + 5] >> 4, data[at + 5] & 15 if version else 0
    wide = 4 if version > 1 else 2
    count = _number(data, at + 6, wide)
    at += 6 + wide
    for _ in range(min(count, MAX_BOXES)):
        if at >= end:
            return None
        number = _number(data, at, wide)
        at += wide
        method = _number(data, at, 2) & 15 if version else 0
        at += 2 if version else 0
        base = _number(data, at + 2, base_size)
        at += 2 + base_size
        extents = _number(data, at, 2)
        at += 2
        if number == item and extents:
            start = base + _number(data, at + index_size, offset_size)
            length = _number(data, at + index_size + offset_size, length_size)
            if method == 1:
                if b"idat" not in inside:
                    return None
                start += inside[b"idat"][0]
            return start, length
        at += extents * (index_size + offset_size + length_size)
    return None
