"""Files with very many parts: each part is read once, adjacent ranges are one, and too many parts are refused.

Steps and sizes are counted, never the time.
"""

import struct
import sys
import tracemalloc
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from image_core.images import exif, metadata
from image_core.images.fault import Fault
from image_core.images.isobmff import turning
from image_core.images.metadata import (
    MAX_PARTS,
    Broken,
    cleaned,
    jpeg_segments,
    png_chunk,
    png_chunks,
    repaired,
    webp_chunks,
    whole,
)
from image_core.images.probe import read_header
from image_core.images.tiff import MAX_DIRECTORIES, MAX_ENTRIES, full_size
from tests.support.harness import sample_image
from tests.support.image_files import JPEGS, PNGS, WEBPS

MEGABYTE = 1_000_000
EMPTY_SEGMENT, EMPTY_CHUNK, EMPTY_RIFF = b"\xff\xe0\0\2", png_chunk(b"tEXt", b""), b"JUNK\0\0\0\0"


def jpeg_with(parts: bytes) -> bytes:
    return JPEGS["baseline"][:2] + parts + JPEGS["baseline"][2:]


def png_with(parts: bytes) -> bytes:
    return PNGS["RGB"][:33] + parts + PNGS["RGB"][33:]


def webp_with(parts: bytes) -> bytes:
    body = b"WEBP" + WEBPS["lossy"][12:] + parts
    return b"RIFF" + struct.pack("<I", len(body)) + body


MANY: list[tuple[str, str, bytes]] = [
    ("segments that stay", "image/jpeg", jpeg_with(EMPTY_SEGMENT * 60_000)),
    ("segments that are cut out", "image/jpeg", jpeg_with(b"\xff\xe1\0\2" * 60_000)),
    ("segments of both kinds", "image/jpeg", jpeg_with((EMPTY_SEGMENT + b"\xff\xe1\0\2") * 30_000)),
    ("markers that stand alone", "image/jpeg", jpeg_with(b"\xff\x01" * 60_000)),
    ("scans", "image/jpeg", JPEGS["baseline"][:-2] + b"\xff\xda\0\2" * 60_000 + b"\xff\xd9"),
    ("chunks that are cut out", "image/png", png_with(EMPTY_CHUNK * 60_000)),
    ("chunks that stay", "image/png", png_with(png_chunk(b"IDAT", b"") * 60_000)),
    ("chunks of both kinds", "image/png", png_with((EMPTY_CHUNK + png_chunk(b"pHYs", b"")) * 30_000)),
    ("RIFF chunks that are cut out", "image/webp", webp_with(EMPTY_RIFF * 60_000)),
    ("RIFF chunks that stay", "image/webp", webp_with(b"ICCP\0\0\0\0" * 60_000)),
    ("RIFF chunks of both kinds", "image/webp", webp_with((b"ICCP\0\0\0\0" + EMPTY_RIFF) * 30_000)),
]


@pytest.mark.parametrize(("mime_type", "data"), [row[1:] for row in MANY], ids=[row[0] for row in MANY])
@pytest.mark.parametrize(
    "read", [cleaned, repaired, lambda data, _: read_header(data)], ids=["clean", "repair", "read_header"]
)
def test_too_many_parts_are_refused(mime_type: str, data: bytes, read: Callable[[bytes, str], object]) -> None:
    try:
        read(data, mime_type)
    except Broken as error:
        assert f"{MAX_PARTS:,}" in str(error)  # noqa: PT017 - some readers answer without a word


