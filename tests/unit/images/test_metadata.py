"""Metadata is removed, and faulty files are repaired, byte for byte: nothing is decoded, so the files can be tiny."""

import itertools
import struct
import tracemalloc
import zlib
from collections.abc import Callable, Iterator

import pytest

from image_core.images.metadata import (
    MAX_PARTS,
    PNG_END,
    PNG_SIGNATURE,
    Broken,
    NoEnd,
    Part,
    check_rows,
    cleaned,
    has_provenance,
    jpeg_segments,
    missing_checksum,
    png_chunk,
    png_chunks,
    repaired,
    webp_chunks,
    whole,
    with_end,
)

PNG, JPEG, WEBP = "image/png", "image/jpeg", "image/webp"


def wrong(chunk: bytes) -> bytes:
    """Return a PNG's chunk with a wrong checksum."""
    return chunk[:-1] + bytes((chunk[-1] ^ 1,))


# --- PNG

IHDR = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 2, 1, 8, 0, 0, 0, 0))
ROW = b"\0ab"
IDAT = png_chunk(b"IDAT", zlib.compress(ROW))
PLAIN_PNG = PNG_SIGNATURE + IHDR + IDAT + PNG_END


def png(*chunks: bytes) -> bytes:
    return PNG_SIGNATURE + b"".join(chunks)


KEPT_CHUNKS = (
    *(b"PLTE", b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"cICP", b"sBIT", b"bKGD", b"pHYs", b"mDCV", b"cLLI"),
    b"IDAT",
)
REMOVED_CHUNKS = (b"tEXt", b"zTXt", b"iTXt", b"tIME", b"eXIf", b"caBX", b"hIST", b"sPLT", b"acTL", b"fdAT", b"ruSt")


@pytest.mark.parametrize("name", KEPT_CHUNKS)
def test_chunks_of_pixels_and_colours_stay(name: bytes) -> None:
    data = png(IHDR, png_chunk(name, b"x"), IDAT, PNG_END)
    assert cleaned(data, PNG) is data


@pytest.mark.parametrize("name", REMOVED_CHUNKS)
def test_other_chunks_are_removed(name: bytes) -> None:
    chunk = png_chunk(name, b"private")
    assert cleaned(png(chunk, IHDR, chunk, IDAT, chunk, PNG_END, chunk), PNG) == PLAIN_PNG


@pytest.mark.parametrize("name", [b"gAMA", b"iCCP", b"tEXt"])
def test_a_chunk_beside_the_pixels_with_a_wrong_checksum_is_removed(name: bytes) -> None:
    assert cleaned(png(IHDR, wrong(png_chunk(name, b"x")), IDAT, PNG_END), PNG) == PLAIN_PNG


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (png(wrong(IHDR), IDAT, PNG_END), "is damaged: a checksum is wrong"),
        (png(IHDR, wrong(IDAT), PNG_END), "is damaged: a checksum is wrong"),
        (png(IHDR, wrong(png_chunk(b"PLTE", b"abc")), IDAT, PNG_END), "is damaged: a checksum is wrong"),
        (png(IHDR, wrong(png_chunk(b"tRNS", b"a")), IDAT, PNG_END), "is damaged: a checksum is wrong"),
        (png(IHDR, PNG_END), "has no pixels"),
        (png(IHDR), "is cut off"),
        (png(IHDR, IDAT[:8]), "is cut off"),
        (png(IHDR, png_chunk(b"tEXt", b"abc")[:-1]), "is cut off"),
        (PNG_SIGNATURE, "is cut off"),
        (b"", "is cut off"),
    ],
)
def test_a_png_without_valid_pixels_is_broken(data: bytes, words: str) -> None:
    with pytest.raises(Broken) as caught:
        cleaned(data, PNG)
    assert str(caught.value) == words
    assert not isinstance(caught.value, NoEnd)
    assert not whole(data, PNG)


