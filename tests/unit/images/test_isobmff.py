"""The orientation of a HEIC or AVIF file, in every form of the boxes that define it (ISO/IEC 14496-12, 23008-12)."""

import struct
from dataclasses import dataclass, field, replace

import pytest

from image_core.images.isobmff import Turning, is_sequence, turning

FTYP = struct.pack(">I4s4sI4s", 20, b"ftyp", b"heic", 0, b"mif1")
UPRIGHT, TURNED, HALF = 1, 6, 3


def box(name: bytes, body: bytes, header: str = "short") -> bytes:
    """Return a box whose size is in 32 bits, in 64 bits (`long`), not given (`rest` of the file), or too large."""
    if header == "long":
        return struct.pack(">I4sQ", 1, name, 16 + len(body)) + body
    if header == "long and too large":
        return struct.pack(">I4sQ", 1, name, 2**64 - 1) + body
    sizes = {"short": 8 + len(body), "rest": 0, "too large": 2**32 - 1}
    return struct.pack(">I4s", sizes[header], name) + body


def full(name: bytes, version: int, body: bytes, flags: int = 0) -> bytes:
    """Return a box with a version and flags."""
    return box(name, bytes((version,)) + flags.to_bytes(3, "big") + body)


def exif(orientation: int) -> bytes:
    return b"MM\0*\0\0\0\x08\0\1" + struct.pack(">HHIHH", 0x112, 3, 1, orientation, 0) + b"\0\0\0\0"


LITTLE_ENDIAN = b"II*\0\x08\0\0\0\1\0" + struct.pack("<HHIHH", 0x112, 3, 1, TURNED, 0) + b"\0\0\0\0"


def exif_item(orientation: int) -> bytes:
    """Return the contents of an item: the offset of the TIFF header, and EXIF."""
    return b"\0\0\0\0" + exif(orientation)


def late(at: int) -> bytes:
    """Return an item whose EXIF has its directory at the offset `at`."""
    return b"\0\0\0\0" + (b"MM\0*" + struct.pack(">I", at)).ljust(at, b"\0") + exif(TURNED)[8:]


GAP = b"gap"
"""Bytes before the contents of the first item."""
PRIMARY, OTHER, FIRST_EXIF, SECOND_EXIF = 0x0102, 0x0103, 0x0201, 0x0302


