"""Files of other types are refused by the name of their type, in every encoding."""

import codecs
import gzip
import struct
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from image_core.images.fault import Fault
from image_core.images.passthrough import as_it_is
from image_core.images.unsupported_types import BEGINNING_BYTES, not_an_image
from tests.support.image_files import LIMITS, prepared
from tests.support.paths import IMAGES

SVG = '<svg xmlns="http://www.w3.org/2000/svg" width="1" height="1"/>'
LICENCE = "<!--" + " Copyright - all rights reserved -" * 100 + "-->"
ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be")
DOCTYPE = '<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "http://www.w3.org/Graphics/SVG/1.1/DTD/svg11.dtd"'

SVGS = {
    "plain": SVG,
    "white space before it": f"\n\r\t   {SVG}",
    "much white space before it": " " * 15_000 + SVG,
    "a declaration": f'<?xml version="1.0" encoding="UTF-8" standalone="no"?>{SVG}',
    "a comment": f"<!-- made by hand -->{SVG}",
    "a comment with an element": f"<!-- <html> -->{SVG}",
    "a long licence": f"{LICENCE}\n{SVG}",
    "a licence that goes on": "<!--" + "x" * BEGINNING_BYTES + f"<svg -->{SVG}",
    "declaration, comment, type and comment": f'<?xml version="1.0"?>{LICENCE}{DOCTYPE}>{LICENCE}{SVG}',
    "a type with a subset": f'<?xml version="1.0"?>{DOCTYPE} [<!ENTITY ns "http://x/"> <!ENTITY y "]">]>{SVG}',
    "a type in small letters": f"<!doctype svg>{SVG}",
    "a style sheet": f'<?xml version="1.0"?><?xml-stylesheet href="a.css"?>{SVG}',
    "a prefix": '<svg:svg xmlns:svg="http://www.w3.org/2000/svg"/>',
    "capitals": '<SVG WIDTH="1">',
    "many declarations": "<?a?>" * 900 + SVG,
}


def refused(data: bytes) -> Fault:
    with pytest.raises(Fault) as caught:
        as_it_is(data, LIMITS[0])
    return caught.value


@pytest.mark.parametrize("text", SVGS.values(), ids=SVGS)
def test_svg_is_refused_by_name_in_every_form(text: str) -> None:
    for encoding in ENCODINGS:
        for data in (text.encode(encoding), gzip.compress(text.encode(encoding))):
            fault = refused(data)
            assert fault.kind.code == "unsupported_media_type", encoding
            assert "SVG" in fault.details, encoding


MARKED: list[tuple[str, bytes]] = [
    ("UTF-8", codecs.BOM_UTF8 + SVG.encode()),
    ("UTF-16, big-endian", codecs.BOM_UTF16_BE + SVG.encode("utf-16-be")),
    ("UTF-32, big-endian", codecs.BOM_UTF32_BE + SVG.encode("utf-32-be")),
    ("UTF-8 with an invalid byte", codecs.BOM_UTF8 + SVG.encode() + b"\xff"),
    ("UTF-16 with half a character", codecs.BOM_UTF16_LE + SVG.encode("utf-16-le") + b"\0"),
    ("no mark, with an invalid byte", SVG.encode() + b"\xff"),
]


@pytest.mark.parametrize("data", [row[1] for row in MARKED], ids=[row[0] for row in MARKED])
def test_svg_is_known_by_its_byte_order_mark_and_with_invalid_bytes(data: bytes) -> None:
    assert "SVG" in refused(data).details


def test_a_compressed_file_is_not_decompressed_to_its_end() -> None:
    bomb = gzip.compress(b" " * 50_000_000)
    tracemalloc.start()
    details = refused(bomb).details
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert details.startswith("a compressed file cannot be used")
    assert peak < 5_000_000


@pytest.mark.parametrize("data", [gzip.compress(b"hello", mtime=0), b"\x1f\x8bxx", b"\x1f\x8b"], ids=bytes.hex)
def test_a_compressed_file_is_refused_as_such(data: bytes) -> None:
    assert refused(data).details.startswith("a compressed file cannot be used")


PAGES = {
    "a page": "<!DOCTYPE html><html><head><title>x</title></head></html>",
    "capitals": "<!DOCTYPE HTML PUBLIC '-//W3C//DTD HTML 4.01//EN'><HTML>",
    "old": "<HTML><BODY>",
    "no type": "  <html lang='en'>",
    "only a head": "<head><meta charset=utf-8>",
    "only a script": "<script>location='/login'</script>",
    "only a heading": "<h1>403 Forbidden</h1>",
    "a comment first": "<!-- saved from url=(0014)about:internet --><html>",
    "XHTML": '<?xml version="1.0"?><!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Strict//EN" "x"><html xmlns="y">',
    "with a drawing in it": f"<!doctype html><body>{SVG}",
    "a comment that goes on": "<!--" + "x" * BEGINNING_BYTES + "--><html>",
}