@pytest.mark.parametrize(
    ("data", "fixed"),
    [
        (png(IHDR, IDAT), PLAIN_PNG),
        (png(IHDR, IDAT, PNG_END[:11]), PLAIN_PNG),
        (png(IHDR, IDAT, PNG_END[:3]), PLAIN_PNG),
        (png(IHDR, IDAT, b"\0\0\0\7tEXtabc"), PLAIN_PNG),
        (png(IHDR, IDAT[:-1]), PLAIN_PNG),
        (png(IHDR, IDAT[:-4]), PLAIN_PNG),
        (png(IHDR, IDAT[:-5]), png(IHDR, png_chunk(b"IDAT", IDAT[8:-5]), PNG_END)),
        (png(IHDR, IDAT[:9]), png(IHDR, png_chunk(b"IDAT", IDAT[8:9]), PNG_END)),
        (png(IHDR, b"\xff\xff\xff\xff" + IDAT[4:]), png(IHDR, png_chunk(b"IDAT", IDAT[8:]), PNG_END)),
        (png(IHDR, png_chunk(b"tEXt", b"private"), IDAT), PLAIN_PNG),
        (png(IHDR, IDAT, IDAT[:8]), PLAIN_PNG),
    ],
)
def test_a_png_without_its_end_gets_one(data: bytes, fixed: bytes) -> None:
    with pytest.raises(NoEnd, match=r"^is cut off$"):
        cleaned(data, PNG)
    assert not whole(data, PNG)
    assert with_end(data, PNG) == fixed


@pytest.mark.parametrize("end", [png_chunk(b"IEND", b"odd"), wrong(PNG_END)])
def test_a_damaged_end_is_replaced(end: bytes) -> None:
    assert cleaned(png(IHDR, IDAT, end), PNG) == PLAIN_PNG
    assert with_end(png(IHDR, IDAT, end), PNG) == PLAIN_PNG
    assert whole(png(IHDR, IDAT, end), PNG)


SIZES = [(1, 1), (3, 1), (1, 5), (4, 4), (5, 8), (8, 8), (9, 9), (17, 3), (33, 10)]
PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
BITS = {(0, 1): 1, (0, 2): 2, (0, 4): 4, (0, 8): 8, (0, 16): 16, (2, 8): 24, (2, 16): 48, (3, 1): 1, (3, 2): 2}
BITS |= {(3, 4): 4, (3, 8): 8, (4, 8): 16, (4, 16): 32, (6, 8): 32, (6, 16): 64}
"""Bits of a pixel by colour type and depth."""


def rows_of(width: int, height: int, bits: int, *, interlaced: bool) -> bytes:
    """Return the decompressed rows of a black image (PNG, 7.2 and 8.2)."""
    passes = PASSES if interlaced else ((0, 0, 1, 1),)
    rows = b""
    for left, top, across, down in passes:
        columns = len(range(left, width, across))
        if columns:
            rows += (b"\0" + bytes((columns * bits + 7) // 8)) * len(range(top, height, down))
    return rows


@pytest.mark.parametrize(("colour", "depth"), BITS, ids=str)
@pytest.mark.parametrize("interlaced", [False, True], ids=["in order", "interlaced"])
def test_all_rows_of_a_png_must_be_there(colour: int, depth: int, interlaced: bool) -> None:
    for width, height in SIZES:
        head = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced))
        rows = rows_of(width, height, BITS[colour, depth], interlaced=interlaced)
        check_rows(png(head, png_chunk(b"IDAT", zlib.compress(rows)), PNG_END))
        with pytest.raises(Broken, match=r"^is cut off$"):
            check_rows(png(head, png_chunk(b"IDAT", zlib.compress(rows[:-1])), PNG_END))


@pytest.mark.parametrize("left", range(5))
@pytest.mark.parametrize("split", range(12))
def test_the_missing_part_of_a_checksum_is_returned(left: int, split: int) -> None:
    packed = zlib.compress(ROW)
    checksum, kept = packed[-4:], packed[: len(packed) - 4 + left]
    data = png(IHDR, png_chunk(b"IDAT", kept[:split]), png_chunk(b"IDAT", kept[split:]), PNG_END)
    assert missing_checksum(data) == checksum[left:]
    if left < 4:
        with pytest.raises(Broken, match=r"^is cut off$"):
            check_rows(data)
    else:
        check_rows(data)


