"""Directories of a TIFF: which of its images is the full-size one, and how the values of tags are read."""

import struct
from typing import Any

import pytest

from image_core.images.fault import Fault
from image_core.images.tiff import MAX_BLOCK_BYTES, MAX_DIRECTORIES, Directory, full_size
from tests.support.tiff_files import Tiff

BYTE, TEXT, SHORT, LONG, BLOB = 1, 2, 3, 4, 7
Size = tuple[int, int]


def page(size: Size, **tags: int) -> dict[int, tuple[int, list[int] | bytes]]:
    """Return the tags of an image; `tags` are named `tag_` and their number."""
    more = {int(name.removeprefix("tag_")): (LONG, [value]) for name, value in tags.items()}
    return {256: (LONG, [size[0]]), 257: (LONG, [size[1]]), **more}


def tiff(*pages: dict[int, tuple[int, list[int] | bytes]], order: str = "<", big: bool = False) -> bytes:
    file = Tiff(order, big)
    for tags in pages:
        file.directory(tags)  # type: ignore[arg-type] # lists
    return bytes(file.body)


def chosen(data: bytes) -> Size:
    directory = full_size(data)
    return directory.integer(256, 0), directory.integer(257, 0)


REDUCED, MASK, OLD_REDUCED = {"tag_254": 1}, {"tag_254": 4}, {"tag_255": 2}

CHOICES: list[tuple[str, list[dict[int, Any]], Size]] = [
    ("one", [page((40, 30))], (40, 30)),
    ("the first of two", [page((40, 30)), page((50, 40))], (40, 30)),
    ("reduced first", [page((40, 30), **REDUCED), page((50, 40))], (50, 40)),
    ("reduced in the old way", [page((40, 30), **OLD_REDUCED), page((50, 40))], (50, 40)),
    ("full in the old way", [page((40, 30), tag_255=1), page((50, 40))], (40, 30)),
    ("one of several pages", [page((40, 30), tag_255=3), page((50, 40))], (40, 30)),
    ("one of several pages, in bits", [page((40, 30), tag_254=2), page((50, 40))], (40, 30)),
    ("a mask first", [page((40, 30), **MASK), page((50, 40))], (50, 40)),
    ("a mask in colour", [page((40, 30), tag_262=4), page((50, 40))], (50, 40)),
    ("after a reduced one the largest", [page((40, 30), **REDUCED), page((50, 40)), page((60, 50))], (60, 50)),
    ("only a reduced one", [page((40, 30), **REDUCED)], (40, 30)),
    ("a thumbnail", [page((512, 384)), page((2048, 1536))], (2048, 1536)),
    ("a high thumbnail", [page((384, 512)), page((1536, 2048))], (1536, 2048)),
    ("too wide for a thumbnail", [page((513, 384)), page((2052, 1536))], (513, 384)),
    ("too high for a thumbnail", [page((384, 513)), page((1536, 2052))], (384, 513)),
    ("too large for a thumbnail", [page((512, 384)), page((2047, 1535))], (512, 384)),
    ("of nearly the same shape", [page((100, 75)), page((4000, 2920))], (4000, 2920)),
    ("of exactly the last shape", [page((100, 100)), page((1000, 980))], (1000, 980)),
    ("of another shape", [page((100, 100)), page((1000, 979))], (100, 100)),
    ("of another shape, upright", [page((100, 100)), page((1000, 1021))], (100, 100)),
    ("the largest of several", [page((10, 10)), page((100, 100)), page((90, 90))], (100, 100)),
    ("a reduced one that is larger", [page((10, 10)), page((100, 100), **REDUCED)], (10, 10)),
    ("no pixels first", [page((0, 30)), page((40, 0)), page((50, 40))], (50, 40)),
]