@dataclass(frozen=True)
class File:
    """A file with two images; `wide`: item ids of 32 bits in the boxes of these names, else of 16."""

    wide: frozenset[str] = frozenset()
    items: dict[int, bytes] = field(default_factory=lambda: {FIRST_EXIF: exif_item(TURNED)})
    kinds: dict[int, bytes] = field(default_factory=dict)
    descriptions: list[tuple[bytes, int, list[int]]] = field(default_factory=list)
    properties: list[bytes] = field(default_factory=lambda: [b"ispe", b"irot", b"ispe", b"imir"])
    associations: dict[int, list[int]] = field(default_factory=lambda: {OTHER: [2], PRIMARY: [1]})
    wide_properties: bool = False
    offset_size: int = 4
    length_size: int = 4
    base_size: int = 0
    index_size: int = 0
    iloc_version: int = 0
    method: int = 0
    base: int = 0
    extents: dict[int, int] = field(default_factory=dict)
    old_infe: bool = False
    without: frozenset[bytes] = frozenset()
    length: int | None = None
    """The declared length of items, where it is not their own."""
    entries: int | None = None
    """The declared number of locations and associations, where it is not their own."""
    last_outside: bool = False
    """Whether the last location and association follow their boxes instead of being in them."""

    def identifier(self, where: str, item: int) -> bytes:
        return item.to_bytes(4 if where in self.wide else 2, "big")

    def data(self) -> bytes:
        """Return the file."""
        shift = len(FTYP + self._meta(0)) + 8
        return FTYP + self._meta(shift) + box(b"mdat", self.contents)

    @property
    def contents(self) -> bytes:
        return GAP + b"".join(self.items.values())

    def _table(self, name: bytes, version: int, head: bytes, size: int, entries: list[bytes], flags: int = 0) -> bytes:
        """Return a box of entries, with their number in `size` bytes."""
        count = (len(entries) if self.entries is None else self.entries).to_bytes(size, "big")
        inside = entries[:-1] if self.last_outside else entries
        return full(name, version, head + count + b"".join(inside), flags) + b"".join(entries[len(inside) :])

    def _meta(self, shift: int) -> bytes:
        boxes = {
            b"hdlr": full(b"hdlr", 0, bytes(4) + b"pict" + bytes(13)),
            b"pitm": full(b"pitm", int("pitm" in self.wide), self.identifier("pitm", PRIMARY)),
            b"iinf": self._iinf(),
            b"iref": self._iref(),
            b"iprp": self._iprp(),
            b"idat": box(b"idat", self.contents),
            b"iloc": self._iloc(shift),  # at the end, where other bytes may follow it
        }
        return full(b"meta", 0, b"".join(each for name, each in boxes.items() if name not in self.without))

    def _iinf(self) -> bytes:
        kinds = {PRIMARY: b"hvc1", OTHER: b"hvc1", **dict.fromkeys(self.items, b"Exif"), **self.kinds}
        entries = b"".join(
            full(
                b"infe",
                0 if self.old_infe else 3 if "infe" in self.wide else 2,
                self.identifier("infe", item) + b"\0\0" + kind + b"\0",
            )
            for item, kind in kinds.items()
        )
        count = len(kinds).to_bytes(4 if "iinf" in self.wide else 2, "big")
        return full(b"iinf", int("iinf" in self.wide), count + entries)

    def _iref(self) -> bytes:
        references = b"".join(
            box(
                name,
                self.identifier("iref", of)
                + struct.pack(">H", len(targets))
                + b"".join(self.identifier("iref", target) for target in targets),
            )
            for name, of, targets in self.descriptions
        )
        return full(b"iref", int("iref" in self.wide), references)

    def _iprp(self) -> bytes:
        size = 2 if self.wide_properties else 1
        essential = 1 << (8 * size - 1)
        entries = [
            self.identifier("ipma", item)
            + bytes((len(numbers),))
            + b"".join((essential | number).to_bytes(size, "big") for number in numbers)
            for item, numbers in self.associations.items()
        ]
        boxes = {
            b"ipco": box(b"ipco", b"".join(box(name, b"\1") for name in self.properties)),
            b"ipma": self._table(b"ipma", int("ipma" in self.wide), b"", 4, entries, int(self.wide_properties)),
        }
        return box(b"iprp", b"".join(each for name, each in boxes.items() if name not in self.without))

    def _iloc(self, shift: int) -> bytes:
        version = self.iloc_version
        at = len(GAP) if self.method else shift + len(GAP)
        located = {OTHER: 9, **{item: len(body) for item, body in self.items.items()}}
        entries = []
        for item, length in located.items():
            extents = 2 if item == OTHER else self.extents.get(item, 1)
            start = at - self.base if self.base_size else at
            extent = bytes((5,) * self.index_size) if version else b""
            extent += max(0, start).to_bytes(self.offset_size, "big")
            extent += (length if self.length is None else self.length).to_bytes(self.length_size, "big")
            entry = item.to_bytes(4 if version > 1 else 2, "big")
            entry += struct.pack(">H", 0xFFF0 | self.method) if version else b""
            entry += b"\0\1" + self.base.to_bytes(self.base_size, "big")  # of the file with index 1
            entries.append(entry + struct.pack(">H", extents) + extent * extents)
            at += 0 if item == OTHER else length
        sizes = bytes((self.offset_size << 4 | self.length_size, self.base_size << 4 | self.index_size))
        return self._table(b"iloc", version, sizes, 4 if version > 1 else 2, entries)