@pytest.mark.parametrize("position", range(4))
@pytest.mark.parametrize("separate", [False, True], ids=["in one chunk", "in a chunk of its own"])
def test_a_wrong_checksum_of_the_rows_is_found(position: int, separate: bool) -> None:
    packed = bytearray(zlib.compress(ROW))
    packed[position - 4] ^= 1
    at = len(packed) - 4 if separate else 3
    with pytest.raises(Broken, match=r"^is damaged: a checksum is wrong$"):
        missing_checksum(
            png(IHDR, png_chunk(b"IDAT", bytes(packed[:at])), png_chunk(b"IDAT", bytes(packed[at:])), PNG_END)
        )


def test_bytes_after_the_checksum_of_the_rows_are_ignored() -> None:
    for tail in (b"x", b"longer than a checksum"):
        packed = zlib.compress(ROW) + tail
        for at in (3, len(packed) - len(tail), len(packed) - len(tail) - 2):
            data = png(IHDR, png_chunk(b"IDAT", packed[:at]), png_chunk(b"IDAT", packed[at:]), PNG_END)
            assert missing_checksum(data) == b""


def test_more_rows_than_in_the_header_are_neither_checked_nor_decompressed() -> None:
    packed = zlib.compress(ROW + b"x" * 50_000_000)[:-4] + b"none"
    data = png(IHDR, png_chunk(b"IDAT", packed), PNG_END)
    tracemalloc.start()
    assert missing_checksum(data) == b""
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10_000_000


def test_rows_of_several_megabytes_are_checked() -> None:
    rows = (b"\0" + bytes(range(250)) * 4) * 4000
    head = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 1000, 4000, 8, 0, 0, 0, 0))
    for level in (0, 1):
        packed = zlib.compress(rows, level)
        assert missing_checksum(png(head, png_chunk(b"IDAT", packed), PNG_END)) == b""
        assert missing_checksum(png(head, png_chunk(b"IDAT", packed[:-4]), PNG_END)) == packed[-4:]


@pytest.mark.parametrize(
    ("packed", "words"),
    [
        (b"", "is cut off"),
        (b"x", "is cut off"),
        (b"x\x9c", "is cut off"),
        (b"\x78\x9c\x07", "is damaged"),
        (zlib.compress(ROW)[:-5], "is cut off"),
    ],
)
def test_compressed_rows_that_are_cut_off_or_damaged_are_broken(packed: bytes, words: str) -> None:
    with pytest.raises(Broken) as caught:
        missing_checksum(png(IHDR, png_chunk(b"IDAT", packed), PNG_END))
    assert str(caught.value) == words


NOTE = png_chunk(b"tEXt", b"made by a model")


@pytest.mark.parametrize(
    ("data", "fixed"),
    [
        (png(IHDR, NOTE, IDAT), png(IHDR, NOTE, IDAT, PNG_END)),
        (png(IHDR, NOTE, IDAT, PNG_END[:5]), png(IHDR, NOTE, IDAT, PNG_END)),
        (png(IHDR, IDAT[:-2]), PLAIN_PNG),
        (png(IHDR, IDAT[:9]), png(IHDR, png_chunk(b"IDAT", IDAT[8:9]), PNG_END)),
        (png(IHDR, IDAT, IDAT[:8]), PLAIN_PNG),
        (png(IHDR, wrong(IDAT), PNG_END), PLAIN_PNG),
        (png(wrong(IHDR), IDAT, PNG_END), PLAIN_PNG),
        (png(IHDR, IDAT, wrong(PNG_END)), PLAIN_PNG),
        (png(IHDR, wrong(NOTE), IDAT, PNG_END), PLAIN_PNG),
        (png(IHDR, wrong(IDAT)), PLAIN_PNG),
    ],
)
def test_a_png_of_a_model_is_repaired(data: bytes, fixed: bytes) -> None:
    assert repaired(data, PNG) == fixed


@pytest.mark.parametrize(
    "data",
    [
        PLAIN_PNG,
        png(IHDR, NOTE, IDAT, PNG_END),
        PLAIN_PNG + b"trailer",
        png(IHDR, png_chunk(b"IDAT", b"x"), png_chunk(b"IDAT", b""), PNG_END),
    ],
)
def test_a_complete_png_of_a_model_stays_as_it_is(data: bytes) -> None:
    assert repaired(data, PNG) is data