@pytest.mark.parametrize(("pages", "size"), [row[1:] for row in CHOICES], ids=[row[0] for row in CHOICES])
@pytest.mark.parametrize("big", [False, True], ids=["TIFF", "BigTIFF"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_the_full_size_image_is_chosen(pages: list[dict[int, Any]], size: Size, order: str, big: bool) -> None:
    assert chosen(tiff(*pages, order=order, big=big)) == size


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (tiff(page((40, 30), **MASK)), "a TIFF of which only a reduced image can be read"),
        (tiff(page((40, 30), **REDUCED), page((20, 10), **REDUCED)), "a TIFF of which only a reduced image"),
        (tiff(page((40, 30), **REDUCED, tag_330=0x7FFFFFFF)), "a TIFF of which only a reduced image can be read"),
        (tiff(page((40, 30), tag_262=32803)), "a camera raw file"),
        (tiff(page((40, 30)), page((50, 40), tag_262=34892)), "a camera raw file"),
        (b"II*\0\x10\0\0\0CR\2\0" + tiff(page((40, 30)))[12:], "a camera raw file (CR2)"),
        (tiff(page((0, 30))), "the file is cut off or damaged"),
        (b"II*\0\xff\0\0\0" + bytes(50), "the file is cut off or damaged"),
        (b"II*\0\0\0\0\0" + bytes(50), "the file is cut off or damaged"),
    ],
)
def test_a_file_without_a_full_size_image_is_refused(data: bytes, words: str) -> None:
    with pytest.raises(Fault) as caught:
        full_size(data)
    assert words in caught.value.details


def test_a_reduced_raw_image_does_not_make_a_file_raw() -> None:
    assert chosen(tiff(page((40, 30), tag_254=1, tag_262=32803), page((50, 40)))) == (50, 40)
    assert chosen(b"MM\0*\0\0\0\x08CR" + tiff(page((40, 30)), order=">")[10:]) == (40, 30)


def test_sub_directories_come_before_the_next_page() -> None:
    file = Tiff()
    subs = [file.directory(page(size), linked=False) for size in ((64, 48), (80, 60))]  # type: ignore[arg-type]
    file.directory({**page((16, 12), **REDUCED), 330: (LONG, subs)})
    file.directory(page((20, 15)))  # type: ignore[arg-type]
    assert chosen(bytes(file.body)) == (80, 60)
    alone = Tiff()
    nested = alone.directory(page((64, 48)), linked=False)  # type: ignore[arg-type]
    outer = alone.directory({**page((8, 6), **REDUCED), 330: (LONG, [nested])}, linked=False)
    alone.directory({**page((16, 12), **REDUCED), 330: (13, [outer])})
    assert chosen(bytes(alone.body)) == (64, 48)


@pytest.mark.parametrize(("before", "size"), [(MAX_DIRECTORIES - 1, (50, 40)), (MAX_DIRECTORIES, None)])
def test_a_number_of_directories_is_read(before: int, size: Size | None) -> None:
    data = tiff(*[page((10, 10), **REDUCED)] * before, page((50, 40)))
    if size is None:
        with pytest.raises(Fault, match="only a reduced image"):
            full_size(data)
    else:
        assert chosen(data) == size


# --- values of tags


def directory(
    *entries: tuple[int, int, int, bytes], order: str = "<", big: bool = False, tail: bytes = b""
) -> Directory:
    """Return a directory of entries: tag, type, number of values, and the bytes of the values or their offset."""
    inline = 8 if big else 4
    body = struct.pack(order + ("Q" if big else "H"), len(entries))
    for tag, kind, count, value in entries:
        body += struct.pack(order + ("HHQ" if big else "HHI"), tag, kind, count) + value.ljust(inline, b"\0")
    return Directory(body + tail, order, 0, big=big)


