"""Name the type of a file that is not a supported image, by its first bytes.

The number of bytes that are read is bounded, and each is read a bounded number of times.
"""

import re
import zlib

from image_core.errors import InvalidImage, UnsupportedImage
from image_core.images.fault import Fault

TAKEN = "send PNG, JPEG, WebP, HEIC, AVIF, GIF, BMP or TIFF"
BEGINNING_BYTES = 65_536
"""Bytes in which the first element of a document is searched: comments with licences may precede it."""
PDF_BYTES = 1024
"""Bytes in which readers search for `%PDF-` (ISO 32000, annex H)."""
MAX_DECLARATIONS = 1000

_MAGIC: tuple[tuple[int, bytes, str], ...] = (
    (12, b"CgBI", "a PNG that Xcode has packed for iPhones (CgBI)"),
    (0, b"8BPS", "Photoshop"),
    (0, b"\0\0\1\0", "ICO"),
    (0, b"\0\0\2\0", "CUR"),
    (0, b"icns", "ICNS"),
    (0, b"\0\0\0\x0cJXL ", "JPEG XL"),
    (0, b"\xff\x0a", "JPEG XL"),
    (0, b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (0, b"\xff\x4f\xff\x51", "JPEG 2000"),
    (0, b"II\xbc", "JPEG XR"),
    (0, b"\x8aMNG\r\n\x1a\n", "MNG"),
    (0, b"\x8bJNG\r\n\x1a\n", "JNG"),
    (0, b"v/1\x01", "OpenEXR"),
    (0, b"#?RADIANCE", "Radiance HDR"),
    (0, b"#?RGBE", "Radiance HDR"),
    (0, b"DDS ", "DDS"),
    (0, b"qoif", "QOI"),
    (0, b"BPG\xfb", "BPG"),
    (0, b"FLIF", "FLIF"),
    (0, b"gimp xcf", "GIMP"),
    (0, b"AT&TFORM", "DjVu"),
    (0, b"%!PS", "PostScript"),
    (0, b"\xc5\xd0\xd3\xc6", "PostScript"),
    (0, b"\xd7\xcd\xc6\x9a", "WMF"),
    (40, b" EMF", "EMF"),
    (0, b"FUJIFILMCCD-RAW", "a camera raw file"),
    (0, b"IIU\0", "a camera raw file"),
    (0, b"IIRO", "a camera raw file"),
    (0, b"IIRS", "a camera raw file"),
    (0, b"MMOR", "a camera raw file"),
    (0, b"FOVb", "a camera raw file"),
    (0, b"\0MRM", "a camera raw file"),
    (8, b"AVI ", "a video"),
    (0, b"\x1aE\xdf\xa3", "a video"),
    (0, b"PK\3\4", "a ZIP archive or an office document"),
    (0, b"Rar!", "an archive"),
    (0, b"7z\xbc\xaf", "an archive"),
    (0, b"\xd0\xcf\x11\xe0", "an office document"),
)
_MEDIA_BRANDS = {
    b"crx ": "a camera raw file",
    **dict.fromkeys((b"jp2 ", b"jpx ", b"j2ki", b"j2is"), "JPEG 2000"),
    b"jxl ": "JPEG XL",
    **dict.fromkeys((b"avci", b"avcs"), "an image in H.264 (AVCI)"),
    **dict.fromkeys((b"vvic", b"vvis"), "an image in H.266"),
    **dict.fromkeys((b"hevm", b"hevs"), "a HEIC sequence"),
}
_HTML = re.compile(
    r"(?:html|head|body|title|meta|script|noscript|style|link|base|div|span|p|h[1-6]|a|b|i|br|hr|img|font|center|table|form"
    r"|iframe|frameset|pre|ul|ol|main|nav|header|footer|section|article|template|xhtml:html|html:html)",
    re.IGNORECASE,
)
_DOCTYPE = re.compile(r"<!doctype\s+([\w:.-]+)", re.IGNORECASE)
_ELEMENT = re.compile(r"<([A-Za-z_][\w:.-]*)")
_BLANK = re.compile(r"[\s\0\ufeff]*")


def not_an_image(data: bytes) -> Fault:
    """Return the Fault for a file that is not a supported image: 415 with the type's name if it is known, else 400."""
    if not data:
        return Fault(InvalidImage, "it is empty")
    name = _magic(data) or _document(data)
    if name is None:
        return Fault(InvalidImage, "its bytes are not those of an image")
    if name == WEB_PAGE:
        return Fault(UnsupportedImage, "it is a web page, not an image; use the address of the image itself")
    return unsupported(name)


WEB_PAGE = "a web page"


def unsupported(name: str) -> Fault:
    """Return the Fault for an image of a type that cannot be decoded."""
    return Fault(UnsupportedImage, f"{name} cannot be used; {TAKEN}")


def _magic(data: bytes) -> str | None:
    for at, magic, name in _MAGIC:
        if data.startswith(magic, at):
            return name
    if data[4:8] == b"ftyp":
        return _MEDIA_BRANDS.get(data[8:12], "a video")
    if data.find(b"%PDF-", 0, PDF_BYTES) >= 0:
        return "PDF"
    return None


def _document(data: bytes) -> str | None:
    """Return the name of a text document or compressed file: SVG, a web page, XML."""
    beginning = data[:BEGINNING_BYTES]
    if beginning.startswith(b"\x1f\x8b"):
        try:
            beginning = zlib.decompressobj(wbits=31).decompress(beginning, BEGINNING_BYTES)
        except zlib.error:
            return "a compressed file"
        return _markup(_text(beginning)) or "a compressed file"
    return _markup(_text(beginning))


def _text(beginning: bytes) -> str:
    """Decode the text. A byte order mark or the positions of zero bytes show the encoding."""
    for mark, encoding in (
        (b"\xef\xbb\xbf", "utf-8"),
        (b"\xff\xfe\0\0", "utf-32-le"),
        (b"\0\0\xfe\xff", "utf-32-be"),
        (b"\xff\xfe", "utf-16-le"),
        (b"\xfe\xff", "utf-16-be"),
    ):
        if beginning.startswith(mark):
            return beginning[len(mark) :].decode(encoding, errors="replace")
    first = beginning[:4]
    if len(first) == 4:  # noqa: PLR2004 - one character of the widest encoding
        zeros = [byte == 0 for byte in first]
        encodings = {
            (False, True, True, True): "utf-32-le",
            (True, True, True, False): "utf-32-be",
            (False, True, False, True): "utf-16-le",
            (True, False, True, False): "utf-16-be",
        }
        encoding = encodings.get(tuple(zeros), "utf-8")  # type: ignore[arg-type] # a tuple of four
        return beginning.decode(encoding, errors="replace")
    return beginning.decode(errors="replace")


def _markup(text: str) -> str | None:
    """Return the name of a document by its type declaration or first element, after comments and declarations."""
    at, xml, doctype = 0, False, ""
    for _ in range(MAX_DECLARATIONS):
        at = _BLANK.match(text, at).end()  # type: ignore[union-attr] # it also matches the empty string
        if text.startswith("<!--", at):
            end = text.find("-->", at + 4)
        elif text.startswith("<?", at):
            xml = xml or text[at : at + 5].lower() == "<?xml"
            end = text.find(">", at)
        elif declared := _DOCTYPE.match(text, at):
            doctype = declared[1].lower()
            subset, end = text.find("[", at), text.find(">", at)
            if 0 <= subset < end:
                end = text.find("]", subset)
                end = text.find(">", end) if end >= 0 else -1
        else:
            break
        if end < 0:  # it continues after the bytes that are read
            return _unfinished(text, xml=xml, doctype=doctype)
        at = text.find(">", end) + 1
    element = _ELEMENT.match(text, at)
    name = element[1].lower() if element else ""
    if name.rsplit(":", 1)[-1] == "svg" or doctype.rsplit(":", 1)[-1] == "svg":
        return "SVG"
    if doctype == "html" or _HTML.fullmatch(name):
        return WEB_PAGE
    return "an XML document" if xml or (element and ":" in name) else None


def _unfinished(text: str, *, xml: bool, doctype: str) -> str:
    lower = text.lower()
    if doctype == "svg" or "<svg" in lower:
        return "SVG"
    if doctype == "html" or "<html" in lower:
        return WEB_PAGE
    return "an XML document" if xml or doctype else "a document in markup (SVG, XML or a web page)"