@pytest.mark.parametrize(
    "data",
    [png(IHDR, PNG_END), png(IHDR, IDAT[:8]), png(IHDR), png(IHDR, png_chunk(b"IDAT", b""), PNG_END), b"", b"\x89PNG"],
)
def test_a_png_of_a_model_without_pixels_cannot_be_repaired(data: bytes) -> None:
    assert repaired(data, PNG) is None


# --- JPEG

SOI, EOI = b"\xff\xd8", b"\xff\xd9"


def segment(marker: int, body: bytes = b"") -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


DQT, SOF, DHT = segment(0xDB, b"q"), segment(0xC0, b"frame"), segment(0xC4, b"h")
SCAN = segment(0xDA, b"scan") + b"\x01\xff\x00\x02\xff\xd3\x03\xff\xff\x00\x04"
JFIF, ADOBE, ICC = segment(0xE0, b"JFIF\0"), segment(0xEE, b"Adobe"), segment(0xE2, b"ICC_PROFILE\0\1\1icc")
PLAIN_JPEG = SOI + DQT + SOF + DHT + SCAN + EOI

KEPT_SEGMENTS = [JFIF, ADOBE, ICC, segment(0xC8 + 4, b"c"), *(segment(marker) for marker in range(0xDC, 0xE0))]
REMOVED_SEGMENTS = [
    segment(0xE1, b"Exif\0\0private"),
    segment(0xE1, b"Exif\0\0".ljust(40_000, b"x")),
    segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0private"),
    segment(0xE2, b"MPF\0private"),
    segment(0xE2, b"ICC_PROFILE"),
    *(segment(marker, b"private") for marker in range(0xE3, 0xEE)),
    segment(0xEF, b"private"),
    segment(0xFE, b"private"),
]


@pytest.mark.parametrize("part", KEPT_SEGMENTS, ids=bytes.hex)
def test_segments_of_pixels_and_colours_stay(part: bytes) -> None:
    data = SOI + part + PLAIN_JPEG[2:]
    assert cleaned(data, JPEG) is data


@pytest.mark.parametrize("part", REMOVED_SEGMENTS, ids=lambda part: part[:12].hex())
def test_other_segments_are_removed(part: bytes) -> None:
    assert cleaned(SOI + part + DQT + SOF + part + DHT + SCAN + part + EOI + part, JPEG) == PLAIN_JPEG


@pytest.mark.parametrize("junk", [b"\0", b"junk", b"\xff\xff", b"\xff\0", b"\xff\x01", b"\xff\xd0\xff\xd7", SOI])
def test_bytes_and_markers_without_contents_between_segments_are_removed(junk: bytes) -> None:
    assert cleaned(SOI + junk + DQT + junk + SOF + DHT + junk + SCAN + EOI, JPEG) == PLAIN_JPEG


def test_a_colour_profile_has_its_signature_in_its_segment() -> None:
    assert cleaned(SOI + segment(0xE2, b"ICC_PROFILE") + b"\0" + PLAIN_JPEG[2:], JPEG) == PLAIN_JPEG


def test_several_scans_stay() -> None:
    data = SOI + DQT + SOF + SCAN + DHT + SCAN + EOI
    assert cleaned(data, JPEG) is data
    assert [part.name[0] for part in jpeg_segments(data)] == [0xDB, 0xC0, 0xDA, 0xC4, 0xDA, 0xD9]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (SOI + DQT + SOF + EOI, "has no pixels"),
        (SOI + DQT + SOF, "is cut off"),
        (SOI + DQT + segment(0xDA, b"scan")[:-1], "is cut off"),
        (SOI + DQT + SOF + b"\xff\xda", "is cut off"),
        (SOI + DQT + SOF + b"\xff\xda\0", "is cut off"),
        (SOI + DQT + b"\xff\xc0\0\1" + SCAN + EOI, "is damaged"),
        (SOI + DQT + b"\xff\x02\0\2" + SCAN + EOI, "is damaged"),
        (SOI + DQT + b"\xff\xf0\0\2" + SCAN + EOI, "is damaged"),
        (SOI, "is cut off"),
        (b"", "is cut off"),
    ],
)
def test_a_jpeg_without_valid_pixels_is_broken(data: bytes, words: str) -> None:
    with pytest.raises(Broken) as caught:
        cleaned(data, JPEG)
    assert str(caught.value) == words
    assert not isinstance(caught.value, NoEnd)
    assert not whole(data, JPEG)


