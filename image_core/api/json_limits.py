"""Limits on what a JSON text may cost its parser, checked before it is parsed, in one pass.

A parser builds a value of up to some hundred bytes from as little as two: 30 MB of `[],[],…` become gigabytes. So the
number of values, the length of numbers and texts that Python stores in more bytes than they came in are limited here, and
the text is refused at the first excess. Strings, of which images consist, are skipped at the speed of `memchr`.
"""

import re
from dataclasses import dataclass

MAX_VALUES = 10_000
"""Values and keys of one text. A request has a dozen; the rest is for fields that we ignore."""

MAX_NUMBER_CHARACTERS = 400
"""Of a number or a literal; the parser's own effort grows with the square of it."""

MAX_WIDE_BYTES = 400_000
"""Of a string with characters beyond ASCII: one of them makes Python store two or four bytes for each of the string. A prompt
of 32 000 characters has at most 384 000, all of them escaped."""

MAX_QUOTES = 100_000
"""Quotation marks: two for each string, and those escaped in it. A prompt has at most 32 000 characters."""

_TOKEN = re.compile(rb"[ \t\r\n]*+(?:[\[{]|[\]}]|[,:]|\"|[-+.0-9A-Za-z]{1,%d})" % MAX_NUMBER_CHARACTERS)
_SPACE = re.compile(rb"[ \t\r\n]*+")
_WIDE = re.compile(rb"\\u(?!00[0-7])")
_NO_VALUE, _QUOTE, _OPENING = b"]},:", ord('"'), b"[{"
_WORD = re.compile(rb"[-+.0-9A-Za-z]")


class TooComplex(ValueError):
    """The text passes a limit; the message says which."""


class NotJson(ValueError):
    """The text cannot be JSON."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What was counted in a text within the limits. `steps` is the number of passes through the checking loops."""

    values: int
    steps: int


def measure(text: bytes) -> Measured:
    """Count the values of a JSON text. Raises TooComplex, NotJson. That it is well formed is left to the parser."""
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
    """The place behind the quotation mark that ends the string, and how many were looked at."""
    at, passed = begin, 0
    while (quote := text.find(b'"', at)) >= 0:
        passed += 1
        if passed > most:
            raise TooComplex(f"it has more than {MAX_QUOTES} quotation marks")
        # Escaped where an odd number of backslashes stands before it; `at` is behind the mark before, so none is read twice.
        if not _odd_backslashes(text, at, quote):
            return quote + 1, passed
        at = quote + 1
    raise NotJson


def _odd_backslashes(text: bytes, begin: int, end: int) -> bool:
    if end == begin or text[end - 1] != ord("\\"):
        return False
    part = text[begin:end]
    return (len(part) - len(part.rstrip(b"\\"))) % 2 == 1
