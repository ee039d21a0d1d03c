"""Headers: the type, size, orientation and variant of an image are read from its bytes, without decoding it."""

import itertools
import struct

import pytest

from image_core.images.metadata import PNG_SIGNATURE, png_chunk
from image_core.images.probe import PNG_DEPTHS, Header, kind, read_header

# --- types


def ftyp(major: bytes, *compatible: bytes) -> bytes:
    """Return the first box of an ISO media file, and a box with a brand that does not count."""
    brands = major + b"\0\0\0\1" + b"".join(compatible)
    return struct.pack(">I", 8 + len(brands)) + b"ftyp" + brands + b"avifavif" * 20


KINDS: list[tuple[bytes, str | None]] = [
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"\x89PNG\n\x1a\n\n", None),
    (b"\xff\xd8", "JPEG"),
    (b"\xff\xd9", None),
    (b"RIFF\0\0\0\0WEBP", "WEBP"),
    (b"RIFF\0\0\0\0WAVE", None),
    (b"RIFX\0\0\0\0WEBP", None),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"GIF88a", None),
    (b"BM", "BMP"),
    (b"BN", None),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
    (b"II\0*", None),
    *((ftyp(brand), "HEIF") for brand in (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")),
    (ftyp(b"avif"), "AVIF"),
    (ftyp(b"avis"), "AVIF"),
    (ftyp(b"mif1", b"heic", b"miaf"), "HEIF"),
    (ftyp(b"mif1", b"miaf", b"avif"), "AVIF"),
    (ftyp(b"msf1", b"avis"), "AVIF"),
    (ftyp(b"heic", b"mif1", b"avif"), "HEIF"),
    (ftyp(b"MiHB", b"heic"), "HEIF"),
    (ftyp(b"MiAB", b"miaf", b"avif"), "AVIF"),
    (ftyp(b"isom", b"mp42"), None),
    (ftyp(b"isom", *(b"mp42",) * 59, b"avif"), "AVIF"),
    (ftyp(b"isom", *(b"mp42",) * 60, b"avif"), None),
    (b"\xff\xff\xff\xffftypisom\0\0\0\1avif", "AVIF"),
    (ftyp(b"isom", b"..av", b"if.."), None),
    (b"\0\0\0\x18moovheic", None),
    (b"\0\0\0\x10ftyp", None),
    (b"", None),
]


@pytest.mark.parametrize(("data", "name"), KINDS, ids=[f"{data[:16].hex()} {len(data)}" for data, _ in KINDS])
def test_a_type_is_known_by_its_first_bytes(data: bytes, name: str | None) -> None:
    assert kind(data) == name


def exif(orientation: int) -> bytes:
    return b"II*\0\x08\0\0\0\1\0" + struct.pack("<HHIHH", 0x112, 3, 1, orientation, 0) + b"\0\0\0\0"


# --- PNG


def png(*header: int, parts: bytes = b"", first: bytes = b"IHDR") -> bytes:
    return PNG_SIGNATURE + png_chunk(first, struct.pack(">IIBBBBB", *header)) + parts + png_chunk(b"IEND", b"")


PALETTE = png_chunk(b"PLTE", b"\1\2\3")


@pytest.mark.parametrize(("colour", "depth"), [*itertools.product(range(8), (0, 1, 2, 3, 4, 8, 16, 32))])
def test_a_png_is_plain_with_at_most_eight_bits_and_the_palette_that_it_needs(colour: int, depth: int) -> None:
    bare = read_header(png(7, 5, depth, colour, 0, 0, 0))
    complete = read_header(png(7, 5, depth, colour, 0, 0, 0, parts=PALETTE))
    if depth in PNG_DEPTHS.get(colour, ()):
        assert bare == Header("image/png", 7, 5, plain=depth <= 8 and colour != 3)
        assert complete == Header("image/png", 7, 5, plain=depth <= 8)
    else:
        assert bare is complete is None


LARGEST = 2**31 - 1


@pytest.mark.parametrize(
    ("header", "valid"),
    [
        ((1, 1, 8, 2, 0, 0, 0), True),
        ((LARGEST, LARGEST, 8, 2, 0, 0, 1), True),
        ((0, 1, 8, 2, 0, 0, 0), False),
        ((1, 0, 8, 2, 0, 0, 0), False),
        ((LARGEST + 1, 1, 8, 2, 0, 0, 0), False),
        ((1, LARGEST + 1, 8, 2, 0, 0, 0), False),
        ((1, 1, 8, 2, 1, 0, 0), False),
        ((1, 1, 8, 2, 0, 1, 0), False),
        ((1, 1, 8, 2, 0, 0, 2), False),
    ],
)
def test_a_png_header_has_sides_and_methods_that_the_standard_defines(header: tuple[int, ...], valid: bool) -> None:
    found = read_header(png(*header))
    assert found == (Header("image/png", header[0], header[1]) if valid else None)


def test_a_png_begins_with_its_header() -> None:
    assert read_header(png(1, 1, 8, 2, 0, 0, 0, first=b"gAMA")) is None
    assert read_header(png(1, 1, 8, 2, 0, 0, 0)[:28]) is None


def test_the_orientation_of_a_png_is_that_in_exif() -> None:
    parts = png_chunk(b"tEXt", exif(3)) + png_chunk(b"eXIf", exif(6))
    assert read_header(png(7, 5, 8, 2, 0, 0, 0, parts=parts)) == Header("image/png", 7, 5, 6)


# --- JPEG


def segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def frame(marker: int = 0xC0, precision: int = 8, height: int = 5, width: int = 7, channels: int = 3) -> bytes:
    body = struct.pack(">BHHB", precision, height, width, channels)
    return segment(marker, body + b"".join(bytes((number, 0x11, 0)) for number in range(channels)))


DQT, DHT, SOS = segment(0xDB, bytes(65)), segment(0xC4, bytes(17)), segment(0xDA, bytes(6)) + b"\1\2\3"


def jpeg(*parts: bytes) -> bytes:
    return b"\xff\xd8" + b"".join(parts) + b"\xff\xd9"


BASELINE, EXTENDED, PROGRESSIVE = 0xC0, 0xC1, 0xC2


@pytest.mark.parametrize(
    ("marker", "progressive", "plain", "unsupported"),
    [
        (BASELINE, False, True, None),
        (EXTENDED, False, True, None),
        (PROGRESSIVE, True, True, None),
        (0xC3, False, False, "a lossless JPEG"),
        *((marker, False, False, "a hierarchical JPEG") for marker in (0xC5, 0xC6, 0xC7, 0xCD, 0xCE, 0xCF)),
        (0xC9, False, False, None),
        (0xCA, True, False, None),
        (0xCB, False, False, "a lossless JPEG"),
        (0xF7, False, False, "JPEG-LS"),
    ],
)
def test_a_jpeg_is_of_the_process_of_its_frame(
    marker: int, progressive: bool, plain: bool, unsupported: str | None
) -> None:
    found = read_header(jpeg(DQT, DHT, frame(marker), SOS))
    assert found == Header("image/jpeg", 7, 5, plain=plain, progressive=progressive, unsupported=unsupported)


@pytest.mark.parametrize(
    ("data", "plain", "unsupported"),
    [
        (jpeg(DQT, DHT, frame(channels=1), SOS), True, None),
        (jpeg(DQT, DHT, frame(channels=4), SOS), False, None),
        (jpeg(DQT, DHT, frame(channels=2), SOS), False, "a JPEG with 2 channels"),
        (jpeg(DQT, DHT, frame(channels=0), SOS), False, "a JPEG with 0 channels"),
        (jpeg(DQT, DHT, frame(channels=5), SOS), False, "a JPEG with 5 channels"),
        (jpeg(DQT, DHT, frame(precision=12), SOS), True, "a JPEG with 12 bits per sample"),
        (jpeg(DQT, DHT, frame(0xC9, precision=12), SOS), False, "a JPEG with 12 bits per sample"),
        (jpeg(DQT, DHT, frame(channels=200), SOS), False, "a JPEG with 200 channels"),
        (jpeg(DQT, DHT, frame(precision=200), SOS), True, "a JPEG with 200 bits per sample"),
        (jpeg(DQT, frame(), SOS), False, None),
        (jpeg(DHT, frame(), SOS), False, None),
        (jpeg(DQT, frame(), DHT, SOS), True, None),
        (jpeg(DQT, frame(), SOS, DHT), False, None),
    ],
)
def test_a_jpeg_is_plain_with_usual_channels_and_all_tables(data: bytes, plain: bool, unsupported: str | None) -> None:
    assert read_header(data) == Header("image/jpeg", 7, 5, plain=plain, unsupported=unsupported)


def test_a_jpeg_may_have_long_sides() -> None:
    found = read_header(jpeg(DQT, DHT, frame(height=65_535, width=50_000), SOS))
    assert found == Header("image/jpeg", 50_000, 65_535)


def test_a_jpeg_with_its_height_behind_the_first_scan_is_unsupported() -> None:
    found = read_header(jpeg(DQT, DHT, frame(height=0), SOS))
    assert found == Header("image/jpeg", 7, 0, unsupported="a JPEG whose height is not in its header")


@pytest.mark.parametrize(
    "data",
    [
        jpeg(DQT, DHT, SOS),
        jpeg(DQT, DHT, SOS, frame()),
        jpeg(DQT, DHT, frame(), frame(), SOS),
        jpeg(DQT, DHT, frame(width=0), SOS),
        b"\xff\xd8" + segment(0xC0, b"\x08\0\5\0\7"),
        b"\xff\xd8\xff\xf0\0\2" + frame(),
        b"\xff\xd8",
    ],
    ids=["no frame", "a frame behind a scan", "two frames", "no width", "cut off", "an unknown marker", "nothing"],
)
def test_a_jpeg_without_one_valid_frame_has_no_header(data: bytes) -> None:
    assert read_header(data) is None


APP0, APP1 = 0xE0, 0xE1


@pytest.mark.parametrize(
    ("parts", "orientation"),
    [
        ([segment(APP1, b"Exif\0\0" + exif(6))], 6),
        ([segment(APP1, b"http://ns.adobe.com/xap/1.0/\0"), segment(APP1, b"Exif\0\0" + exif(6))], 6),
        ([segment(APP1, b"Exif\0\0" + exif(6)), segment(APP1, b"Exif\0\0" + exif(3))], 6),
        ([segment(APP1, b"Exif\0\0"), segment(APP1, b"Exif\0\0" + exif(3))], 1),
        ([segment(APP0, b"Exif\0\0" + exif(6))], 1),
        ([segment(APP1, b"Exif"), b"\0\0" + exif(3), segment(APP1, b"Exif\0\0" + exif(6))], 6),
    ],
    ids=["EXIF", "XMP before it", "two", "an empty one before it", "another segment", "a signature that is cut off"],
)
def test_the_orientation_of_a_jpeg_is_that_of_its_first_exif_segment(parts: list[bytes], orientation: int) -> None:
    assert read_header(jpeg(*parts, DQT, DHT, frame(), SOS)) == Header("image/jpeg", 7, 5, orientation)


def test_exif_behind_the_first_scan_does_not_count() -> None:
    late = segment(APP1, b"Exif\0\0" + exif(6))
    assert read_header(jpeg(DQT, DHT, frame(), SOS, late)) == Header("image/jpeg", 7, 5)


# --- WebP


def webp(*chunks: tuple[bytes, bytes]) -> bytes:
    body = b"".join(name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2) for name, data in chunks)
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body