@pytest.mark.parametrize("text", PAGES.values(), ids=PAGES)
def test_a_web_page_is_refused_as_a_web_page(text: str) -> None:
    for encoding in ENCODINGS:
        for data in (text.encode(encoding), gzip.compress(text.encode(encoding))):
            fault = refused(data)
            assert (fault.kind.code, "web page" in fault.details) == ("unsupported_media_type", True), encoding


PAGE, XML, MARKUP = "it is a web page", "an XML document cannot", "a document in markup (SVG, XML or a web page) cannot"
VECTORS, NOTHING = "SVG cannot", "its bytes are not those of an image"
SUBSET = "<!DOCTYPE note [<!ELEMENT a (b)>]>"

DOCUMENTS: list[tuple[str, str]] = [
    # Comments end at the first `-->` after their own beginning.
    ("<!-- a > b --><p>", PAGE),
    ("<!-- a --><p><!-- b -->", PAGE),
    ("<!-- a --><!-- <svg> --><p>", PAGE),
    ("<!--><p>--><svg/>", VECTORS),
    ("<!----><p><!-- b -->", PAGE),
    ("<!-- a --> hello", NOTHING),
    # Processing instructions, and the declaration of XML.
    ('<?xml version="1.0"?><p>', PAGE),
    ('<?xml version="1.0"?><custom>', XML),
    ('<?XML version="1.0"?><custom>', XML),
    ("<?php echo ?><custom>", NOTHING),
    ("<custom>", NOTHING),
    ("<a:custom>", XML),
    ("<a:b:svg/>", VECTORS),
    # Type declarations, with and without a subset.
    ("<!DOCTYPE note><p>", PAGE),
    ("<!DOCTYPE note><p>[x]</p>", PAGE),
    ("<!DOCTYPE html><custom>", PAGE),
    ("<!DOCTYPE HTML><custom>", PAGE),
    ("<!DOCTYPE svg><custom>", VECTORS),
    ("<!DOCTYPE a:svg><custom>", VECTORS),
    ("<!DOCTYPE a:b:svg><custom>", VECTORS),
    ("<!DOCTYPE note><custom>", NOTHING),
    (f"{SUBSET}<p>", PAGE),
    (f"{SUBSET}<p>[</p>", PAGE),
    (f"{SUBSET}<p>]</p>", PAGE),
    (f"<!-- [ --><!DOCTYPE note><p>{'x' * 9}</p>", PAGE),
    (f"<!-- x > y -->{SUBSET}<p>", PAGE),
    (f"<!-- ] -->{SUBSET}<p>", PAGE),
    # Documents that do not end in the bytes that are read.
    ("<!DOCTYPE svg [<!ENTITY x '>'>", VECTORS),
    ("<!DOCTYPE html [<!ENTITY x '>'>", PAGE),
    ("<!DOCTYPE note [<!ENTITY x '>'>", XML),
    ("<!DOCTYPE svg><!--", VECTORS),
    ("<!DOCTYPE html><!--", PAGE),
    ("<!DOCTYPE note><!--", XML),
    ('<?xml version="1.0"?><!--', XML),
    ("<?xml version", XML),
    ("<!-- a", MARKUP),
    ("<!-- a <SVG", VECTORS),
    ("<!-- a <HTML", PAGE),
]


@pytest.mark.parametrize(("text", "details"), DOCUMENTS, ids=[text for text, _ in DOCUMENTS])
def test_a_document_is_named_by_its_type_or_first_element(text: str, details: str) -> None:
    assert refused(text.encode()).details.startswith(details)


def test_a_pdf_begins_in_the_first_kilobyte() -> None:
    assert refused(b"\n" * 1019 + b"%PDF-1.7").details.startswith("PDF cannot")
    assert refused(b"\n" * 1020 + b"%PDF-1.7").details == NOTHING


def test_a_file_of_an_unknown_media_brand_is_a_video() -> None:
    assert refused(box(b"isom")).details.startswith("a video cannot")


def box(brand: bytes) -> bytes:
    return struct.pack(">I4s4sI", 16, b"ftyp", brand, 0) + bytes(100)


