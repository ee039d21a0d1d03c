"""A string of `images`: inline bytes, one of our own pictures, or an address."""

import binascii
import re
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

import pybase64

from image_core.errors import InvalidImage, UrlNotAllowed
from image_core.inputs.fault import Fault

MAX_URL_CHARACTERS = 8192
OWN_PATH = "/api/images/"
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_BLANK = re.compile(rb"[\t\n\r\f ]+")
_URL_SAFE = bytes.maketrans(b"-_", b"+/")


@dataclass(frozen=True, slots=True)
class Inline:
    """Bytes that came with the request, still encoded: `decode` them off the event loop."""

    payload: str
    base64: bool

    def decode(self) -> bytes:
        """The bytes. Raises Fault."""
        if not self.base64:
            return unquote_to_bytes(self.payload)
        return _decode(self.payload)


@dataclass(frozen=True, slots=True)
class Address:
    """An address, as sent."""

    url: str


def parse(text: str) -> Inline | Address:
    """What a string of `images` is. Raises Fault for what is neither."""
    text = text.strip()
    if not text:
        raise Fault(InvalidImage, "it is empty")
    if text[:5].lower() == "data:":
        head, comma, payload = text[5:].partition(",")
        if not comma:
            raise Fault(InvalidImage, "the data URL has no comma")
        parameters = [part.strip().lower() for part in head.split(";")[1:]]
        return Inline(payload, "base64" in parameters)
    if text.startswith(OWN_PATH) or _SCHEME.match(text):
        if len(text) > MAX_URL_CHARACTERS:
            raise Fault(UrlNotAllowed, f"an address has at most {MAX_URL_CHARACTERS} characters")
        return Address(text)
    return Inline(text, base64=True)


def _decode(payload: str) -> bytes:
    """Base64 in any of its dresses: URL-safe letters, line breaks, percent-encoding, with padding or without."""
    try:
        raw = payload.encode("ascii")
    except UnicodeEncodeError:
        raise Fault(InvalidImage, "it is not valid base64") from None
    try:
        return pybase64.b64decode(raw, validate=True)  # as nearly all of them come
    except binascii.Error:
        pass
    if b"%" in raw:
        raw = unquote_to_bytes(raw)
    raw = _BLANK.sub(b"", raw).translate(_URL_SAFE).rstrip(b"=")
    if not raw:
        raise Fault(InvalidImage, "it is empty")
    try:
        return pybase64.b64decode(raw + b"=" * (-len(raw) % 4), validate=True)
    except binascii.Error:
        raise Fault(InvalidImage, "it is not valid base64") from None
