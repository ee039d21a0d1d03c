"""An image in memory: its bytes, and the type and size that they have. Declared types and file names are ignored."""

import hashlib
from dataclasses import dataclass
from typing import Literal

EXTENSIONS: dict[str, str] = {"image/png": "png", "image/jpeg": "jpg", "image/webp": "webp"}
"""The types that are stored, with the file name extensions of their blobs."""

OutputFormat = Literal["png", "jpeg", "webp"]
"""The formats that a caller may request."""

MIME_TYPES: dict[OutputFormat, str] = {"png": "image/png", "jpeg": "image/jpeg", "webp": "image/webp"}

DEFAULT_QUALITY = 90
"""Quality of `jpeg` and `webp`, 1 to 100."""

MAX_SIDES: dict[OutputFormat, int] = {"png": 2**31 - 1, "jpeg": 65_500, "webp": 16_383}
"""The longest side that each format's encoder accepts, in pixels."""


@dataclass(frozen=True, slots=True)
class Target:
    """The format to convert an image to; `width` is its maximum in pixels, `quality` that of `jpeg` and `webp`."""

    width: int | None
    format: OutputFormat
    quality: int = DEFAULT_QUALITY

    def size(self, size: tuple[int, int]) -> tuple[int, int]:
        """Return the size of the result for an upright image of `size`: the same aspect ratio, never larger."""
        scale = min(1.0, MAX_SIDES[self.format] / max(size))
        if self.width is not None:
            scale = min(scale, self.width / size[0])
        return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


@dataclass(frozen=True, slots=True)
class Image:
    """A complete image of a type in EXTENSIONS. `width` and `height` in pixels."""

    data: bytes
    mime_type: str
    width: int
    height: int

    @property
    def extension(self) -> str:
        """The file name extension, without the dot."""
        return EXTENSIONS[self.mime_type]

    def sha256(self) -> str:
        """Return the SHA-256 in hexadecimal. It takes about 1 ms per MB: call it in a thread for large images."""
        return hashlib.sha256(self.data).hexdigest()
