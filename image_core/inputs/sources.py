"""Parse a string of `images`: inline bytes or a URL."""

import binascii
import re
from dataclasses import dataclass

import pybase64

from image_core.errors import InvalidImage, UrlNotAllowed
from image_core.images.fault import Fault
from image_core.storage.naming import API_IMAGES

MAX_URL_CHARACTERS = 8192
MAX_HEAD_CHARACTERS = 1024
"""Maximum length of a data URL before its comma: the media type and its parameters."""
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,63}:")
_SCRIPT_VALUE = re.compile(r"\[object [A-Za-z]{1,40}\]|(undefined|null|NaN|true|false)$")
JPEG_BASE64 = "/9j/"
LONGEST_PATH = 200
"""Maximum length of a path, in characters. No image is so short in base64."""
_BLANKS = b"\t\n\r\f "
_URL_SAFE = bytes.maketrans(b"-_", b"+/")
PERCENT_CHUNK_BYTES = 1_000_000


@dataclass(frozen=True, slots=True)
class Inline:
    """Bytes in the request, encoded in `text` from `start` on. Call `decode` outside of the event loop."""

    text: str
    start: int
    base64: bool

    def decode(self) -> bytes:
        """Return the bytes, in time linear in the length of the text. Raises Fault."""
        return (
            _decode(self.text, self.start)
            if self.base64
            else percent_decoded(self.text[self.start :].encode(errors="replace"))
        )


@dataclass(frozen=True, slots=True)
class Address:
    """A URL, as sent."""

    url: str


def parse(text: str) -> Inline | Address:
    """Parse a string. Raises Fault where it is neither bytes nor a URL."""
    text = text.strip()
    if not text:
        raise Fault(InvalidImage, "it is empty")
    if text[:5].lower() == "data:":
        comma = text.find(",", 5, 5 + MAX_HEAD_CHARACTERS + 1)
        if comma < 0:
            raise Fault(InvalidImage, f"the data URL has no comma in its first {MAX_HEAD_CHARACTERS} characters")
        parameters = [part.strip().lower() for part in text[5:comma].split(";")[1:]]
        _check_payload(text, comma + 1)
        return Inline(text, comma + 1, "base64" in parameters)
    if text.startswith(API_IMAGES) or _SCHEME.match(text):
        if len(text) > MAX_URL_CHARACTERS:
            raise Fault(UrlNotAllowed, f"an address has at most {MAX_URL_CHARACTERS} characters")
        return Address(text)
    if text.startswith("//"):
        raise Fault(InvalidImage, "it is an address without a scheme: write https: before it")
    if _is_path(text):
        raise Fault(InvalidImage, "it is a path, which has no host here: send the whole address, or the image itself")
    _check_payload(text, 0)
    return Inline(text, 0, base64=True)


def _is_path(text: str) -> bool:
    """Return whether `text` is a path of some site. Base64 may start with a slash too: a JPEG's does."""
    if not text.startswith(("/", "./", "../")) or text.startswith(JPEG_BASE64):
        return False
    return len(text) < LONGEST_PATH or "." in text[:LONGEST_PATH]


def _check_payload(text: str, start: int) -> None:
    """Raise Fault for texts that programs send by mistake instead of base64, by their first characters."""
    head = text[start : start + 64].lstrip()
    if _SCRIPT_VALUE.match(head):
        raise Fault(InvalidImage, "it is the name of a JavaScript value, not the bytes of a file: read the file first")
    if start and head[:5].lower() == "data:":
        raise Fault(InvalidImage, "the data URL has its prefix twice")
    if start and head[:8].lower().startswith(("http://", "https://")):
        raise Fault(InvalidImage, "the data URL holds an address: send the address alone")


def _decode(text: str, start: int) -> bytes:
    """Decode base64 in any form: URL-safe, with line breaks, percent-encoded, with padding or without. Raises Fault."""
    try:
        raw: bytes | memoryview = memoryview(text.encode("ascii"))[start:]
    except UnicodeEncodeError:
        raise Fault(InvalidImage, "it is not valid base64") from None
    try:
        return _not_empty(pybase64.b64decode(raw, validate=True))  # the usual form
    except binascii.Error:
        raw = bytes(raw)
    if b"%" in raw:
        raw = percent_decoded(raw)
    raw = raw.translate(_URL_SAFE, _BLANKS).rstrip(b"=")
    try:
        return _not_empty(pybase64.b64decode(raw + b"=" * (-len(raw) % 4), validate=True))
    except binascii.Error:
        raise Fault(InvalidImage, "it is not valid base64") from None


def _not_empty(data: bytes) -> bytes:
    if not data:
        raise Fault(InvalidImage, "it is empty")
    return data


def percent_decoded(raw: bytes, piece_bytes: int = PERCENT_CHUNK_BYTES) -> bytes:
    """Remove percent-encoding from `raw`, in pieces, so that other threads can run in between.

    `urllib` creates an object for each escape. Quoted-printable differs only in its sign, and its decoder is a loop in
    C.
    """
    pieces, at = [], 0
    while at < len(raw):
        piece = raw[at : at + piece_bytes]
        split = piece.rfind(b"%", -2)
        if split > 0 and at + len(piece) < len(raw):
            piece = piece[:split]  # do not split an escape
        elif split == 0:
            piece = raw[at : at + 3]
        pieces.append(binascii.a2b_qp(piece.replace(b"=", b"=3D").replace(b"%", b"=")))
        at += len(piece)
    return b"".join(pieces)
