"""A picture: its bytes and what the bytes say of themselves. Declared types and names decide nothing."""

import hashlib
from dataclasses import dataclass
from typing import Literal

EXTENSIONS: dict[str, str] = {"image/png": "png", "image/jpeg": "jpg", "image/webp": "webp"}
"""The kinds that are kept, each with the extension its blob gets."""

OutputFormat = Literal["png", "jpeg", "webp"]
"""The formats that a caller may ask for."""

MIME_TYPES: dict[OutputFormat, str] = {"png": "image/png", "jpeg": "image/jpeg", "webp": "image/webp"}

DEFAULT_QUALITY = 90
"""Of `jpeg` and `webp`, 1 to 100."""

MAX_SIDES: dict[OutputFormat, int] = {"png": 2**31 - 1, "jpeg": 65_500, "webp": 16_383}
"""Pixels: the longest side that each format's encoder takes."""


@dataclass(frozen=True, slots=True)
class Target:
    """What an image is made into. `width`: in pixels, at most; None: as it is. `quality`: of `jpeg` and `webp`."""

    width: int | None
    format: OutputFormat
    quality: int = DEFAULT_QUALITY

    def size(self, size: tuple[int, int]) -> tuple[int, int]:
        """The size that an upright image of `size` has then: the same shape, never larger."""
        scale = min(1.0, MAX_SIDES[self.format] / max(size))
        if self.width is not None:
            scale = min(scale, self.width / size[0])
        return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


@dataclass(frozen=True, slots=True)
class Image:
    """A whole image of a kind in EXTENSIONS. `width` and `height` in pixels."""

    data: bytes
    mime_type: str
    width: int
    height: int

    @property
    def extension(self) -> str:
        """Without the dot."""
        return EXTENSIONS[self.mime_type]

    def sha256(self) -> str:
        """64 hexadecimal digits. Takes about 1 ms per MB: for large ones, off the event loop."""
        return hashlib.sha256(self.data).hexdigest()