def test_bytes_between_parts_are_skipped_in_one_step() -> None:
    """A megabyte of zeros or padding between segments: a search for the next marker, and no part each."""
    for junk in (b"\0", b"\xff", b"\xff\0", b"\0\xff\xff"):
        data = jpeg_with(junk * (MEGABYTE // len(junk)))
        assert sum(1 for _ in jpeg_segments(data)) == sum(1 for _ in jpeg_segments(JPEGS["baseline"]))
        assert cleaned(data, "image/jpeg") == cleaned(JPEGS["baseline"], "image/jpeg")


def steps(call: Callable[[], object]) -> int:
    """How many lines of this project's Python `call` runs."""
    count = 0

    def trace(frame: object, event: str, _: object) -> object:
        nonlocal count
        name = frame.f_code.co_filename  # type: ignore[attr-defined] # a frame
        if "image_core" not in name:
            return None
        if event == "line":
            count += 1
        return trace

    before = sys.gettrace()  # coverage.py's, where coverage is measured
    sys.settrace(trace)  # type: ignore[arg-type] # returns itself
    try:
        call()
    finally:
        sys.settrace(before)
    return count


def attempt(read: Callable[[], object]) -> None:
    try:
        read()
    except (Broken, Fault):
        return


READERS: list[Callable[[bytes], object]] = [
    read_header,
    lambda data: cleaned(data, "image/jpeg"),
    lambda data: cleaned(data, "image/png"),
    lambda data: cleaned(data, "image/webp"),
    lambda data: repaired(data, "image/jpeg"),
    lambda data: repaired(data, "image/png"),
    lambda data: repaired(data, "image/webp"),
    exif.orientation,
    turning,
]
PIECES = st.lists(
    st.sampled_from(
        [
            *(
                b"\xff\xd8",
                b"\xff\xe0\0\2",
                b"\xff\xe1\0\x08Exif\0\0",
                b"\xff\xda\0\2",
                b"\xff\xd9",
                b"\xff",
                b"\0",
                b"\xff\0",
            ),
            *(EMPTY_CHUNK, png_chunk(b"IDAT", b"abc"), metadata.PNG_END, b"\0\0\0\1", b"IHDR"),
            *(b"JUNK\0\0\0\0", b"VP8X\x0a\0\0\0", b"EXIF\4\0\0\0II*\0", b"RIFF", b"\1\0\0\0"),
            *(b"\0\0\0\x08free", b"\0\0\0\x10meta\0\0\0\0", b"\0\0\0\0iloc", b"II*\0\x08\0\0\0", b"\xff\xff"),
        ]
    ),
    max_size=12,
).map(b"".join)
HEADS = [
    b"",
    JPEGS["gray"][:400],
    PNGS["gray"][:60],
    WEBPS["lossy"][:40],
    b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
    b"II*\0\x08\0\0\0",
]


@given(st.sampled_from(HEADS), PIECES, PIECES)
def test_twice_the_file_takes_at_most_about_twice_the_steps(head: bytes, repeated: bytes, tail: bytes) -> None:
    for read in READERS:
        few, many = (
            steps(lambda read=read, count=count: attempt(lambda: read(head + repeated * count + tail)))  # type: ignore[misc]
            for count in (40, 80)
        )
        assert many <= 2 * few + 200, read


@given(st.sampled_from(HEADS), PIECES, st.binary(max_size=60))
def test_any_bytes_give_a_result_or_broken(head: bytes, pieces: bytes, tail: bytes) -> None:
    data = head + pieces + tail
    for read in READERS:
        attempt(lambda read=read: read(data))  # type: ignore[misc]


@given(st.sampled_from(sorted(JPEGS)), st.integers(0, 10**6), st.binary(max_size=20), st.booleans())
def test_a_cleaned_file_is_whole_and_cleaning_it_changes_nothing(
    name: str, position: int, put: bytes, replace: bool
) -> None:
    original = JPEGS[name]
    at = 2 + position % (len(original) - 2)
    data = original[:at] + put + original[at + (len(put) if replace else 0) :]
    try:
        clean = cleaned(data, "image/jpeg")
    except Broken:
        return
    assert whole(clean, "image/jpeg")
    assert cleaned(clean, "image/jpeg") == clean
    assert len(clean) <= len(data)


def test_adjacent_ranges_are_merged() -> None:
    for mime_type, data in (
        ("image/jpeg", saved_in_many_segments()),
        ("image/png", png_with(png_chunk(b"pHYs", b"\0" * 9) * 10_000)),
        ("image/webp", webp_with(b"ICCP\0\0\0\0" * 10_000)),
    ):
        ranges, ended = metadata._walked(data, mime_type)
        assert ended
        assert len(ranges.parts) == 1
        assert cleaned(data, mime_type) is data


def saved_in_many_segments() -> bytes:
    return jpeg_with(EMPTY_SEGMENT * 10_000)


def test_real_files_have_far_fewer_parts() -> None:
    small_chunks = sample_image("cat.png")
    parts = list(png_chunks(small_chunks))
    assert len(parts) < 100
    pixels = b"".join(small_chunks[part.body : part.end - 4] for part in parts if part.name == b"IDAT")
    pieces = b"".join(png_chunk(b"IDAT", pixels[at : at + 20]) for at in range(0, len(pixels), 20))
    head = small_chunks[: next(part.start for part in parts if part.name == b"IDAT")]
    assert cleaned(head + pieces + metadata.PNG_END, "image/png") == head + pieces + metadata.PNG_END
    assert zlib.decompress(pixels)
    assert sum(1 for _ in webp_chunks(sample_image("rocket.webp"))) < 10


# --- EXIF and TIFF


def test_an_array_of_megabytes_is_not_read() -> None:
    array = struct.pack("<HHII", 0x010F, 2, 15 * MEGABYTE, 30) + struct.pack("<HHII", 0x0112, 3, 7 * MEGABYTE, 38)
    data = b"II*\0\x08\0\0\0\2\0" + array + b"\0\0\0\0" + struct.pack("<H", 6) * (8 * 150_000)
    tracemalloc.start()
    assert exif.orientation(data) == 6
    tags = struct.pack("<HHII", 256, 4, 5 * MEGABYTE, 38) + struct.pack("<HHII", 257, 4, 5 * MEGABYTE, 38)
    directory = full_size(b"II*\0\x08\0\0\0\2\0" + tags + b"\0\0\0\0" + struct.pack("<I", 7) * (5 * 150_000))
    assert directory.integer(256, 0) == 7
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # The file of the second part is one of 20 MB.
    assert peak < 45 * MEGABYTE


def test_exif_of_65535_entries_is_read_once() -> None:
    data = b"MM\0*\0\0\0\x08\xff\xff" + struct.pack(">HHII", 0x9999, 3, 1, 0) * 65_535
    assert steps(lambda: exif.orientation(data)) < 65_535 * 5


def test_a_tiff_of_many_directories_is_read_to_a_bound() -> None:
    entry = struct.pack("<HHII", 256, 4, 1, 1)
    size = 2 + 12 + 4
    pages = b"".join(
        struct.pack("<H", 1) + entry + struct.pack("<I", 8 + size * (number + 1)) for number in range(100_000)
    )
    few, many = (
        steps(lambda count=count: attempt(lambda: full_size(b"II*\0\x08\0\0\0" + pages[: size * count])))  # type: ignore[misc]
        for count in (MAX_DIRECTORIES, 100_000)
    )
    assert many <= few + 100


def test_a_tiff_directory_of_many_entries_is_read_to_a_bound() -> None:
    entries = struct.pack("<Q", 10**6) + struct.pack("<HHQQ", 4711, 3, 1, 0) * 500_000
    data = b"II+\0\x08\0\0\0" + struct.pack("<Q", 16) + entries
    assert steps(lambda: attempt(lambda: full_size(data))) < MAX_ENTRIES * 12 * 2


def test_a_heif_of_many_boxes_is_read_to_a_bound() -> None:
    head = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"
    assert steps(lambda: turning(head + b"\0\0\0\x08free" * 200_000)) < 1_500_000
