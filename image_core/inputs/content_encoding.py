"""Decompress a response by its `Content-Encoding`, if its bytes are compressed as that says.

Object storage repeats what the uploader declared: `utf-8`, `aws-chunked`, or `gzip` for bytes that are not compressed.
Therefore the first bytes decide whether a response is decompressed.
"""

import zlib
from collections.abc import Iterable, Iterator

PIECE_BYTES = 65_536
MAX_CODINGS = 4
MAX_MEMBERS = 1000
"""Maximum number of concatenated gzip streams, as parallel compressors write them."""

_SUPPORTED = {"gzip", "x-gzip", "deflate"}
_UNSUPPORTED = {"br", "zstd", "compress", "x-compress", "dcb", "dcz"}
_GZIP = b"\x1f\x8b"
_IMAGES = (b"\x89P", b"\xff\xd8", b"RI", b"GI", b"BM", b"II", b"MM", b"\0\0")
"""The first bytes of images of the supported types."""


class Decompressor:
    """Decompresses a response as it arrives, in pieces of at most PIECE_BYTES. Raises zlib.error for broken data."""

    def __init__(self, encoding: str) -> None:
        """Take the value of `Content-Encoding`. Raises ValueError where it names too many compressions."""
        names = [name.strip().lower() for name in encoding.split(",")]
        supported = [name for name in names if name in _SUPPORTED]
        if len(supported) > MAX_CODINGS:
            raise ValueError("compressed too many times")
        self._stages = [_Stage() for _ in supported]
        self.foreign = any(name in _UNSUPPORTED for name in names)
        """Whether the header names a compression that is not supported."""

    def feed(self, chunk: bytes) -> Iterable[bytes]:
        """Return the decompressed bytes of `chunk`."""
        pieces: Iterable[bytes] = (chunk,)
        for stage in self._stages:
            pieces = stage.decompress(pieces)
        return pieces


class _Stage:
    def __init__(self) -> None:
        self._head = b""
        self._inflater: zlib._Decompress | None = None
        self._plain = False
        self._members = 0

    def decompress(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        for piece in pieces:
            yield from self._decompress(piece)

    def _decompress(self, piece: bytes) -> Iterator[bytes]:
        if self._inflater is None and not self._plain:
            self._head += piece
            if len(self._head) < 2:  # noqa: PLR2004 - the length of the signatures
                return
            piece, self._head = self._head, b""
            self._begin(piece)
        if self._inflater is None:
            yield piece
            return
        while piece:
            yield self._inflater.decompress(piece, PIECE_BYTES)
            piece = self._inflater.unconsumed_tail
            if self._inflater.eof:
                piece = self._inflater.unused_data
                if not piece.startswith(_GZIP) or self._members >= MAX_MEMBERS:
                    return
                self._begin(piece)

    def _begin(self, data: bytes) -> None:
        self._members += 1
        first = int.from_bytes(data[:2], "big")
        if data.startswith(_GZIP) or (data[0] & 15 == 8 and first % 31 == 0):  # noqa: PLR2004 - RFC 1950, 2.2
            self._inflater = zlib.decompressobj(wbits=47)
        elif data.startswith(_IMAGES):
            self._plain = True
        else:  # "deflate" without zlib's header, as some servers send it
            self._inflater = zlib.decompressobj(wbits=-15)