PLAIN = File()


def orientation_of(file: File) -> int:
    return turning(file.data()).orientation


LAYOUTS: list[tuple[str, File]] = [
    ("the usual one", PLAIN),
    *((f"wide ids in {name}", replace(PLAIN, wide=frozenset({name}))) for name in ("pitm", "iinf", "infe", "ipma")),
    ("iloc 1", replace(PLAIN, iloc_version=1)),
    ("iloc 2", replace(PLAIN, iloc_version=2)),
    ("iloc 1 with an index", replace(PLAIN, iloc_version=1, index_size=4)),
    ("iloc 2 with a long index", replace(PLAIN, iloc_version=2, index_size=8)),
    ("iloc 0 with reserved bits", replace(PLAIN, index_size=4)),
    ("long offsets", replace(PLAIN, offset_size=8)),
    ("long lengths", replace(PLAIN, length_size=8)),
    ("a base", replace(PLAIN, base_size=4, base=40)),
    ("a long base", replace(PLAIN, base_size=8, base=40, iloc_version=1)),
    ("contents in idat", replace(PLAIN, iloc_version=1, method=1)),
    ("contents in idat, with a base of zero", replace(PLAIN, iloc_version=2, method=1, base_size=4)),
]


@pytest.mark.parametrize("file", [row[1] for row in LAYOUTS], ids=[row[0] for row in LAYOUTS])
def test_the_orientation_is_found_in_every_layout_of_items(file: File) -> None:
    data = file.data()
    assert turning(data) == Turning(turned=False, orientation=TURNED, exif_types=(data.index(b"Exif"),))


@pytest.mark.parametrize("file", [row[1] for row in LAYOUTS], ids=[row[0] for row in LAYOUTS])
def test_only_the_declared_length_of_an_item_is_read(file: File) -> None:
    assert orientation_of(replace(file, length=len(exif_item(TURNED)) - 7)) == UPRIGHT


def test_only_the_declared_number_of_locations_is_read() -> None:
    assert orientation_of(replace(PLAIN, entries=1)) == UPRIGHT
    assert orientation_of(replace(PLAIN, entries=1000)) == TURNED
    assert orientation_of(replace(PLAIN, entries=1000, last_outside=True)) == UPRIGHT


def test_contents_in_a_box_that_is_missing_are_not_read() -> None:
    file = replace(PLAIN, iloc_version=1, method=1, base_size=4, without=frozenset({b"idat"}))
    data, at = file.data(), len(file.data()) - len(file.contents)
    shifted = data.replace(b"\0\1" + bytes(4), b"\0\1" + struct.pack(">I", at))  # the base of each location
    assert turning(shifted).orientation == UPRIGHT


@pytest.mark.parametrize("header", ["short", "long", "rest", "too large", "long and too large"])
def test_sizes_of_boxes_have_three_forms(header: str) -> None:
    data = replace(PLAIN, iloc_version=1, method=1).data()
    at = len(FTYP)
    meta = data[at + 8 : at + int.from_bytes(data[at : at + 4], "big")]
    assert turning(FTYP + box(b"free", b"abc", "long") + box(b"meta", meta, header)).orientation == TURNED


@pytest.mark.parametrize("size", [0, 1, 7])
def test_a_box_that_is_smaller_than_its_header_ends_the_file(size: int) -> None:
    small = struct.pack(">I4s", size, b"free") + struct.pack(">Q", 15) + bytes(8)
    assert turning(FTYP + small + PLAIN.data()[len(FTYP) :]).orientation == UPRIGHT