@pytest.mark.parametrize(
    ("data", "fixed"),
    [
        (PLAIN_JPEG[:-2], PLAIN_JPEG),
        (PLAIN_JPEG[:-1], PLAIN_JPEG),
        (PLAIN_JPEG[:-2] + b"\xff\xff\xff", PLAIN_JPEG),
        (PLAIN_JPEG[:-2] + PLAIN_JPEG, PLAIN_JPEG),
        (PLAIN_JPEG[:-2] + b"\xff\xe1", PLAIN_JPEG),
        (PLAIN_JPEG[:-2] + b"\xff\xe1\0\x09private"[:-1], PLAIN_JPEG),
        (SOI + REMOVED_SEGMENTS[0] + PLAIN_JPEG[2:-2], PLAIN_JPEG),
        (SOI + DQT + segment(0xDA, b"\xff\xff"), SOI + DQT + segment(0xDA, b"\xff\xff")[:4] + EOI),
    ],
)
def test_a_jpeg_without_its_end_gets_one(data: bytes, fixed: bytes) -> None:
    with pytest.raises(NoEnd, match=r"^is cut off$"):
        cleaned(data, JPEG)
    assert not whole(data, JPEG)
    assert with_end(data, JPEG) == fixed


COMMENT = segment(0xFE, b"made by a model")


@pytest.mark.parametrize(
    ("data", "fixed"),
    [
        (SOI + COMMENT + PLAIN_JPEG[2:-2], SOI + COMMENT + PLAIN_JPEG[2:]),
        (PLAIN_JPEG[:-1], PLAIN_JPEG),
        (PLAIN_JPEG[:-2] + b"\xff\xff", PLAIN_JPEG),
        (PLAIN_JPEG[:-4], PLAIN_JPEG[:-4].rstrip(b"\xff") + EOI),
        (PLAIN_JPEG[:-2] + b"X", PLAIN_JPEG[:-2] + b"X" + EOI),
        (PLAIN_JPEG[:-2] + DHT[:-1], PLAIN_JPEG),
        (PLAIN_JPEG[:-2] + PLAIN_JPEG, PLAIN_JPEG),
        (SOI + SOF + SCAN + DHT + SCAN[:-2], SOI + SOF + SCAN + DHT + SCAN[:-2].rstrip(b"\xff") + EOI),
    ],
)
def test_a_jpeg_of_a_model_is_repaired(data: bytes, fixed: bytes) -> None:
    assert repaired(data, JPEG) == fixed


@pytest.mark.parametrize("data", [PLAIN_JPEG, SOI + COMMENT + PLAIN_JPEG[2:], PLAIN_JPEG + b"trailer"])
def test_a_complete_jpeg_of_a_model_stays_as_it_is(data: bytes) -> None:
    assert repaired(data, JPEG) is data


@pytest.mark.parametrize("data", [SOI + SOF + EOI, SOI + SOF, SOI + SOF + SCAN[:6], SOI, b"", SOI + b"\xff\xf0\0\2"])
def test_a_jpeg_of_a_model_without_pixels_cannot_be_repaired(data: bytes) -> None:
    assert repaired(data, JPEG) is None


# --- WebP


def chunk(name: bytes, body: bytes) -> bytes:
    return name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)


def webp(*chunks: bytes, size: int | None = None) -> bytes:
    body = b"WEBP" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body) if size is None else size) + body


def vp8x(flags: int) -> bytes:
    return chunk(b"VP8X", bytes((flags,)) + bytes(9))


VP8 = chunk(b"VP8 ", b"lossy pixels")
PLAIN_WEBP = webp(VP8)


