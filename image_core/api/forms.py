"""Find the file in a `multipart/form-data` body (RFC 7578), in time linear in its length and with a limit of parts.

werkzeug's parser is not used: it decodes a part without a file name as text, refuses names in Latin-1, and builds an
object for every part before their number is known.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from werkzeug.http import parse_options_header

from image_core.errors import InvalidRequest, NoFile, UnsupportedMediaType

MAX_PARTS = 10
MAX_BOUNDARY_CHARACTERS = 200
"""RFC 2046 allows 70."""
MAX_PART_HEADER_BYTES = 8192
MAX_LOOKALIKES = 1000
"""Limit of how often the data of all parts may contain text that begins like the boundary."""
SHOWN_CHARACTERS = 100


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a form. `file_name` is None where the part has none."""

    name: str
    file_name: str | None
    data: bytes


def uploaded_file(content_type: str, body: bytes) -> Part:
    """Return the part `file`. Raises NoFile, InvalidRequest, UnsupportedMediaType."""
    media_type, options = parse_options_header(content_type)
    if media_type.strip().lower() != "multipart/form-data":
        raise UnsupportedMediaType("Send the file as multipart/form-data")
    boundary = options.get("boundary", "")
    if not boundary:
        raise NoFile("The Content-Type has no boundary: let the HTTP client set this header", field="file")
    if len(boundary) > MAX_BOUNDARY_CHARACTERS:
        raise NoFile(f"The boundary has more than {MAX_BOUNDARY_CHARACTERS} characters", field="file")
    found = None
    for part in _parts(body, boundary.encode("latin-1", errors="replace")):
        if part.name != "file":
            continue
        if found is not None:
            name = (part.file_name or "")[:SHOWN_CHARACTERS]
            raise InvalidRequest(f"Send one file at a time: {name!r} is a second one", field="file")
        found = part
    if found is None or not (found.data or found.file_name):
        raise NoFile(field="file")
    return found


def _parts(body: bytes, boundary: bytes) -> Iterator[Part]:
    """Yield the parts of the form in order. Raises InvalidRequest, NoFile."""
    delimiter = b"--" + boundary
    finder = _Delimiters(body, delimiter)
    after = finder.next(0)[1]
    count = 0
    while after is not None:
        count += 1
        if count > MAX_PARTS:
            raise InvalidRequest(f"A form has at most {MAX_PARTS} parts", field="file")
        header, begin = _header(body, after)
        end, after = finder.next(begin)
        name, file_name = _names(header)
        if name is not None:
            yield Part(name, file_name, body[begin:end])


class _Delimiters:
    """Finds delimiters: lines of `--` and the boundary; at the end of the form, `--` follows."""

    def __init__(self, body: bytes, delimiter: bytes) -> None:
        self._body = body
        self._delimiter = delimiter
        self._lookalikes = 0

    def next(self, begin: int) -> tuple[int, int | None]:
        """Return where the data before the next delimiter ends, and where the next part begins: None after the last."""
        at = begin
        while (found := self._body.find(self._delimiter, at)) >= 0:
            at = found + len(self._delimiter)
            if found in {0, begin} or self._body[found - 1] == ord("\n"):
                end = self._line_end(found, begin)
                if self._body.startswith(b"--", at):
                    return end, None
                line = self._body.find(b"\n", at, at + MAX_PART_HEADER_BYTES)
                if line >= 0 and not self._body[at:line].strip(b" \t\r"):
                    return end, line + 1
            self._lookalikes += 1
            if self._lookalikes > MAX_LOOKALIKES:
                raise _unreadable("its boundary is not one that its data does not contain")
        raise _unreadable(
            "its last boundary is missing" if begin else "its boundary is not the one of the Content-Type"
        )

    def _line_end(self, found: int, begin: int) -> int:
        """Return the end of the data before a delimiter: the line break belongs to the delimiter."""
        if found <= begin:
            return begin
        end = found - 1
        return end - 1 if end > begin and self._body[end - 1] == ord("\r") else end


def _header(body: bytes, begin: int) -> tuple[bytes, int]:
    """Return the header lines of the part that begins at `begin`, and where its data begins."""
    for blank in (b"\r\n", b"\n"):
        if body.startswith(blank, begin):
            return b"", begin + len(blank)
    ends = []
    for blank in (b"\r\n\r\n", b"\n\n"):
        found = body.find(blank, begin, begin + MAX_PART_HEADER_BYTES)
        if found >= 0:
            ends.append((found, found + len(blank)))
    if not ends:
        raise _unreadable("the header of a part does not end")
    end, data = min(ends)
    return body[begin:end], data


def _names(header: bytes) -> tuple[str | None, str | None]:
    """Return the name and the file name in a part's header."""
    try:
        text = header.decode()
    except UnicodeDecodeError:
        text = header.decode("latin-1")
    for line in text.replace("\r\n ", " ").replace("\r\n\t", " ").splitlines():
        key, _, value = line.partition(":")
        if key.strip().lower() == "content-disposition":
            _, options = parse_options_header(value.strip())
            return options.get("name"), options.get("filename")
    return None, None


def _unreadable(reason: str) -> NoFile:
    return NoFile(f"The form cannot be read: {reason}", field="file")
