"""Parse URLs so that they are sent byte for byte as given. Forbidden characters are encoded as browsers do.

Object storage signs URLs, so nothing is decoded and encoded again. Only the authority is parsed and normalized, by
yarl; all checks of the destination are made on the URL that is then requested.
"""

import re

from yarl import URL

_TRIMMED = "".join(map(chr, range(0x21)))
_REMOVED = str.maketrans("", "", "\t\n\r")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_AUTHORITY_END = re.compile(r"[/?#]")

# The URL Standard (url.spec.whatwg.org), path and query percent-encode sets. All other than ASCII is encoded too.
_IN_PATH = ' "<>^`{}'
_IN_QUERY = ' "<>'


def parsed(url: str, base: URL | None = None) -> URL:
    """Return `url` without its fragment, resolved against `base` if there is one. Raises ValueError."""
    url = url.strip(_TRIMMED).translate(_REMOVED)
    if _CONTROL.search(url):
        raise ValueError("control characters")
    if (scheme := _SCHEME.match(url)) is not None:
        name, rest = scheme[1].lower(), url[scheme.end() :]
        if not rest.startswith("//"):
            raise ValueError("no authority")
        return _absolute(name, rest[2:])
    if base is None:
        raise ValueError("no scheme")
    if url.startswith("//"):
        return _absolute(base.scheme, url[2:])
    return _relative(url.partition("#")[0], base)


def _absolute(scheme: str, rest: str) -> URL:
    end = _AUTHORITY_END.search(rest)
    authority, target = (rest, "") if end is None else (rest[: end.start()], rest[end.start() :])
    # Parsers disagree on the end of an authority with a backslash: yarl refuses it.
    origin = URL(f"{scheme}://{authority}")
    if origin.raw_path not in {"", "/"} or origin.raw_query_string or origin.raw_fragment:
        raise ValueError("the authority is ambiguous")
    path, query = _target(target.partition("#")[0])
    return _joined(origin, path or "/", query)


def _relative(reference: str, base: URL) -> URL:
    """Resolve a reference without scheme and authority (RFC 3986, 5.2.2)."""
    path, query = _target(reference)
    if not path:
        return _joined(base, base.raw_path, base.raw_query_string if query is None else query)
    if not path.startswith("/"):
        path = base.raw_path.rpartition("/")[0] + "/" + path
    return _joined(base, _without_dots(path), query)


def _target(target: str) -> tuple[str, str | None]:
    """Return path and query, encoded where necessary. In a path a backslash means a slash, as in browsers."""
    path, mark, query = target.partition("?")
    return _encoded(path.replace("\\", "/"), _IN_PATH), _encoded(query, _IN_QUERY) if mark else None


def _encoded(text: str, characters: str) -> str:
    if text.isascii() and not any(character in text for character in characters):
        return text
    # Bytes of a header that are not UTF-8 arrive as surrogates, and are sent as the same bytes.
    data = text.encode("utf-8", errors="surrogateescape")
    needed = {ord(character) for character in characters}
    return "".join(f"%{byte:02X}" if byte in needed or byte > 126 else chr(byte) for byte in data)  # noqa: PLR2004 - ASCII


def _without_dots(path: str) -> str:
    kept: list[str] = []
    segments = path.split("/")
    for number, segment in enumerate(segments):
        last = number == len(segments) - 1
        if segment == "..":
            if len(kept) > 1:  # the first is the empty text before the first slash
                kept.pop()
            if last:
                kept.append("")
        elif segment != ".":
            kept.append(segment)
        elif last:
            kept.append("")
    return "/".join(kept)


def _joined(origin: URL, path: str, query: str | None) -> URL:
    authority = origin.raw_authority
    url = URL(f"{origin.scheme}://{authority}{path}" + (f"?{query}" if query else ""), encoded=True)
    if (url.raw_host, url.port, url.raw_authority) != (origin.raw_host, origin.port, authority):
        raise ValueError("the authority is ambiguous")
    return url
