"""The memory that the parts of a file take while its metadata is removed."""

import struct
import tracemalloc

import pytest

from image_core.images.metadata import Broken, cleaned, png_chunk
from tests.support.image_files import JPEGS, PNGS, WEBPS

PAIRS = 30_000
"""Number of pairs of a part that is kept and one that is removed: more parts than a file may have."""


def riff(parts: bytes) -> bytes:
    """Return a WebP with these chunks added at its end."""
    body = b"WEBP" + WEBPS["lossy"][12:] + parts
    return b"RIFF" + struct.pack("<I", len(body)) + body


@pytest.mark.parametrize(
    ("mime_type", "data"),
    [
        ("image/jpeg", JPEGS["baseline"][:2] + b"\xff\xe0\0\2\xff\xe1\0\2" * PAIRS + JPEGS["baseline"][2:]),
        (
            "image/png",
            PNGS["RGB"][:33] + (png_chunk(b"tEXt", b"") + png_chunk(b"pHYs", b"")) * PAIRS + PNGS["RGB"][33:],
        ),
        ("image/webp", riff(b"ICCP\0\0\0\0JUNK\0\0\0\0" * PAIRS)),
    ],
    ids=["JPEG", "PNG", "WebP"],
)
def test_parts_that_alternate_take_little_memory(mime_type: str, data: bytes) -> None:
    tracemalloc.start()
    with pytest.raises(Broken):
        cleaned(data, mime_type)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 12_000_000
