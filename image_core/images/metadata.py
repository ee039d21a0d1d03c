"""Walk through the parts of a PNG, JPEG or WebP file: check that it is complete, and remove its metadata.

Metadata is removed without decoding or compressing anything: the pixel data stays the same byte for byte.

Every function reads each part once and stores ranges, not parts: the time is linear in the size of the file, and a file
with more than MAX_PARTS parts is refused. Of a part only a few bytes of its header and its checksum are read.
"""

import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field

MAX_PARTS = 50_000
"""Maximum number of chunks or segments in a file. 20 MB in unusually small chunks of 1 KB are 20 000."""

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
CHECKSUM_BYTES = 4
"""Length of the checksum at the end of each chunk of a PNG."""
PNG_END = b"\0\0\0\0IEND\xaeB`\x82"
# PNG (W3C, third edition), 11: the chunks that define the pixels and their colours, unlike text, times and EXIF.
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
"""Start of frame, with a code for each process; F7 is that of JPEG-LS."""
STANDALONE = {0x01, *range(0xD0, 0xD8)}
KNOWN = {*FRAMES, DHT, 0xCC, SOS, DQT, *range(0xDC, 0xE0), *range(APP0, APP15 + 1), COM}
"""Markers of segments. Any other one is an error for decoders."""
NEXT_MARKER = re.compile(rb"\xff[^\x00\xff]")
NEXT_IN_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
"""The marker after the data of a scan. The pattern starts with a fixed byte: that is 17 times as fast as `\\xff+`."""
EXIF_HEAD = b"Exif\0\0"


class Broken(ValueError):
    """The file is cut off or violates its format. The message can be shown to the caller."""


class NoEnd(Broken):
    """The end marker is missing: only decoding shows whether all pixels are there."""


@dataclass(slots=True)
class Ranges:
    """The contents of a new file: ranges of an old one, adjacent ones merged, and replaced bytes."""

    data: bytes
    parts: list[tuple[int, int] | bytes] = field(default_factory=list)

    def keep(self, start: int, end: int) -> None:
        """Append a range of the old file."""
        last = self.parts[-1] if self.parts else None
        if isinstance(last, tuple) and last[1] == start:
            self.parts[-1] = (last[0], end)
        else:
            self.parts.append((start, end))

    def put(self, replacement: bytes) -> None:
        """Append other bytes."""
        self.parts.append(replacement)

    def size(self) -> int:
        """Return the number of bytes."""
        return sum(len(part) if isinstance(part, bytes) else part[1] - part[0] for part in self.parts)

    def joined(self) -> bytes:
        """Return the new file; `data` itself where nothing has changed."""
        if self.parts == [(0, len(self.data))]:
            return self.data
        view = memoryview(self.data)
        return b"".join(part if isinstance(part, bytes) else view[part[0] : part[1]] for part in self.parts)


@dataclass(frozen=True, slots=True)
class Part:
    """A chunk or segment, with the offsets of its start, its contents (`body`) and its end."""

    name: bytes
    start: int
    body: int
    end: int
    cut: bool = False
    """Whether the file ends before the part; `end` is then that of the file."""


def cleaned(data: bytes, mime_type: str) -> bytes:
    """Remove EXIF, XMP, IPTC, text and bytes after the end; the colour profile stays.

    Bytes between segments, and metadata with a wrong checksum, are removed too. Returns `data` itself where nothing is
    removed. Raises NoEnd where only the end marker is missing, Broken for any other fault.
    """
    ranges, ended = _walked(data, mime_type)
    if not ended:
        raise NoEnd("is cut off")
    return ranges.joined()


def whole(data: bytes, mime_type: str) -> bool:
    """Return whether the file is complete."""
    try:
        return _walked(data, mime_type)[1]
    except Broken:
        return False


def with_end(data: bytes, mime_type: str) -> bytes:
    """Remove metadata, and add a missing end marker. The caller must check that all pixels are there."""
    ranges, ended = _walked(data, mime_type)
    if not ended:
        ranges.put(PNG_END if mime_type == "image/png" else b"\xff\xd9")
    return ranges.joined()


def repaired(data: bytes, mime_type: str) -> bytes | None:
    """Repair an image from a model so that decoders can open it: it is paid for, so whatever exists of it is kept.

    Returns `data` itself where it is complete. Otherwise a missing end marker is added, a PNG's checksums are
    corrected, its last chunk is shortened, and a WebP's length is corrected. Metadata stays. Returns None where there
    are no pixels.
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
    """Return whether the file has Content Credentials: a C2PA manifest in JUMBF (C2PA 2.1, A.3: PNG, JPEG and RIFF)."""
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
    """Return what to keep of the file, and whether its end was found. Raises Broken."""
    try:
        if mime_type == "image/png":
            return _png(data)
        if mime_type == "image/jpeg":
            return _jpeg(data)
        return _webp(data), True
    except (IndexError, struct.error) as error:
        raise Broken("is cut off") from error


def png_chunks(data: bytes) -> Iterator[Part]:
    """Yield the chunks up to IEND or the end of the file. Raises Broken for more than MAX_PARTS."""
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
            else:  # it has no pixels: a damaged one is as harmless as a missing one
                ranges.put(PNG_END)
            return ranges, True
        if part.name in PNG_PIXELS:
            if not _right_checksum(data, part):
                raise Broken("is damaged: a checksum is wrong")
            seen_pixels = seen_pixels or part.name == b"IDAT"
            ranges.keep(part.start, part.end)
        elif part.name in PNG_COLOURS and _right_checksum(data, part):  # decoders ignore those with a wrong checksum
            ranges.keep(part.start, part.end)
    if not seen_pixels:
        raise Broken("is cut off")
    return ranges, False


def _last_idat(ranges: Ranges, part: Part) -> Ranges:
    """Keep the existing bytes of the last chunk of pixels: only its checksum may be missing."""
    (size,) = struct.unpack_from(">I", ranges.data, part.start)
    ranges.put(png_chunk(b"IDAT", ranges.data[part.body : min(part.end, part.body + size)]))
    return ranges


def png_chunk(name: bytes, body: bytes) -> bytes:
    """Return a chunk with its length and checksum."""
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def check_rows(data: bytes) -> None:
    """Raise Broken where rows are missing in a PNG's compressed data, or its checksum is."""
    if missing_checksum(data):
        raise Broken("is cut off")


