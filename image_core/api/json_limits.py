"""Check a JSON text in one pass before it is parsed, to limit the memory and time of its parser.

A parser builds a value of some hundred bytes from two: 30 MB of `[],[],…` become gigabytes. So the number of values,
the length of numbers, and strings that Python stores in more bytes than they were sent in are limited, and the text is
refused at the first excess. Strings, of which images consist, are skipped at the speed of `memchr`.
"""

import re
from dataclasses import dataclass

MAX_VALUES = 10_000
"""Values and keys of one text. A request has a dozen; the rest is for unknown fields, which are ignored."""

MAX_NUMBER_CHARACTERS = 400
"""The longest number or literal; the parser's effort grows with the square of the length."""

MAX_WIDE_BYTES = 400_000
"""The longest string with characters beyond ASCII: one of them makes Python store two or four bytes for each character
of the string. A prompt of 32 000 characters has at most 384 000 bytes, where all of them are escaped."""

MAX_QUOTES = 100_000
"""Quotation marks: two for each string, and those escaped in it. A prompt has at most 32 000 characters."""

_TOKEN = re.compile(rb"[ \t\r\n]*+(?:[\[{]|[\]}]|[,:]|\"|[-+.0-9A-Za-z]{1,%d})" % MAX_NUMBER_CHARACTERS)
_SPACE = re.compile(rb"[ \t\r\n]*+")
_WIDE = re.compile(rb"\\u(?!00[0-7])")
_NO_VALUE, _QUOTE, _OPENING = b"]},:", ord('"'), b"[{"
_WORD = re.compile(rb"[-+.0-9A-Za-z]")


class TooComplex(ValueError):
    """The text exceeds a limit; the message says which."""


class NotJson(ValueError):
    """The text cannot be JSON."""


@dataclass(frozen=True, slots=True)
class Measured:
    """The counts of a text within the limits. `steps`: the iterations of the checking loops."""

    values: int
    steps: int


def measure(text: bytes) -> Measured:
    """Count the values of a JSON text. Raises TooComplex, NotJson. The parser checks whether it is well formed."""
    at = values = quotes = steps = 0
    size, ascii_only = len(text), text.isascii()
    while True:
        found = _TOKEN.match(text, at)
        if found is None:
            break
        steps += 1
        at = found.end()
        character = text[at - 1]
        if character in _NO_VALUE:
            continue
        values += 1
        if values > MAX_VALUES:
            raise TooComplex(f"it has more than {MAX_VALUES} values")
        if character == _QUOTE:
            begin = at
            at, passed = _end_of_string(text, begin, MAX_QUOTES - quotes)
            quotes += passed
            steps += passed
            if at - begin > MAX_WIDE_BYTES and (
                _WIDE.search(text, begin, at) or not (ascii_only or text[begin:at].isascii())
            ):
                raise TooComplex(f"it has a text of more than {MAX_WIDE_BYTES} bytes that is not ASCII")
        elif character not in _OPENING and _WORD.match(text, at):
            raise TooComplex(f"it has a number of more than {MAX_NUMBER_CHARACTERS} characters")
    match = _SPACE.match(text, at)
    if match is not None and match.end() < size:
        raise NotJson
    return Measured(values, steps)


def _end_of_string(text: bytes, begin: int, most: int) -> tuple[int, int]:
    """Return the position after the quotation mark that ends the string, and how many marks were passed."""
    at, passed = begin, 0
    while (quote := text.find(b'"', at)) >= 0:
        passed += 1
        if passed > most:
            raise TooComplex(f"it has more than {MAX_QUOTES} quotation marks")
        # Escaped where an odd number of backslashes precedes it. `at` is after the previous mark: none is read twice.
        if not _odd_backslashes(text, at, quote):
            return quote + 1, passed
        at = quote + 1
    raise NotJson


def _odd_backslashes(text: bytes, begin: int, end: int) -> bool:
    if end == begin or text[end - 1] != ord("\\"):
        return False
    part = text[begin:end]
    return (len(part) - len(part.rstrip(b"\\"))) % 2 == 1
