"""Files with a fault beside the pixels, which viewers show, are accepted, and the model is sent a valid file.

Files with missing or changed pixels are refused.
"""

import io
import random
import struct
import zlib
from collections.abc import Iterator

import PIL.Image
import pytest

from image_core.images import metadata
from image_core.images.fault import Fault
from image_core.images.image import Image
from image_core.images.metadata import SOS, jpeg_segments, png_chunk, png_chunks, repaired
from image_core.images.passthrough import as_it_is
from tests.support.harness import sample_image
from tests.support.image_files import JPEGS, LIMITS, PNGS, WEBPS, opened, prepared, saved


def accepted(data: bytes) -> Image | None:
    """Return the prepared image, or None if it is refused as `invalid_image`."""
    try:
        return prepared(data, *LIMITS)
    except Fault as fault:
        if fault.kind.code != "invalid_image":
            raise
        return None


def assert_same_pixels(made: Image | None, data: bytes) -> None:
    assert made is not None
    image = opened(made)
    wanted = PIL.Image.open(io.BytesIO(data))
    assert image.size == wanted.size
    if wanted.mode != "CMYK":
        assert image.tobytes() == wanted.tobytes()
    assert metadata.whole(made.data, made.mime_type)


# --- JPEG


@pytest.mark.parametrize("name", JPEGS)
@pytest.mark.parametrize("behind", [b"", b"\xff", b"\xff\xff\xff", b"\0\0\0\0", b"\xff\xd8\xff\xe0\0\x04ab"])
def test_a_jpeg_without_its_end_marker_is_accepted_and_gets_one(name: str, behind: bytes) -> None:
    assert_same_pixels(accepted(JPEGS[name][:-2] + behind), JPEGS[name])