def missing_checksum(data: bytes) -> bytes:
    """Return the bytes that are missing at the end of a PNG's compressed data, which belong to its checksum.

    Raises Broken where rows are missing, or the data is damaged. Decompresses at most the rows that the header
    declares, a megabyte at a time, and stores none of them.
    """
    inflater = zlib.decompressobj(-15)  # without zlib's header of two bytes and its checksum
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
            if size > rows:  # decoders stop here too
                return b""
        behind = behind or inflater.unused_data[:ADLER_BYTES]
    if size < rows or not inflater.eof:
        raise Broken("is cut off")
    right = checksum.to_bytes(ADLER_BYTES, "big")
    if not right.startswith(behind):
        raise Broken("is damaged: a checksum is wrong")
    return right[len(behind) :]


def _compressed(data: bytes) -> Iterator[memoryview]:
    """Yield the contents of the IDAT chunks, at most PACKED_BYTES at a time."""
    view = memoryview(data)
    for part in png_chunks(data):
        if part.name == b"IDAT":
            for at in range(part.body, part.end - 4, PACKED_BYTES):
                yield view[at : min(at + PACKED_BYTES, part.end - 4)]


PACKED_BYTES = 1 << 16
INFLATED_BYTES = 1 << 20
ADLER_BYTES = 4
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""The seven passes of an interlaced PNG: first column and row, and the steps between columns and rows."""
PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Channels by colour type."""


def _row_bytes(data: bytes) -> int:
    """Return the size of a PNG's decompressed rows, each with a filter number."""
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
    seen_pixels, ended, right = False, False, True
    for part in png_chunks(data):
        if part.cut:
            if part.name == b"IDAT" and part.end > part.body:
                seen_pixels = True
                _last_idat(ranges, part)
            break
        if part.name == b"IDAT" and part.end - part.body > CHECKSUM_BYTES:
            seen_pixels = True
        if _right_checksum(data, part):
            ranges.keep(part.start, part.end)
        else:
            right = False
            if part.name in PNG_PIXELS:
                ranges.put(png_chunk(part.name, data[part.body : part.end - 4]))
        ended = ended or part.name == b"IEND"
    if not seen_pixels:
        return None
    if ended and right:
        return data
    if not ended:
        ranges.put(PNG_END)
    return ranges.joined()


def jpeg_segments(data: bytes) -> Iterator[Part]:
    """Yield the segments from SOI to EOI, named by their marker codes; the data of a scan belongs to its SOS segment.

    Bytes between segments are skipped, as decoders do. A second SOI after pixels ends the file.
    Raises Broken for errors that no decoder accepts, and for more than MAX_PARTS.
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
        if size < 2:  # noqa: PLR2004 - a size includes its own two bytes
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
            if part.cut:  # another image starts
                return ranges, False
            ranges.keep(part.start, part.end)
            return ranges, True
        if part.cut:
            break
        seen_pixels = seen_pixels or marker == SOS
        if _jpeg_kept(data, part):
            end = part.end
            if end == len(data):  # remove half of an end marker, and padding
                end = max(part.body, len(data.rstrip(b"\xff")))
            ranges.keep(part.start, end)
    if not seen_pixels:
        raise Broken("is cut off")
    return ranges, False


def _jpeg_kept(data: bytes, part: Part) -> bool:
    marker = part.name[0]
    if marker == APP2:
        return data.startswith(b"ICC_PROFILE\0", part.body, part.end)
    if marker in {APP0, APP14}:  # JFIF's density and Adobe's colour transform
        return True
    return not (APP1 <= marker <= APP15 or marker == COM)


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
    """Yield the chunks up to the declared length or the end of the file. Raises Broken for more than MAX_PARTS."""
    (size,) = struct.unpack_from("<I", data, 4)
    stop = min(8 + size, len(data))
    at = 12
    for _ in range(MAX_PARTS):
        if at + 8 > stop:
            return
        name, length = struct.unpack_from("<4sI", data, at)
        end = at + 8 + length + length % 2
        # Some encoders omit the last byte of padding.
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
    """Return the chunks with a header of the right length, padded to an even one."""
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
