"""Find the session cookies of a request by name, and join those that were split into chunks.

A header can hold several session cookies, and parts of old ones: those of an older NextAuth, of another path, or of a
longer session. Which of them is the session is decided by verifying, so every value that could be one is returned.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from itertools import chain, islice, product
from urllib.parse import unquote

from image_core.errors import Unauthorized

V4, V5 = "next-auth.session-token", "authjs.session-token"
NAMES = (f"__Secure-{V4}", f"__Secure-{V5}", V4, V5)
"""The cookie names. If two sessions were issued in the same second, the first name in this order counts."""

MAX_HEADER_CHARACTERS = 60_000
"""Sixteen chunks of 4 KB; Azure Functions accepts 32 KB of headers."""
MAX_CHUNKS = 16
MAX_VALUES = 16
"""Different values of one cookie or chunk; browsers send a cookie once for each path that it was set for."""
MAX_JOINS = 32
"""Ways of joining the chunks of one name that are tried: bounds the work for one request."""

_CHUNK = re.compile(r"(0|[1-9]\d?)", re.ASCII)
_NEXT_COOKIE = re.compile(r",[ \t]*[!#$%&'*+\-.^_`|~0-9A-Za-z]+=")
"""A comma before another cookie: Azure Functions joins repeated `Cookie` headers with commas."""


@dataclass(frozen=True, slots=True)
class Token:
    """A value that may be a session.

    `cookie` is the cookie's name without a chunk number, `pairs` are the cookies as they were sent. `fault` says what
    is wrong with its chunks: the reason to log where the value does not verify.
    """

    cookie: str
    value: str
    pairs: tuple[tuple[str, str], ...]
    fault: str | None = None


@dataclass(slots=True)
class _Found:
    """The values of one name in the header: of the cookie itself, and by chunk number.

    `stray`: there are chunks with a number that NextAuth's cannot have.
    """

    whole: list[str] = field(default_factory=list)
    chunks: dict[int, list[str]] = field(default_factory=dict)
    stray: bool = False

    @property
    def consecutive(self) -> int:
        """The number of chunks from 0 on without a gap."""
        return next(number for number in range(len(self.chunks) + 1) if number not in self.chunks)

    @property
    def fault(self) -> str | None:
        if self.consecutive < len(self.chunks):
            return "chunk_missing"
        return "bad_chunks" if self.stray else None


def session_tokens(header: str, own_name: str | None = None) -> tuple[Token, ...]:
    """Return all values in a `Cookie` header that may be a session, by name in the order of `NAMES`.

    `own_name` replaces the usual names. Raises Unauthorized where there is none, or the header is too long.
    """
    if len(header) > MAX_HEADER_CHARACTERS:
        raise Unauthorized("cookie_header_too_long")
    names = (own_name,) if own_name else NAMES
    found = {name: _Found() for name in names}
    for name, value in _cookies(header, names):
        if name in found:
            _add(found[name].whole, value)
            continue
        base, _, number = name.rpartition(".")
        if base not in found:
            continue
        if _CHUNK.fullmatch(number) and int(number) < MAX_CHUNKS:
            _add(found[base].chunks.setdefault(int(number), []), value)
        else:
            found[base].stray = True
    tokens = tuple(chain.from_iterable(_tokens(name, found[name]) for name in names))
    if not tokens:
        raise Unauthorized(next(filter(None, (each.fault for each in found.values())), "no_session_cookie"))
    return tokens


@cache
def _beginning(names: tuple[str, ...]) -> re.Pattern[str]:
    """Return the pattern of a comma before a session cookie or a chunk of one."""
    return re.compile(rf",[ \t]*(?=(?:{'|'.join(map(re.escape, names))})(?:\.[^=;,\s]*)?=)")


def _cookies(header: str, names: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Yield names and values. A value with a comma has two readings: up to the comma, and as it is."""
    begins = _beginning(names)
    for part in header.split(";"):
        for pair in begins.split(part):
            name, separator, value = pair.partition("=")
            if not separator:
                continue
            name, value = name.strip(" \t"), _unquoted(value)
            if "," not in value:
                yield name, value
                continue
            joined = _NEXT_COOKIE.search(value)
            readings = [value[: joined.start()] if joined else value.partition(",")[0], value]
            for reading in readings if joined else reversed(readings):
                yield name, _unquoted(reading)


def _unquoted(value: str) -> str:
    value = value.strip(" \t")
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] == '"' else value


def _add(values: list[str], value: str) -> None:
    if value not in values and len(values) < MAX_VALUES:
        values.append(value)


def _tokens(name: str, found: _Found) -> Iterator[Token]:
    for value in found.whole:
        if value:
            yield Token(name, _decoded(value), ((name, value),))
    seen: set[str] = set()
    for parts in islice(_joins(found), MAX_JOINS):
        pairs = tuple((f"{name}.{number}", part) for number, part in enumerate(parts) if part)
        value = "".join(parts)
        if value and value not in seen:
            seen.add(value)
            yield Token(name, _decoded(value), pairs, found.fault)


def _joins(found: _Found) -> Iterator[tuple[str, ...]]:
    """Yield the ways of joining chunks, most likely first: all of them; of repeated ones the first, then the last.

    Fewer than all are tried too, because the last chunks may belong to an older session.
    """
    # Clients clear a cookie by sending it empty, so an empty value counts only where there is no other.
    choices = [sorted(found.chunks[number], key=lambda value: not value) for number in range(found.consecutive)]
    lengths = range(len(choices), 0, -1)
    for length in lengths:
        yield tuple(choice[0] for choice in choices[:length])
    if any(len(choice) > 1 for choice in choices):
        for length in lengths:
            yield tuple([value for value in choice if value or len(choice) == 1][-1] for choice in choices[:length])
        for length in lengths:
            yield from product(*choices[:length])


def _decoded(value: str) -> str:
    """Remove percent-encoding, as NextAuth's cookie parsers do."""
    return unquote(value) if "%" in value else value