@pytest.mark.parametrize("name", [b"ICCP", b"ANIM", b"ANMF", b"ALPH", b"VP8 ", b"VP8L"])
def test_chunks_of_a_webp_with_pixels_and_colours_stay(name: bytes) -> None:
    data = webp(vp8x(0x32), chunk(name, b"odd"), VP8)
    assert cleaned(data, WEBP) is data


@pytest.mark.parametrize("name", [b"EXIF", b"XMP ", b"C2PA", b"JUNK"])
def test_other_chunks_of_a_webp_and_their_flags_are_removed(name: bytes) -> None:
    private = chunk(name, b"private")
    for flags in range(0x100):
        assert cleaned(webp(vp8x(flags), private, VP8, private), WEBP) == webp(vp8x(flags & 0xF3), VP8)


@pytest.mark.parametrize("name", [b"VP8L", b"ANMF"])
def test_a_webp_has_lossless_or_animated_pixels(name: bytes) -> None:
    data = webp(chunk(name, b"pixels"))
    assert cleaned(data, WEBP) is data


@pytest.mark.parametrize(
    "data",
    [
        PLAIN_WEBP + b"trailer",
        webp(VP8, size=len(PLAIN_WEBP) + 1000),
        webp(VP8, b"EXIF", struct.pack("<I", 100), b"cut"),
        webp(VP8, size=2**32 - 1),
        webp(VP8, b"EXIF\xff\xff\xff\xff", b"cut"),
        webp(VP8, b"EXIF"),
        webp(VP8, b"EXIF\0\0\0"),
    ],
    ids=["a trailer", "a length", "cut off", "a huge length", "a huge chunk", "half of a header", "nearly a header"],
)
def test_a_webp_with_a_fault_behind_its_pixels_is_accepted(data: bytes) -> None:
    assert cleaned(data, WEBP) == PLAIN_WEBP
    assert whole(data, WEBP)
    assert with_end(data, WEBP) == PLAIN_WEBP


def test_a_missing_byte_of_padding_is_added() -> None:
    padded = webp(chunk(b"VP8 ", b"odd"))
    assert cleaned(padded[:-1], WEBP) == padded
    assert cleaned(webp(padded[12:-1]), WEBP) == padded


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (PLAIN_WEBP[:-1], "is cut off"),
        (webp(VP8, size=len(PLAIN_WEBP) - 9), "is cut off"),
        (webp(VP8, b"ANMF", struct.pack("<I", 100)), "is cut off"),
        (webp(b"EXIF", struct.pack("<I", 100)), "is cut off"),
        (webp(chunk(b"ALPH", b"alpha!")), "has no pixels"),
        (webp(vp8x(0), chunk(b"EXIF", b"private!")), "has no pixels"),
        (webp(), "has no pixels"),
        (b"RIFF\0\0", "is cut off"),
        (b"", "is cut off"),
    ],
)
def test_a_webp_without_its_pixels_is_broken(data: bytes, words: str) -> None:
    with pytest.raises(Broken) as caught:
        cleaned(data, WEBP)
    assert str(caught.value) == words
    assert not whole(data, WEBP)


EXIF = chunk(b"EXIF", b"made by a model!")


@pytest.mark.parametrize(
    ("data", "fixed"),
    [
        (webp(vp8x(8), VP8, EXIF, size=7000), webp(vp8x(8), VP8, EXIF)),
        (webp(VP8, size=9)[:4] + struct.pack("<I", 9000) + PLAIN_WEBP[8:], PLAIN_WEBP),
        (webp(VP8, EXIF[:-1]), PLAIN_WEBP),
        (webp(chunk(b"VP8 ", b"odd"))[:-1], webp(chunk(b"VP8 ", b"odd"))),
    ],
)
def test_a_webp_of_a_model_is_repaired(data: bytes, fixed: bytes) -> None:
    assert repaired(data, WEBP) == fixed


@pytest.mark.parametrize("data", [PLAIN_WEBP, webp(vp8x(8), VP8, EXIF), PLAIN_WEBP + b"trailer"])
def test_a_complete_webp_of_a_model_stays_as_it_is(data: bytes) -> None:
    assert repaired(data, WEBP) is data