def extended(flags: int, width: int, height: int) -> tuple[bytes, bytes]:
    sides = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return b"VP8X", bytes((flags, 0, 0, 0)) + sides


def lossless(width: int, height: int, flags: int = 0, signature: int = 0x2F) -> tuple[bytes, bytes]:
    bits = (width - 1) | (height - 1) << 14 | flags << 28
    return b"VP8L", bytes((signature,)) + struct.pack("<I", bits) + bytes(5)


def lossy(width: int, height: int, scale: int = 0, signature: bytes = b"\x9d\x01\x2a") -> tuple[bytes, bytes]:
    return b"VP8 ", bytes(3) + signature + struct.pack("<HH", width | scale << 14, height | scale << 14) + bytes(2)


WEBPS: list[tuple[str, bytes, Header | None]] = [
    ("extended", webp(extended(0, 7, 5)), Header("image/webp", 7, 5)),
    ("extended, largest", webp(extended(0, 2**24, 2**24)), Header("image/webp", 2**24, 2**24)),
    ("extended, long", webp(extended(0, 0x20304, 0x50607)), Header("image/webp", 0x20304, 0x50607)),
    ("animated", webp(extended(0x02, 7, 5)), Header("image/webp", 7, 5, animated=True)),
    ("every other flag", webp(extended(0xFD, 7, 5)), Header("image/webp", 7, 5)),
    ("with EXIF", webp(extended(8, 7, 5), lossy(7, 5), (b"EXIF", exif(6))), Header("image/webp", 7, 5, 6)),
    ("EXIF without a flag", webp(extended(0, 7, 5), (b"EXIF", exif(6))), Header("image/webp", 7, 5, 6)),
    ("another chunk", webp(extended(0, 7, 5), (b"XMP ", exif(6))), Header("image/webp", 7, 5)),
    ("the first EXIF", webp(extended(0, 7, 5), (b"EXIF", exif(6)), (b"EXIF", exif(3))), Header("image/webp", 7, 5, 6)),
    ("lossless", webp(lossless(7, 5)), Header("image/webp", 7, 5)),
    ("lossless, largest", webp(lossless(2**14, 2**14, 0xF)), Header("image/webp", 2**14, 2**14)),
    ("lossless, long", webp(lossless(0x1234, 0x2345)), Header("image/webp", 0x1234, 0x2345)),
    ("lossless, another signature", webp(lossless(7, 5, signature=0x2E)), None),
    ("lossy", webp(lossy(7, 5)), Header("image/webp", 7, 5)),
    ("lossy, largest, with a scale", webp(lossy(0x3FFF, 0x3FFF, 3)), Header("image/webp", 0x3FFF, 0x3FFF)),
    ("lossy, long", webp(lossy(0x1234, 0x2345)), Header("image/webp", 0x1234, 0x2345)),
    ("lossy, no width", webp(lossy(0, 5)), None),
    ("lossy, no height", webp(lossy(7, 0)), None),
    ("lossy, another signature", webp(lossy(7, 5, signature=b"\x9d\x01\x2b")), None),
    ("lossy, no key frame's signature", webp(lossy(7, 5, signature=b"\x9c\x01\x2a")), None),
    ("EXIF beside lossy", webp(lossy(7, 5), (b"EXIF", exif(6))), Header("image/webp", 7, 5)),
    ("another chunk first", webp((b"EXIF", exif(6)), lossy(7, 5)), None),
    ("cut off in the header", webp(extended(0, 7, 5))[:29], None),
]


@pytest.mark.parametrize(("data", "header"), [row[1:] for row in WEBPS], ids=[row[0] for row in WEBPS])
def test_the_header_of_a_webp_is_that_of_its_first_chunk(data: bytes, header: Header | None) -> None:
    assert read_header(data) == header


@pytest.mark.parametrize("data", [b"GIF89a" + bytes(20), ftyp(b"heic"), b"II*\0" + bytes(20), b"BM" + bytes(60), b""])
def test_other_types_have_no_header(data: bytes) -> None:
    assert read_header(data) is None
