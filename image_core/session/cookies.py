"""The session cookies of a request: by their names, and put together again where they were split."""

import re
from dataclasses import dataclass

from image_core.errors import Unauthorized

V4, V5 = "next-auth.session-token", "authjs.session-token"
NAMES = (f"__Secure-{V4}", f"__Secure-{V5}", V4, V5)
"""In the order in which they count: of two valid sessions the `__Secure-` one."""

MAX_HEADER_CHARACTERS = 60_000
"""Sixteen chunks of 4 KB, less than which a server in front of us lets pass anyway."""
MAX_CHUNKS = 16
MAX_TOKENS = 8
"""Of one request: browsers send a cookie once for each path that it was set for."""

_CHUNK = re.compile(r"(0|[1-9]\d?)")


@dataclass(frozen=True, slots=True)
class Token:
    """The value of a session cookie; `pairs` is what the browser sent of it, chunk by chunk."""

    cookie: str
    value: str
    pairs: tuple[tuple[str, str], ...]


def session_tokens(header: str, own_name: str | None = None) -> tuple[Token, ...]:
    """All session tokens in a `Cookie` header, in the order in which they count. `own_name` replaces the usual names.

    Raises Unauthorized where there is none, or the header or its chunks cannot be right.
    """
    if len(header) > MAX_HEADER_CHARACTERS:
        raise Unauthorized("cookie_header_too_long")
    names = (own_name,) if own_name else NAMES
    whole: dict[str, list[str]] = {}
    chunks: dict[str, dict[int, str]] = {}
    for part in header.split(";"):
        name, separator, value = part.strip().partition("=")
        if not separator:
            continue
        value = value.strip().strip('"')
        if name in names:
            whole.setdefault(name, []).append(value)
            continue
        base, _, number = name.rpartition(".")
        if base in names:
            _add_chunk(chunks.setdefault(base, {}), number, value)
    tokens: list[Token] = []
    for name in names:
        tokens += [Token(name, value, ((name, value),)) for value in whole.get(name, []) if value]
        if name in chunks:
            tokens.append(_joined(name, chunks[name]))
    if not tokens:
        raise Unauthorized("no_session_cookie")
    return tuple(tokens[:MAX_TOKENS])


def _add_chunk(chunks: dict[int, str], number: str, value: str) -> None:
    if not (number.isascii() and _CHUNK.fullmatch(number)) or int(number) in chunks or len(chunks) == MAX_CHUNKS:
        raise Unauthorized("bad_chunks")
    chunks[int(number)] = value


def _joined(name: str, chunks: dict[int, str]) -> Token:
    ordered = sorted(chunks)
    if ordered != list(range(len(ordered))):
        raise Unauthorized("chunk_missing")
    pairs = tuple((f"{name}.{number}", chunks[number]) for number in ordered)
    return Token(name, "".join(value for _, value in pairs), pairs)