@pytest.mark.parametrize(
    ("contents", "orientation"),
    [
        (exif_item(TURNED), TURNED),
        (b"\0\0\0\x06Exif\0\0" + exif(TURNED), TURNED),
        (b"\0\0\0\x04junk" + exif(TURNED), TURNED),
        (b"\0\0\0\x04junk" + LITTLE_ENDIAN, TURNED),
        (b"\0\0\0\x63" + exif(TURNED), TURNED),
        (b"\0\0\0\0Exif\0\0" + exif(TURNED), TURNED),
        (b"\0\0\0\0junk" + exif(TURNED), UPRIGHT),
        (late(0xFFF0), TURNED),
        (late(0xFFF1), UPRIGHT),
        (b"\0\0", UPRIGHT),
        (b"", UPRIGHT),
    ],
    ids=[
        "at once",
        "a signature",
        "an offset",
        "little-endian",
        "a wrong offset",
        "without one",
        "junk",
        "in 64 KiB",
        "after 64 KiB",
        "cut",
        "empty",
    ],
)
def test_exif_begins_at_the_offset_in_its_item(contents: bytes, orientation: int) -> None:
    assert orientation_of(replace(PLAIN, items={FIRST_EXIF: contents})) == orientation


TWO = replace(PLAIN, items={FIRST_EXIF: exif_item(HALF), SECOND_EXIF: exif_item(TURNED)})


@pytest.mark.parametrize(
    ("descriptions", "orientation"),
    [
        ([], UPRIGHT),
        ([(b"cdsc", FIRST_EXIF, [PRIMARY])], HALF),
        ([(b"cdsc", SECOND_EXIF, [PRIMARY])], TURNED),
        ([(b"cdsc", FIRST_EXIF, [OTHER]), (b"cdsc", SECOND_EXIF, [PRIMARY])], TURNED),
        ([(b"cdsc", FIRST_EXIF, [OTHER]), (b"cdsc", SECOND_EXIF, [OTHER, PRIMARY])], TURNED),
        ([(b"cdsc", FIRST_EXIF, [PRIMARY]), (b"cdsc", SECOND_EXIF, [PRIMARY])], HALF),
        ([(b"thmb", FIRST_EXIF, [PRIMARY])], UPRIGHT),
        ([(b"cdsc", FIRST_EXIF, [OTHER]), (b"cdsc", SECOND_EXIF, [OTHER])], UPRIGHT),
        ([(b"cdsc", FIRST_EXIF, [])], UPRIGHT),
        ([(b"cdsc", FIRST_EXIF, [0xAA01, 0x02BB])], UPRIGHT),
    ],
    ids=[
        "none",
        "first",
        "second",
        "one each",
        "both images",
        "twice",
        "another reference",
        "the other",
        "nothing",
        "across",
    ],
)
@pytest.mark.parametrize("wide", [frozenset[str](), frozenset({"iref"})], ids=["16 bits", "32 bits"])
def test_of_several_exif_items_the_one_that_describes_the_primary_image_counts(
    descriptions: list[tuple[bytes, int, list[int]]], orientation: int, wide: frozenset[str]
) -> None:
    data = replace(TWO, descriptions=descriptions, wide=wide).data()
    first = data.index(b"Exif")
    assert turning(data) == Turning(
        turned=False, orientation=orientation, exif_types=(first, data.index(b"Exif", first + 1))
    )


@pytest.mark.parametrize(
    ("file", "orientation"),
    [
        (replace(PLAIN, kinds={FIRST_EXIF: b"mime"}), UPRIGHT),
        (replace(PLAIN, kinds={FIRST_EXIF: b"exif"}), UPRIGHT),
        (replace(PLAIN, old_infe=True), UPRIGHT),
        (replace(PLAIN, extents={FIRST_EXIF: 0}), UPRIGHT),
        (replace(PLAIN, extents={FIRST_EXIF: 2}), TURNED),
        *((replace(PLAIN, without=frozenset({name})), UPRIGHT) for name in (b"iinf", b"iloc")),
        *((replace(PLAIN, without=frozenset({name})), TURNED) for name in (b"pitm", b"iref", b"iprp", b"idat")),
    ],
    ids=[
        "a text item", "another letter case", "items without types", "no extents", "two extents",
        "no iinf", "no iloc", "no pitm", "no iref", "no iprp", "no idat",
    ],
)  # fmt: skip
def test_only_an_exif_item_with_a_location_has_an_orientation(file: File, orientation: int) -> None:
    assert orientation_of(file) == orientation


