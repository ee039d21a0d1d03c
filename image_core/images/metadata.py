"""The parts that a PNG, JPEG or WebP file is made of: whether they are all there, and which of them the pixels need.

Metadata is cut out of the file as it lies, without decoding or compressing anything: the pixel data stays byte for byte.

Every function reads each part once and keeps ranges, not parts: time is linear in the file's size, and a file of more than
MAX_PARTS parts is refused. No function reads what a part holds beyond a few bytes of its head and its checksum.
"""

import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field

MAX_PARTS = 50_000
"""Chunks or segments of one file. An encoder that writes 20 MB in chunks of 1 KB, which is unusually small, makes 20 000."""

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
PNG_END = b"\0\0\0\0IEND\xaeB`\x82"
# PNG (W3C, third edition), 11: what pixels need to look right. Text, times, EXIF and the unknown are not among it.
PNG_PIXELS = {b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS"}
PNG_COLOURS = {b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"cICP", b"sBIT", b"bKGD", b"pHYs", b"mDCV", b"cLLI"}
# WebP (RFC 9649): the image and its colour profile.
WEBP_PIXELS = {b"VP8 ", b"VP8L", b"ALPH", b"ANMF"}
WEBP_KEPT = WEBP_PIXELS | {b"VP8X", b"ICCP", b"ANIM"}
WEBP_EXIF_AND_XMP = 0x0C

# JPEG (ITU-T T.81): marker codes.
SOI, EOI, SOS, DQT, DHT = 0xD8, 0xD9, 0xDA, 0xDB, 0xC4
APP0, APP1, APP2, APP11, APP14, APP15, COM = 0xE0, 0xE1, 0xE2, 0xEB, 0xEE, 0xEF, 0xFE
FRAMES = {*range(0xC0, 0xD0), 0xF7} - {DHT, 0xC8, 0xCC}
"""Start of frame, one code for each process; F7 is JPEG-LS's."""
STANDALONE = {0x01, *range(0xD0, 0xD8)}
KNOWN = {*FRAMES, DHT, 0xCC, SOS, DQT, *range(0xDC, 0xE0), *range(APP0, APP15 + 1), COM}
"""Markers of segments. Decoders end with an error at any other."""
NEXT_MARKER = re.compile(rb"\xff[^\x00\xff]")
NEXT_IN_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
"""Behind the data of a scan. It begins with one certain byte, which is searched for seventeen times as fast as with `\\xff+`."""
EXIF_HEAD = b"Exif\0\0"


class Broken(ValueError):
    """The file is cut off, or is not made as its kind is made. The message can be shown."""


class NoEnd(Broken):
    """The pixels have begun and the end mark is missing: whether they are all there is known only after decoding them."""


@dataclass(slots=True)
class Ranges:
    """What is taken from a file: ranges of it, adjacent ones merged, and bytes that replace others."""

    data: bytes
    parts: list[tuple[int, int] | bytes] = field(default_factory=list)

    def keep(self, start: int, end: int) -> None:
        last = self.parts[-1] if self.parts else None
        if isinstance(last, tuple) and last[1] == start:
            self.parts[-1] = (last[0], end)
        else:
            self.parts.append((start, end))

    def put(self, replacement: bytes) -> None:
        self.parts.append(replacement)

    def size(self) -> int:
        return sum(len(part) if isinstance(part, bytes) else part[1] - part[0] for part in self.parts)

    def joined(self) -> bytes:
        """The parts as one; `data` itself where they are all of it."""
        if self.parts == [(0, len(self.data))]:
            return self.data
        view = memoryview(self.data)
        return b"".join(part if isinstance(part, bytes) else view[part[0] : part[1]] for part in self.parts)


@dataclass(frozen=True, slots=True)
class Part:
    """A chunk or segment: `body` is where its contents begin, `end` where the next part may begin, both in bytes."""

    name: bytes
    start: int
    body: int
    end: int
    cut: bool = False
    """The file ends before the part does; `end` is then the file's."""


def cleaned(data: bytes, mime_type: str) -> bytes:
    """The whole file without EXIF, XMP, IPTC, text and what lies behind its end; the colour profile stays.

    Bytes between segments and metadata with a wrong checksum are cut out too. Returns `data` itself where there is nothing
    to cut. Raises NoEnd where only the end mark is missing, Broken for any other fault.
    """
    ranges, ended = _walked(data, mime_type)
    if not ended:
        raise NoEnd("is cut off")
    return ranges.joined()


def whole(data: bytes, mime_type: str) -> bool:
    """Whether the file is complete."""
    try:
        return _walked(data, mime_type)[1]
    except Broken:
        return False


def with_end(data: bytes, mime_type: str) -> bytes:
    """As `cleaned`, and with an end mark where there is none. Whether all pixels are there is for the caller to check."""
    ranges, ended = _walked(data, mime_type)
    if not ended:
        ranges.put(PNG_END if mime_type == "image/png" else b"\xff\xd9")
    return ranges.joined()


def repaired(data: bytes, mime_type: str) -> bytes | None:
    """A file that decoders open, made of an image that a model returned: it was paid for, so what is there of it is kept.

    `data` itself where it is whole. Otherwise a missing end mark is added, a PNG's checksums are made right, its last chunk
    is cut to what is there, and a WebP's length is that of its chunks. Metadata stays. None where no pixels are there.
    """
    try:
        if mime_type == "image/png":
            return _repaired_png(data)
        if mime_type == "image/jpeg":
            return _repaired_jpeg(data)
        return _repaired_webp(data)
    except (Broken, IndexError, struct.error):
        return None


def has_provenance(data: bytes, mime_type: str) -> bool:
    """Whether the file has Content Credentials: a C2PA manifest in JUMBF (C2PA 2.1, A.3: PNG, JPEG and RIFF)."""
    try:
        if mime_type == "image/png":
            return any(part.name == b"caBX" for part in png_chunks(data))
        if mime_type == "image/jpeg":
            return any(
                part.name[0] == APP11 and data.startswith(b"JP", part.body, part.end) for part in jpeg_segments(data)
            )
        return any(part.name == b"C2PA" for part in webp_chunks(data))
    except (Broken, IndexError, struct.error):
        return False


def _walked(data: bytes, mime_type: str) -> tuple[Ranges, bool]:
    """What to take of the file, and whether its end was found. Raises Broken."""
    try:
        if mime_type == "image/png":
            return _png(data)
        if mime_type == "image/jpeg":
            return _jpeg(data)
        return _webp(data), True
    except (IndexError, struct.error) as error:
        raise Broken("is cut off") from error


def png_chunks(data: bytes) -> Iterator[Part]:
    """The chunks up to IEND or the end of the file. Raises Broken for more than MAX_PARTS."""
    at = 8
    for _ in range(MAX_PARTS):
        if at + 8 > len(data):
            return
        size, name = struct.unpack_from(">I4s", data, at)
        end = at + 12 + size
        yield Part(name, at, at + 8, min(end, len(data)), cut=end > len(data))
        if end > len(data) or name == b"IEND":
            return
        at = end
    raise Broken(f"has more than {MAX_PARTS:,} parts")


def _right_checksum(data: bytes, part: Part) -> bool:
    (checksum,) = struct.unpack_from(">I", data, part.end - 4)
    return bool(zlib.crc32(memoryview(data)[part.start + 4 : part.end - 4]) == checksum)


def _png(data: bytes) -> tuple[Ranges, bool]:
    ranges = Ranges(data)
    ranges.keep(0, 8)
    seen_pixels = False
    for part in png_chunks(data):
        if part.cut:
            if part.name == b"IDAT" and part.end > part.body:
                return _last_idat(ranges, part), False
            break
        if part.name == b"IEND":
            if not seen_pixels:
                raise Broken("has no pixels")
            if data[part.start : part.end] == PNG_END:
                ranges.keep(part.start, part.end)
            else:  # it holds no pixels, so one that is damaged counts as little as one that is missing
                ranges.put(PNG_END)
            return ranges, True
        if part.name in PNG_PIXELS:
            if not _right_checksum(data, part):
                raise Broken("is damaged: a checksum is wrong")
            seen_pixels = seen_pixels or part.name == b"IDAT"
            ranges.keep(part.start, part.end)
        elif part.name in PNG_COLOURS and _right_checksum(data, part):  # decoders leave one with a wrong checksum out
            ranges.keep(part.start, part.end)
    if not seen_pixels:
        raise Broken("is cut off")
    return ranges, False


def _last_idat(ranges: Ranges, part: Part) -> Ranges:
    """The last chunk of pixels as far as it is there: its checksum may be all that is missing."""
    (size,) = struct.unpack_from(">I", ranges.data, part.start)
    ranges.put(png_chunk(b"IDAT", ranges.data[part.body : min(part.end, part.body + size)]))
    return ranges


def png_chunk(name: bytes, body: bytes) -> bytes:
    """A chunk with its length and checksum."""
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def check_rows(data: bytes) -> None:
    """Raise Broken where the compressed data of a PNG does not have every row, or not its checksum."""
    if missing_checksum(data):
        raise Broken("is cut off")


def missing_checksum(data: bytes) -> bytes:
    """The bytes that are missing at the end of a PNG's compressed data, which are of its checksum.

    Raises Broken where rows are missing, or the data is damaged. Inflates no more than the rows that the header tells, a
    megabyte at a time, and keeps none of them.
    """
    inflater = zlib.decompressobj(-15)  # without zlib's head of two bytes, and without its checksum
    rows = _row_bytes(data)
    skipped, size, checksum, behind = 2, 0, 1, b""
    for piece in _compressed(data):
        skipped, packed = max(0, skipped - len(piece)), bytes(piece[skipped:])
        if inflater.eof:
            behind = (behind + packed)[:ADLER_BYTES]
        while packed and not inflater.eof:
            try:
                inflated = inflater.decompress(packed, INFLATED_BYTES)
            except zlib.error:
                raise Broken("is damaged") from None
            size, checksum, packed = size + len(inflated), zlib.adler32(inflated, checksum), inflater.unconsumed_tail
            if size > rows:  # decoders stop here, too
                return b""
        behind = behind or inflater.unused_data[:ADLER_BYTES]
    if size < rows or not inflater.eof:
        raise Broken("is cut off")
    right = checksum.to_bytes(ADLER_BYTES, "big")
    if not right.startswith(behind):
        raise Broken("is damaged: a checksum is wrong")
    return right[len(behind) :]


def _compressed(data: bytes) -> Iterator[memoryview]:
    """The contents of the IDAT chunks, at most PACKED_BYTES at a time."""
    view = memoryview(data)
    for part in png_chunks(data):
        if part.name == b"IDAT":
            for at in range(part.body, part.end - 4, PACKED_BYTES):
                yield view[at : min(at + PACKED_BYTES, part.end - 4)]


PACKED_BYTES = 1 << 16
INFLATED_BYTES = 1 << 20
ADLER_BYTES = 4
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""The seven passes of an interlaced PNG: the first column and row, and the steps between columns and rows."""
PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""By colour type."""


def _row_bytes(data: bytes) -> int:
    """How many bytes the rows of a PNG have, a filter's number before each."""
    width, height, depth, colour = struct.unpack_from(">IIBB", data, 16)
    bits = depth * PNG_CHANNELS[colour]
    passes = _ADAM7 if data[28] else ((0, 0, 1, 1),)
    total = 0
    for left, top, across, down in passes:
        columns, rows = -(-(width - left) // across), -(-(height - top) // down)
        if columns > 0 and rows > 0:
            total += rows * (1 + (columns * bits + 7) // 8)
    return total


def _repaired_png(data: bytes) -> bytes | None:
    ranges = Ranges(data)
    ranges.keep(0, 8)
    pixels, ended, right = 0, False, True
    for part in png_chunks(data):
        if part.cut:
            if part.name == b"IDAT" and part.end > part.body:
                pixels += part.end - part.body
                _last_idat(ranges, part)
            break
        if part.name == b"IDAT":
            pixels += part.end - part.body - 4
        if _right_checksum(data, part):
            ranges.keep(part.start, part.end)
        else:
            right = False
            if part.name in PNG_PIXELS:
                ranges.put(png_chunk(part.name, data[part.body : part.end - 4]))
        ended = ended or part.name == b"IEND"
    if pixels <= 0:
        return None
    if ended and right:
        return data
    if not ended:
        ranges.put(PNG_END)
    return ranges.joined()


def jpeg_segments(data: bytes) -> Iterator[Part]:
    """The segments from SOI to EOI, each named by its marker's code; the data of a scan belongs to its SOS segment.

    What lies between two segments is passed over, as decoders do. A second SOI behind pixels ends the file as its end does.
    Raises Broken for what no decoder takes and for more than MAX_PARTS.
    """
    at, in_pixels = 2, False
    for _ in range(MAX_PARTS):
        found = NEXT_MARKER.search(data, at)
        if found is None:
            return
        at = found.start()
        marker = data[at + 1]
        if marker == EOI or (marker == SOI and in_pixels):
            yield Part(bytes((EOI,)), at, at + 2, at + 2, cut=marker != EOI)
            return
        if marker in STANDALONE or marker == SOI:
            at += 2
            continue
        if marker not in KNOWN:
            raise Broken("is damaged")
        if at + 4 > len(data):
            yield Part(bytes((marker,)), at, len(data), len(data), cut=True)
            return
        (size,) = struct.unpack_from(">H", data, at + 2)
        end = at + 2 + size
        if size < 2:  # noqa: PLR2004 - a size counts its own two bytes
            raise Broken("is damaged")
        if end > len(data):
            yield Part(bytes((marker,)), at, at + 4, len(data), cut=True)
            return
        if marker == SOS:
            in_pixels = True
            following = NEXT_IN_SCAN.search(data, end)
            end = len(data) if following is None else following.start()
        yield Part(bytes((marker,)), at, at + 4, end)
        at = end
    raise Broken(f"has more than {MAX_PARTS:,} parts")


def _jpeg(data: bytes) -> tuple[Ranges, bool]:
    ranges = Ranges(data)
    ranges.keep(0, 2)
    seen_pixels = False
    for part in jpeg_segments(data):
        marker = part.name[0]
        if marker == EOI:
            if not seen_pixels:
                raise Broken("has no pixels")
            if part.cut:  # another image begins
                return ranges, False
            ranges.keep(part.start, part.end)
            return ranges, True
        if part.cut:
            break
        seen_pixels = seen_pixels or marker == SOS
        if _jpeg_kept(data, part):
            end = part.end
            if end == len(data):  # without the first half of an end mark, and without padding
                end = max(part.body, len(data.rstrip(b"\xff")))
            ranges.keep(part.start, end)
    if not seen_pixels:
        raise Broken("is cut off")
    return ranges, False


def _jpeg_kept(data: bytes, part: Part) -> bool:
    marker = part.name[0]
    if marker == APP2:
        return data.startswith(b"ICC_PROFILE\0", part.body, part.end)
    if marker in {APP0, APP14}:  # JFIF's density, Adobe's colour transform
        return True
    return not (APP0 <= marker <= APP15 or marker == COM)


def _repaired_jpeg(data: bytes) -> bytes | None:
    end = None
    for part in jpeg_segments(data):
        if part.name[0] == EOI and not part.cut:
            return data if end is not None else None
        if part.cut:
            break
        if part.name[0] == SOS:
            end = part.end
    return None if end is None else data[:end].rstrip(b"\xff") + b"\xff\xd9"


def webp_chunks(data: bytes) -> Iterator[Part]:
    """The chunks up to the length that the file's head gives, or the end of the file. Raises Broken for more than MAX_PARTS."""
    (size,) = struct.unpack_from("<I", data, 4)
    stop = min(8 + size, len(data))
    at = 12
    for _ in range(MAX_PARTS):
        if at + 8 > stop:
            return
        name, length = struct.unpack_from("<4sI", data, at)
        end = at + 8 + length + length % 2
        # Some writers leave out the last byte of padding.
        cut = at + 8 + length > stop
        yield Part(name, at, at + 8, min(end, stop), cut=cut)
        if cut:
            return
        at = end
    raise Broken(f"has more than {MAX_PARTS:,} parts")


def _webp(data: bytes) -> Ranges:
    kept = Ranges(data)
    seen_pixels = False
    for part in webp_chunks(data):
        if part.cut:
            if part.name in WEBP_PIXELS or not seen_pixels:
                raise Broken("is cut off")
            break
        seen_pixels = seen_pixels or part.name in WEBP_PIXELS - {b"ALPH"}
        if part.name == b"VP8X" and data[part.body] & WEBP_EXIF_AND_XMP:
            kept.keep(part.start, part.body)
            kept.put(bytes([data[part.body] & ~WEBP_EXIF_AND_XMP & 0xFF]))
            kept.keep(part.body + 1, part.end)
        elif part.name in WEBP_KEPT:
            kept.keep(part.start, part.end)
    if not seen_pixels:
        raise Broken("has no pixels")
    return _riff(kept)


def _riff(kept: Ranges) -> Ranges:
    """The chunks with a head of the right length before them, and padded to an even one."""
    if kept.size() % 2:
        kept.put(b"\0")
    total = struct.pack("<I", 4 + kept.size())
    whole = Ranges(kept.data)
    if kept.data[4:8] == total:
        whole.keep(0, 12)
    else:
        whole.put(b"RIFF" + total + b"WEBP")
    for part in kept.parts:
        if isinstance(part, bytes):
            whole.put(part)
        else:
            whole.keep(*part)
    return whole


def _repaired_webp(data: bytes) -> bytes | None:
    kept = Ranges(data)
    seen_pixels = False
    for part in webp_chunks(data):
        if part.cut:
            if part.name in WEBP_PIXELS:
                return None
            break
        seen_pixels = seen_pixels or part.name in WEBP_PIXELS - {b"ALPH"}
        kept.keep(part.start, part.end)
    if not seen_pixels:
        return None
    fixed = _riff(kept)
    return data if data[: fixed.size()] == fixed.joined() else fixed.joined()