INTEGERS = [(1, "B"), (3, "H"), (4, "I"), (6, "b"), (8, "h"), (9, "i"), (13, "I")]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("kind", "letter"), INTEGERS, ids=str)
@pytest.mark.parametrize("big", [False, True], ids=["TIFF", "BigTIFF"])
def test_an_integer_of_any_type_is_read(kind: int, letter: str, order: str, big: bool) -> None:
    value = -7 if letter.islower() else 200
    found = directory((256, kind, 1, struct.pack(order + letter, value)), order=order, big=big)
    assert (found.integer(256, 5), found.integer(257, 5), found.count(256), found.count(257)) == (value, 5, 1, 0)
    assert 256 in found
    assert 257 not in found


@pytest.mark.parametrize(("kind", "letter"), [(16, "Q"), (17, "q"), (18, "Q")])
def test_a_long_integer_is_read(kind: int, letter: str) -> None:
    found = directory((256, kind, 1, struct.pack(">" + letter, 1 << 40)), order=">", big=True)
    assert found.integer(256, 5) == 1 << 40


@pytest.mark.parametrize("kind", [TEXT, 5, BLOB, 10, 11, 12, 14, 0])
def test_a_value_of_another_type_is_no_integer(kind: int) -> None:
    assert directory((256, kind, 1, b"\1\0\0\0\0\0\0\0"), big=True).integer(256, 5) == 5


def test_the_first_entry_of_a_tag_counts() -> None:
    assert directory((256, LONG, 1, b"\1"), (256, LONG, 1, b"\2")).integer(256, 5) == 1


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("big", "fit"), [(False, 2), (True, 4)], ids=["TIFF", "BigTIFF"])
def test_values_that_do_not_fit_into_an_entry_are_at_its_offset(order: str, big: bool, fit: int) -> None:
    numbers = list(range(1000, 1000 + fit + 1))
    inside = struct.pack(f"{order}{fit}H", *numbers[:fit])
    assert directory((258, SHORT, fit, inside), order=order, big=big).integers(258, 9) == tuple(numbers[:fit])
    offset = struct.pack(order + ("Q" if big else "I"), 28 if big else 14)
    outside = struct.pack(f"{order}{fit + 1}H", *numbers)
    found = directory((258, SHORT, fit + 1, offset), order=order, big=big, tail=outside)
    assert found.integers(258, 9) == tuple(numbers)
    assert found.integers(258, 2) == tuple(numbers[:2])
    assert found.block(258) == (SHORT, fit + 1, outside)
    assert directory((258, SHORT, fit + 1, offset), order=order, big=big, tail=outside[:-1]).integers(258, 9) == ()
    assert directory((258, SHORT, fit + 1, offset), order=order, big=big, tail=outside[:-1]).block(258) is None


def test_a_block_has_a_maximum_size() -> None:
    for size in (MAX_BLOCK_BYTES, MAX_BLOCK_BYTES + 1):
        found = directory((34675, BLOB, size, struct.pack("<I", 14)), tail=bytes(MAX_BLOCK_BYTES + 1))
        block = found.block(34675)
        assert block is None if size > MAX_BLOCK_BYTES else block == (BLOB, size, bytes(size))
    assert found.block(1) is None


@pytest.mark.parametrize(
    ("tags", "photometric"),
    [
        ({}, 1),
        ({277: 1}, 1),
        ({277: 2}, 1),
        ({277: 3}, 2),
        ({277: 4}, 2),
        ({262: 0, 277: 3}, 0),
        ({259: 2}, 0),
        ({259: 4, 262: 1}, 1),
        ({259: 5}, 1),
    ],
    ids=str,
)
def test_the_colour_space_follows_from_compression_and_channels_where_it_is_not_named(
    tags: dict[int, int], photometric: int
) -> None:
    found = directory(*((tag, LONG, 1, struct.pack("<I", value)) for tag, value in tags.items()))
    assert found.photometric == photometric


def test_the_number_of_channels_follows_from_the_number_of_depths() -> None:
    offset = struct.pack("<I", 14)
    assert directory((258, SHORT, 3, offset), tail=bytes(6)).photometric == 2
    assert directory((258, SHORT, 2, b"\x08\0\x08\0")).photometric == 1
