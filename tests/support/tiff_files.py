"""Writes TIFF files of any layout."""

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field

UNSIGNED, SIGNED, FLOAT = 1, 2, 3
LETTERS = {(8, UNSIGNED): "B", (16, UNSIGNED): "H", (32, UNSIGNED): "I", (32, FLOAT): "f", (64, FLOAT): "d"}
LETTERS |= {(8, SIGNED): "b", (16, SIGNED): "h", (32, SIGNED): "i", (16, FLOAT): "e", (64, UNSIGNED): "Q"}
ADOBE_DEFLATE, NO_COMPRESSION = 8, 1

Rows = Sequence[Sequence[tuple[float, ...]]]
"""Rows of pixels of channels."""


@dataclass
class Tiff:
    """A TIFF of one page or of several. `order` is `<` or `>`."""

    order: str = "<"
    big: bool = False
    body: bytearray = field(default_factory=bytearray)
    first: int = 0
    _link: int = 0

    def __post_init__(self) -> None:
        """Write the header."""
        mark = b"II" if self.order == "<" else b"MM"
        if self.big:
            self.body += mark + struct.pack(self.order + "HHHQ", 43, 8, 0, 0)
            self._link = 8
        else:
            self.body += mark + struct.pack(self.order + "HI", 42, 0)
            self._link = 4

    def add(self, data: bytes) -> int:
        """Append bytes to the file and return their offset."""
        self.body += b"\0" * (len(self.body) % 2)
        at = len(self.body)
        self.body += data
        return at

    def directory(self, tags: dict[int, tuple[int, Sequence[int] | bytes]], *, linked: bool = True) -> int:
        """Write a directory and return its offset. A linked one is the next page."""
        entries = b""
        for tag, (kind, values) in sorted(tags.items()):
            letter, size = {1: ("B", 1), 2: ("B", 1), 3: ("H", 2), 4: ("I", 4), 7: ("B", 1), 13: ("I", 4)}[kind]
            packed = values if isinstance(values, bytes) else struct.pack(f"{self.order}{len(values)}{letter}", *values)
            count = len(packed) // size
            inline = 8 if self.big else 4
            if len(packed) > inline:
                packed = struct.pack(self.order + ("Q" if self.big else "I"), self.add(packed))
            entries += struct.pack(self.order + ("HHQ" if self.big else "HHI"), tag, kind, count)
            entries += packed.ljust(inline, b"\0")
        head = struct.pack(self.order + ("Q" if self.big else "H"), len(tags))
        at = self.add(head + entries + b"\0" * (8 if self.big else 4))
        if linked:
            struct.pack_into(self.order + ("Q" if self.big else "I"), self.body, self._link, at)
            self._link = at + len(head) + len(entries)
        return at

    def image(
        self,
        rows: Rows,
        bits: int = 8,
        kind: int = UNSIGNED,
        photometric: int = 2,
        *,
        planar: bool = False,
        tile: int = 0,
        compression: int = NO_COMPRESSION,
        rows_per_strip: int = 0,
        extra: Sequence[int] = (),
        linked: bool = True,
        more: dict[int, tuple[int, Sequence[int] | bytes]] | None = None,
    ) -> int:
        """Write pixels and their directory, and return its offset. `tile` is the side of square tiles."""
        height, width, channels = len(rows), len(rows[0]), len(rows[0][0])
        planes = (
            [[[(pixel[channel],) for pixel in row] for row in rows] for channel in range(channels)]
            if planar
            else [rows]
        )
        pieces: list[Rows] = []
        for plane in planes:
            if tile:
                blank = (0,) * len(plane[0][0])
                pieces += [
                    [
                        [plane[y][x] if y < height and x < width else blank for x in range(left, left + tile)]
                        for y in range(top, top + tile)
                    ]
                    for top in range(0, height, tile)
                    for left in range(0, width, tile)
                ]
            else:
                step = rows_per_strip or height
                pieces += [plane[top : top + step] for top in range(0, height, step)]
        letter = LETTERS[bits, kind]
        packed = []
        for piece in pieces:
            values = [value for row in piece for pixel in row for value in pixel]
            raw = struct.pack(f"{self.order}{len(values)}{letter}", *values)
            packed.append(zlib.compress(raw) if compression == ADOBE_DEFLATE else raw)
        offsets = [self.add(data) for data in packed]
        sizes = [len(data) for data in packed]
        tags: dict[int, tuple[int, Sequence[int] | bytes]] = {
            256: (4, [width]),
            257: (4, [height]),
            258: (3, [bits] * channels),
            259: (3, [compression]),
            262: (3, [photometric]),
            277: (3, [channels]),
            284: (3, [2 if planar else 1]),
            339: (3, [kind] * channels),
        }
        if tile:
            tags |= {322: (4, [tile]), 323: (4, [tile]), 324: (4, offsets), 325: (4, sizes)}
        else:
            tags |= {273: (4, offsets), 278: (4, [rows_per_strip or height]), 279: (4, sizes)}
        if extra:
            tags[338] = (3, list(extra))
        return self.directory(tags | (more or {}), linked=linked)