@pytest.mark.parametrize(
    "data",
    [PLAIN_WEBP[:-1], webp(), webp(EXIF), webp(chunk(b"ALPH", b"alpha!")), webp(VP8, b"ANMF\xff\0\0\0"), b"RIFF"],
)
def test_a_webp_of_a_model_without_its_pixels_cannot_be_repaired(data: bytes) -> None:
    assert repaired(data, WEBP) is None


# --- all formats


def of_parts(count: int) -> list[tuple[Callable[[bytes], Iterator[Part]], bytes]]:
    """Return a file of each format with so many parts."""
    return [
        (png_chunks, png(png_chunk(b"tEXt", b"") * (count - 1), PNG_END)),
        (jpeg_segments, SOI + segment(0xE0) * (count - 1) + EOI),
        (webp_chunks, webp(chunk(b"JUNK", b"") * count)),
    ]


def test_a_file_of_many_parts_is_read() -> None:
    for parts, data in of_parts(MAX_PARTS - 1):
        assert sum(1 for _ in parts(data)) == MAX_PARTS - 1


def test_a_file_of_too_many_parts_is_broken() -> None:
    for parts, data in of_parts(MAX_PARTS + 1):
        with pytest.raises(Broken, match=f"has more than {MAX_PARTS:,} parts"):
            list(parts(data))


@pytest.mark.parametrize(
    ("data", "mime_type", "found"),
    [
        (png(IHDR, png_chunk(b"caBX", b"x"), IDAT, PNG_END), PNG, True),
        (png(IHDR, png_chunk(b"caby", b"x"), IDAT, PNG_END), PNG, False),
        (SOI + segment(0xEB, b"JP\0\1") + PLAIN_JPEG[2:], JPEG, True),
        (SOI + segment(0xEB, b"J") + b"P" + PLAIN_JPEG[2:], JPEG, False),
        (SOI + segment(0xEB, b"XJP") + PLAIN_JPEG[2:], JPEG, False),
        (SOI + segment(0xEA, b"JP\0\1") + PLAIN_JPEG[2:], JPEG, False),
        (webp(VP8, chunk(b"C2PA", b"x")), WEBP, True),
        (webp(VP8, chunk(b"c2pa", b"x")), WEBP, False),
        (SOI + b"\xff\xf0\0\2", JPEG, False),
        (b"RIFF", WEBP, False),
    ],
)
def test_content_credentials_are_a_part_of_their_own(data: bytes, mime_type: str, found: bool) -> None:
    assert has_provenance(data, mime_type) is found


def test_offsets_of_parts_are_those_of_the_file() -> None:
    for parts, data, head in (
        (png_chunks, PLAIN_PNG, 8),
        (jpeg_segments, PLAIN_JPEG, 2),
        (webp_chunks, PLAIN_WEBP, 12),
    ):
        found = list(parts(data))
        assert found[0].start == head
        assert found[-1].end == len(data)
        assert all(before.end == after.start for before, after in itertools.pairwise(found))


def test_parts_end_with_the_file_or_its_end_marker() -> None:
    assert [part.name for part in png_chunks(PLAIN_PNG + IDAT)] == [b"IHDR", b"IDAT", b"IEND"]
    assert [*png_chunks(png(IHDR, b"\0\0\0\7tEXt"))][-1] == Part(b"tEXt", 33, 41, 41, cut=True)
    at = len(SOI + DQT)
    for rest, cut in (
        (b"\xff\xc0", Part(b"\xc0", at, at + 2, at + 2, cut=True)),
        (b"\xff\xc0\0", Part(b"\xc0", at, at + 3, at + 3, cut=True)),
        (b"\xff\xc0\0\2", Part(b"\xc0", at, at + 4, at + 4)),
        (b"\xff\xc0\0\3", Part(b"\xc0", at, at + 4, at + 4, cut=True)),
        (EOI + b"trailer", Part(b"\xd9", at, at + 2, at + 2)),
        (SCAN + SOI, Part(b"\xd9", at + len(SCAN), at + len(SCAN) + 2, at + len(SCAN) + 2, cut=True)),
    ):
        assert [*jpeg_segments(SOI + DQT + rest)][-1] == cut
