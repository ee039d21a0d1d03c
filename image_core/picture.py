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


@dataclass(frozen=True, slots=True)
class Picture:
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