NAMED: list[tuple[str, bytes]] = [
    ("PDF", b"%PDF-1.7\n"),
    ("PDF", b"\xef\xbb\xbf%PDF-1.4"),
    ("PDF", b"\r\n" * 300 + b"%PDF-1.4"),
    ("PostScript", b"%!PS-Adobe-3.0 EPSF-3.0"),
    ("PostScript", b"\xc5\xd0\xd3\xc6" + bytes(50)),
    ("JPEG 2000", b"\0\0\0\x0cjP  \r\n\x87\n" + box(b"jp2 ")),
    ("JPEG 2000", b"\xff\x4f\xff\x51\0\x2f"),
    ("JPEG 2000", box(b"jp2 ")),
    ("JPEG XL", b"\0\0\0\x0cJXL \r\n\x87\n"),
    ("JPEG XL", b"\xff\x0a\xfa\x1f"),
    ("JPEG XR", b"II\xbc\x01\x08\0\0\0"),
    ("Photoshop", b"8BPS\0\x01"),
    ("ICO", b"\0\0\1\0\1\0"),
    ("CUR", b"\0\0\2\0\1\0"),
    ("CgBI", b"\x89PNG\r\n\x1a\n\0\0\0\4CgBI" + bytes(30)),
    ("raw", box(b"crx ")),
    ("AVCI", box(b"avci")),
    ("H.266", box(b"vvic")),
    ("sequence", box(b"hevs")),
    ("sequence", box(b"hevc")[:16] + b"\0\0\0\x10moov" + bytes(8)),
    ("codec", (IMAGES / "heif" / "ten-bits.heic").read_bytes().replace(b"hvc1", b"vvc1").replace(b"hvcC", b"vvcC")),
    ("raw", b"II*\0\x10\0\0\0CR\2\0" + bytes(30)),
    ("raw", b"FUJIFILMCCD-RAW 0201"),
    ("raw", b"IIRO\x08\0\0\0"),
    ("raw", b"IIU\0\x18\0\0\0"),
    ("video", box(b"isom")),
    ("video", box(b"qt  ")),
    ("video", b"RIFF\0\0\0\0AVI LIST"),
    ("video", b"\x1aE\xdf\xa3" + bytes(20)),
    ("ZIP", b"PK\3\4" + bytes(30)),
    ("OpenEXR", b"v/1\x01\2\0\0\0"),
    ("Radiance", b"#?RADIANCE\n"),
    ("DDS", b"DDS |\0\0\0"),
    ("QOI", b"qoif" + bytes(20)),
    ("GIMP", b"gimp xcf file"),
    ("DjVu", b"AT&TFORM"),
    ("XML", b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>'),
    ("compressed", gzip.compress(b"hello", mtime=0)),
]


@pytest.mark.parametrize(("name", "data"), NAMED, ids=[f"{name} {data[:12].hex()}" for name, data in NAMED])
def test_other_types_are_refused_by_name(name: str, data: bytes) -> None:

    with pytest.raises(Fault) as caught:
        prepared(data, *LIMITS)
    assert caught.value.kind.code == "unsupported_media_type"
    assert name in caught.value.details


@pytest.mark.parametrize("data", [b"", b"hello", b'{"error": 1}', b"\0" * 100, b"<", b"<3 you", b"\x1f\x8b", b"RIFF"])
def test_bytes_of_no_known_type_are_invalid(data: bytes) -> None:
    assert refused(data).kind.code in {"invalid_image", "unsupported_media_type"}
    if not data.startswith(b"\x1f\x8b"):
        assert refused(data).kind.code == "invalid_image"


@given(st.binary(max_size=300) | st.text(st.sampled_from("<!->?[]\"' \nsvghtmlx:"), max_size=300).map(str.encode))
def test_any_other_bytes_give_an_error(data: bytes) -> None:
    assert not_an_image(data).kind.code in {"invalid_image", "unsupported_media_type"}


def test_only_the_beginning_is_read() -> None:
    class Counted(bytes):
        """Bytes that tell how many of them were taken out."""

        taken = 0

        def __getitem__(self, key: Any) -> Any:
            part = super().__getitem__(key)
            Counted.taken += len(part) if isinstance(part, bytes) else 1
            return part

    not_an_image(Counted(b"<!--" * 500_000))
    assert Counted.taken < 2 * BEGINNING_BYTES
    bomb = gzip.compress(b" " * 5_000_000)
    Counted.taken = 0
    not_an_image(Counted(bomb))
    assert Counted.taken < 2 * BEGINNING_BYTES