def cuts(data: bytes, start: int) -> Iterator[int]:
    """Where to cut: everywhere between the first pixels and the last ones, in fifty steps."""
    return iter(range(start, len(data) - 8, max(1, (len(data) - 8 - start) // 50)))


@pytest.mark.parametrize("name", [name for name in JPEGS if name != "one colour"])
def test_a_jpeg_that_is_cut_off_is_refused(name: str) -> None:
    data = JPEGS[name]
    scans = [part for part in jpeg_segments(data) if part.name[0] == SOS]
    for end in [*cuts(data, scans[0].body + 12), *(scan.start for scan in scans), *(scan.end for scan in scans[:-1])]:
        for behind in (b"", b"\xff", b"\0" * 5000):
            assert accepted(data[:end] + behind) is None, (end, len(data), behind[:1])


@pytest.mark.parametrize("name", JPEGS)
@pytest.mark.parametrize("junk", [b"\0" * 16, b"\xff" * 16, b"junk", b"\0\xff\0\xff\xff", b"\xff\xd0\xff\x01"])
def test_bytes_between_segments_are_removed(name: str, junk: bytes) -> None:
    data = JPEGS[name]
    for part in jpeg_segments(data):
        changed = data[: part.start] + junk + data[part.start :]
        made = accepted(changed)
        assert_same_pixels(made, data)


@pytest.mark.parametrize("name", ["baseline", "progressive", "gray"])
def test_bytes_after_the_end_are_removed(name: str) -> None:
    data = JPEGS[name]
    for trailer in (
        b"\0\0\0\x18ftypmp42" + bytes(1000),  # the film of a motion photo
        data,  # the other views of a panorama
        b"\0" * 5000,
        b"SEFT" + bytes(range(256)),
        b"\xff\xd9",
    ):
        made = accepted(data + trailer)
        assert made is not None
        assert made.data == as_it_is(data, 10**6).data  # type: ignore[union-attr] # it is whole


def marked(data: bytes, marker: int, position: int, value: bytes) -> bytes:
    """Return the file with bytes of a segment's contents replaced."""
    part = next(part for part in jpeg_segments(data) if part.name[0] == marker)
    at = part.body + position
    return data[:at] + value + data[at + len(value) :]


VARIANTS: list[tuple[str, bytes, str]] = [
    ("12 bits", marked(JPEGS["baseline"], 0xC0, 0, b"\x0c"), "12 bits"),
    *(
        (f"frame {code:02X}", JPEGS["baseline"].replace(b"\xff\xc0", bytes((0xFF, code)), 1), words)
        for code, words in [
            *((code, "hierarchical") for code in (0xC5, 0xC6, 0xC7, 0xCD, 0xCE, 0xCF)),
            *((code, "lossless") for code in (0xC3, 0xCB)),
            (0xF7, "JPEG-LS"),
        ]
    ),
    ("2 channels", marked(JPEGS["baseline"], 0xC0, 5, b"\2"), "2 channels"),
    ("no height", marked(JPEGS["baseline"], 0xC0, 1, b"\0\0"), "height"),
]


@pytest.mark.parametrize(("data", "words"), [row[1:] for row in VARIANTS], ids=[row[0] for row in VARIANTS])
def test_an_unsupported_variant_of_jpeg_is_refused_by_name(data: bytes, words: str) -> None:
    with pytest.raises(Fault) as caught:
        prepared(data, *LIMITS)
    assert caught.value.kind.code == "unsupported_media_type"
    assert words in caught.value.details


def test_a_jpeg_without_tables_is_not_passed_through() -> None:
    data = JPEGS["baseline"]
    for marker in (metadata.DQT, metadata.DHT):
        bare = b"".join(data[p.start : p.end] for p in jpeg_segments(data) if p.name[0] != marker)
        made = accepted(data[:2] + bare)
        if made is not None:  # libjpeg knows the usual Huffman tables
            assert metadata.DHT in {part.name[0] for part in jpeg_segments(made.data)}


# --- PNG


@pytest.mark.parametrize("name", PNGS)
@pytest.mark.parametrize("left", [0, 3, 8, 11])
def test_a_png_without_its_end_is_accepted_and_gets_one(name: str, left: int) -> None:
    data = PNGS[name]
    assert_same_pixels(accepted(data[: len(data) - 12 + left]), data)


@pytest.mark.parametrize("name", PNGS)
def test_a_png_whose_last_checksums_are_missing_is_accepted_and_gets_them(name: str) -> None:
    data = PNGS[name]
    for missing in range(9):  # IEND's 12 bytes, IDAT's checksum, and that of the compressed data
        made = accepted(data[: len(data) - 12 - missing])
        assert_same_pixels(made, data)
        assert made is not None
        metadata.check_rows(made.data)


@pytest.mark.parametrize("name", [name for name in PNGS if "smaller" not in name])
def test_a_png_that_is_cut_off_is_refused(name: str) -> None:
    data = PNGS[name]
    for end in cuts(data[:-12], 41):
        assert accepted(data[:end]) is None, (end, len(data))


def png_of(width: int, height: int, packed: bytes, *, end: bytes = metadata.PNG_END) -> bytes:
    """Return an RGB file of this compressed data with valid chunks."""
    head = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return metadata.PNG_SIGNATURE + head + png_chunk(b"IDAT", packed) + end


@pytest.mark.parametrize("end", [metadata.PNG_END, b""])
def test_a_png_with_missing_rows_is_refused_although_its_chunks_are_valid(end: bytes) -> None:
    dice = random.Random(2)
    rows = b"".join(b"\0" + dice.randbytes(150) for _ in range(50))
    assert accepted(png_of(50, 50, zlib.compress(rows), end=end)) is not None
    for packed in (
        zlib.compress(rows[:100]),
        zlib.compress(rows[:-1]),
        zlib.compress(rows)[:-10],
        zlib.compress(rows)[:-4] + b"abcd",
        zlib.compress(rows)[:30] + b"garbage" * 10,
        b"",
        b"x",
        b"no zlib at all",
    ):
        assert accepted(png_of(50, 50, packed, end=end)) is None


def test_compressed_data_may_be_divided_into_chunks_anywhere() -> None:
    packed = zlib.compress(b"".join(b"\0" + bytes(range(y, y + 9)) for y in range(3)))
    first, middle, last = packed[:1], packed[1:-5], packed[-5:]
    head = png_of(3, 3, first, end=b"")
    for at in range(len(last) + 1):
        chunks = (middle, last[:at], b"", last[at:])
        whole = head + b"".join(png_chunk(b"IDAT", chunk) for chunk in chunks) + metadata.PNG_END
        made = accepted(whole)
        assert made is not None
        assert made.data == whole
        cut = head + b"".join(png_chunk(b"IDAT", chunk) for chunk in chunks[:-1])
        made = accepted(cut)
        assert (made is not None) == (at > 0), at
        if made is not None:
            assert opened(made).tobytes() == opened(Image(whole, "image/png", 3, 3)).tobytes()


def test_a_png_with_more_rows_than_in_its_header_is_not_decompressed_to_its_end() -> None:
    bomb = zlib.compress(b"\0" * 20_000_000)
    assert accepted(png_of(50, 50, bomb)) is not None


def damaged(data: bytes, name: bytes) -> bytes:
    """Return the file with a wrong checksum of the first chunk of this name."""
    part = next(part for part in png_chunks(data) if part.name == name)
    return data[: part.end - 1] + bytes((data[part.end - 1] ^ 1,)) + data[part.end :]


@pytest.mark.parametrize("name", [b"tEXt", b"iTXt", b"zTXt", b"tIME", b"eXIf", b"gAMA", b"iCCP", b"pHYs", b"ruSt"])
def test_metadata_with_a_wrong_checksum_is_removed(name: bytes) -> None:
    data = PNGS["RGB"]
    for at in (33, len(data) - 12):
        odd = damaged(data[:at] + png_chunk(name, b"whatever\0\0xyz") + data[at:], name)
        made = accepted(odd)
        assert_same_pixels(made, data)
        assert name not in made.data  # type: ignore[union-attr] # asserted above


@pytest.mark.parametrize("name", PNGS)
@pytest.mark.parametrize("end", [metadata.PNG_END[:-1] + b"\0", png_chunk(b"IEND", b"odd")])
def test_a_png_whose_end_is_damaged_is_accepted_and_gets_a_right_one(name: str, end: bytes) -> None:
    data = PNGS[name]
    made = accepted(data[:-12] + end)
    assert_same_pixels(made, data)
    assert made is not None
    assert made.data.endswith(metadata.PNG_END)


@pytest.mark.parametrize(("file", "name"), [("RGB", b"IHDR"), ("RGB", b"IDAT"), ("palette", b"PLTE")])
def test_a_wrong_checksum_of_the_pixels_is_refused(file: str, name: bytes) -> None:
    assert accepted(damaged(PNGS[file], name)) is None


def test_an_animated_png_is_sent_as_its_first_frame() -> None:
    frames = [PIL.Image.new("RGB", (30, 20), color) for color in ("red", "blue")]
    made = accepted(saved(frames[0], "PNG", save_all=True, append_images=frames[1:]))
    assert made is not None
    assert b"acTL" not in made.data
    assert opened(made).convert("RGB").getpixel((5, 5)) == (255, 0, 0)


@pytest.mark.parametrize(
    "header",
    [
        (0, 5, 8, 2, 0, 0, 0),
        (5, 0, 8, 2, 0, 0, 0),
        (2**31, 5, 8, 2, 0, 0, 0),
        (5, 5, 3, 2, 0, 0, 0),
        (5, 5, 8, 5, 0, 0, 0),
        (5, 5, 8, 2, 1, 0, 0),
        (5, 5, 8, 2, 0, 1, 0),
        (5, 5, 8, 2, 0, 0, 2),
        (5, 5, 16, 3, 0, 0, 0),
    ],
)
def test_a_header_that_no_decoder_accepts_is_refused(header: tuple[int, ...]) -> None:
    body = png_chunk(b"IHDR", struct.pack(">IIBBBBB", *header)) + png_chunk(b"IDAT", zlib.compress(b"\0" * 200))
    assert accepted(metadata.PNG_SIGNATURE + body + metadata.PNG_END) is None


def test_a_palette_image_without_a_palette_is_refused() -> None:
    data = PNGS["palette"]
    part = next(part for part in png_chunks(data) if part.name == b"PLTE")
    assert accepted(data[: part.start] + data[part.end :]) is None


# --- WebP


@pytest.mark.parametrize("name", WEBPS)
def test_a_webp_with_a_wrong_length_or_a_trailer_is_accepted_and_whole(name: str) -> None:
    data = WEBPS[name]
    longer = data[:4] + struct.pack("<I", len(data) + 1000) + data[8:]
    for odd in (data + b"\0" * 77, longer, longer + b"EXIF\xff\xff\0\0" + b"x" * 20):
        assert_same_pixels(accepted(odd), data)


def test_a_webp_whose_metadata_is_cut_off_is_accepted() -> None:
    data = WEBPS["with EXIF"]
    assert_same_pixels(accepted(data[:-20]), data)


@pytest.mark.parametrize("name", ["lossy", "lossless", "transparent"])
def test_a_webp_that_is_cut_off_is_refused(name: str) -> None:
    data = WEBPS[name]
    for end in cuts(data, 30):
        assert accepted(data[:end]) is None


# --- images of the model


@pytest.mark.parametrize("name", ["cat.png", "coffee.jpg", "rocket.webp"])
def test_a_whole_image_of_a_model_is_stored_as_it_is(name: str) -> None:
    mime_type = {"png": "image/png", "jpg": "image/jpeg", "webp": "image/webp"}[name.rsplit(".", 1)[-1]]
    data = sample_image(name)
    assert repaired(data, mime_type) is data
    assert repaired(data + b"trailer", mime_type) == data + b"trailer"


def test_an_image_of_a_model_that_is_cut_off_is_stored_so_that_it_opens() -> None:
    for name, data in JPEGS.items():
        stored = repaired(data[: len(data) * 2 // 3], "image/jpeg")
        if name != "one colour":
            assert stored is not None, name
        if stored is not None:
            opened(Image(stored, "image/jpeg", 203, 150))
    for data in PNGS.values():
        stored = repaired(data[: len(data) - 14], "image/png")
        assert stored is not None
        assert metadata.whole(stored, "image/png")
    assert repaired(PNGS["RGB"][:45], "image/png") is not None
    assert repaired(PNGS["RGB"][:40], "image/png") is None
    assert repaired(JPEGS["baseline"][:100], "image/jpeg") is None
    assert repaired(WEBPS["lossy"][:-30], "image/webp") is None
    assert repaired(b"", "image/png") is None
    assert repaired(b"", "image/webp") is None


def test_an_image_of_a_model_keeps_valid_chunks_and_gets_right_checksums() -> None:
    data = PNGS["RGB"]
    text = png_chunk(b"caBX", b"who made it")
    odd = damaged(damaged(data[:33] + text + data[33:], b"IDAT"), b"IHDR")
    stored = repaired(odd, "image/png")
    assert stored == data[:33] + text + data[33:]
    assert repaired(damaged(data[:33] + text + data[33:], b"caBX"), "image/png") == data


@pytest.mark.parametrize("data", [JPEGS["baseline"][:4000], PNGS["RGB"][:60], PNGS["RGB"][:4000]])
def test_the_reason_of_a_file_that_is_cut_off_is_given(data: bytes) -> None:
    with pytest.raises(Fault) as caught:
        prepared(data, *LIMITS)
    assert (caught.value.kind.code, caught.value.details) == ("invalid_image", "the file is cut off")
