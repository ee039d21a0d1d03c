"""Makes HEIC and AVIF files with any rotation, mirroring and EXIF orientation."""

import struct


def with_orientation(data: bytes, orientation: int) -> bytes:
    """Return the file with another orientation in its EXIF, which is big-endian and has one."""
    at = data.index(b"\x01\x12\x00\x03\x00\x00\x00\x01") + 8
    return data[:at] + struct.pack(">H", orientation) + data[at + 2 :]


def without_exif(data: bytes) -> bytes:
    """Return the file with its EXIF item changed to an item of another type."""
    return data.replace(b"Exif\0", b"none\0", 1)


def turned(data: bytes, *, angle: int | None = None, axis: int | None = None) -> bytes:
    """Give the first item `irot` (quarter turns anticlockwise) and `imir` (0: upside down, 1: left and right)."""
    boxes = [
        struct.pack(">I4sB", 9, name, value) for name, value in ((b"irot", angle), (b"imir", axis)) if value is not None
    ]
    ipco, ipma = data.index(b"ipco") - 4, data.index(b"ipma") - 4
    ipco_end = ipco + _size(data, ipco)
    number = sum(1 for _ in _inside(data, ipco + 8, ipco_end))
    entry = ipma + 16  # of the first item: its id of two bytes, the number of its properties, and one byte for each
    count = data[entry + 2]
    entry_end = entry + 3 + count
    indices = bytes(0x80 | number + 1 + index for index in range(len(boxes)))
    properties = b"".join(boxes)
    grown = bytearray(data)
    grown[entry + 2] = count + len(boxes)
    for name, more in (
        (b"ipco", properties),
        (b"ipma", indices),
        (b"iprp", properties + indices),
        (b"meta", properties + indices),
    ):
        at = data.index(name) - 4
        grown[at : at + 4] = struct.pack(">I", _size(data, at) + len(more))
    _move(grown, data.index(b"iloc") - 4, len(properties + indices))
    return bytes(grown[:ipco_end] + properties + grown[ipco_end:entry_end] + indices + grown[entry_end:])


def _size(data: bytes, at: int) -> int:
    (size,) = struct.unpack_from(">I", data, at)
    assert isinstance(size, int)
    return size


def _inside(data: bytes, at: int, end: int) -> list[int]:
    offsets = []
    while at < end:
        offsets.append(at)
        at += _size(data, at)
    return offsets


def _move(data: bytearray, iloc: int, by: int) -> None:
    """Add to the offset of every extent in the file (ISO/IEC 14496-12, 8.11.3; the forms that encoders write)."""
    version, sizes, base = data[iloc + 8], data[iloc + 12], data[iloc + 13] >> 4
    assert (version, sizes) in {(0, 0x44), (1, 0x44)}
    assert base in {0, 4}
    (count,) = struct.unpack_from(">H", data, iloc + 14)
    at = iloc + 16
    for _ in range(count):
        at += 2
        method = 0
        if version:
            (method,) = struct.unpack_from(">H", data, at)
            at += 2
        at += 2
        if base and method == 0:
            _add(data, at, by)
        at += base
        (extents,) = struct.unpack_from(">H", data, at)
        at += 2
        for _ in range(extents):
            if not base and method == 0:
                _add(data, at, by)
            at += 8


def _add(data: bytearray, at: int, by: int) -> None:
    (offset,) = struct.unpack_from(">I", data, at)
    struct.pack_into(">I", data, at, offset + by)