MANY = [*(b"ispe",) * 129, b"irot"]


@pytest.mark.parametrize(
    ("file", "turned"),
    [
        (replace(PLAIN, associations={OTHER: [1], PRIMARY: [2]}), True),
        (replace(PLAIN, associations={OTHER: [1, 3], PRIMARY: [1, 3, 4]}), True),
        (replace(PLAIN, associations={OTHER: [2, 4], PRIMARY: [1, 3]}), False),
        (replace(PLAIN, associations={PRIMARY: [4], OTHER: [1]}), True),
        (replace(PLAIN, associations={PRIMARY: []}), False),
        (replace(PLAIN, associations={OTHER: [2]}), False),
        (replace(PLAIN, associations={}), False),
        (replace(PLAIN, associations={OTHER: [1], PRIMARY: [2]}, entries=1), False),
        (replace(PLAIN, associations={OTHER: [1], PRIMARY: [2]}, entries=1000), True),
        (replace(PLAIN, associations={OTHER: [1], PRIMARY: [2]}, entries=1000, last_outside=True), False),
        (replace(PLAIN, properties=[b"ispe", b"clap", b"ispe"], associations={PRIMARY: [1, 2, 3]}), False),
        (replace(PLAIN, properties=MANY, associations={OTHER: [1, 2], PRIMARY: [130]}, wide_properties=True), True),
        (replace(PLAIN, properties=MANY, associations={OTHER: [130], PRIMARY: [2]}, wide_properties=True), False),
        (replace(PLAIN, associations={PRIMARY: [2]}, without=frozenset({b"ipco"})), False),
        (replace(PLAIN, associations={PRIMARY: [2]}, without=frozenset({b"ipma"})), False),
        (replace(PLAIN, associations={PRIMARY: [2]}, without=frozenset({b"iprp"})), False),
    ],
)
@pytest.mark.parametrize("wide", [frozenset[str](), frozenset({"ipma", "pitm"})], ids=["16 bits", "32 bits"])
def test_a_rotation_or_mirroring_of_the_primary_image_is_found(file: File, turned: bool, wide: frozenset[str]) -> None:
    assert turning(replace(file, wide=wide).data()).turned is turned


def test_a_file_that_is_cut_off_or_has_no_meta_box_is_upright_or_as_far_as_it_is_known() -> None:
    data = PLAIN.data()
    assert turning(b"") == turning(FTYP) == Turning(turned=False, orientation=UPRIGHT, exif_types=())
    for length in range(len(data)):
        assert turning(data[:length]).orientation in {UPRIGHT, TURNED}


@pytest.mark.parametrize(
    "data",
    [FTYP + struct.pack(">I4s", 1, b"meta"), FTYP + full(b"meta", 0, box(b"iinf", b""))],
    ids=["a size", "contents"],
)
def test_a_box_that_is_cut_off_means_upright(data: bytes) -> None:
    assert turning(data) == Turning(turned=False, orientation=UPRIGHT, exif_types=())


MOOV, META = box(b"moov", b""), full(b"meta", 0, b"")


@pytest.mark.parametrize(
    ("data", "sequence"),
    [
        (FTYP + MOOV, True),
        (FTYP + META, False),
        (FTYP + META + MOOV, False),
        (FTYP + MOOV + META, False),
        (FTYP, False),
        (FTYP + struct.pack(">I4s", 1, b"free"), False),
    ],
    ids=["tracks", "an image", "an image and tracks", "tracks and an image", "nothing", "cut off"],
)
def test_a_sequence_has_tracks_and_no_image(data: bytes, sequence: bool) -> None:
    assert is_sequence(data) is sequence
