"""Files that real cameras, editors and services write: size and colours of the image that the model is sent."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image

from tests.support.harness import Harness, data_url, sample_image
from tests.support.paths import IMAGES

REAL = IMAGES / "real"
COLOURED = [(31, 151, 91), (124, 150, 96), (190, 181, 195), (55, 84, 142)]
"""Average colours of the corners (a ninth of the area each) of the image that most of the files show."""
GREYS = [(108,) * 3, (136,) * 3, (185,) * 3, (82,) * 3]
ROTATED = [COLOURED[2], COLOURED[0], COLOURED[3], COLOURED[1]]
LARGER = [(31, 143, 99), (112, 142, 104), (190, 181, 194), (54, 84, 143)]


@dataclass(frozen=True)
class Accepted:
    """A file that is accepted, and the image that the model is sent."""

    size: tuple[int, int]
    corners: Sequence[tuple[int, ...]]


@dataclass(frozen=True)
class Refused:
    """A file that is refused, and words of its message."""

    words: str
    status: int = 415


FILES: dict[str, Accepted | Refused] = {
    "bad-crc-itxt.png": Accepted((160, 120), COLOURED),
    "bigtiff.tif": Accepted((160, 120), COLOURED),
    "bmpv5-alpha-all-zero.bmp": Accepted((64, 48), COLOURED),
    "cgbi.png": Refused("CgBI"),
    "comment-first.svg": Refused("SVG"),
    "dng-like-thumbnail-first.tif": Accepted((640, 480), LARGER),
    "exif-orientation6-resunit-ascii.jpg": Accepted((120, 160), ROTATED),
    "exif-orientation6-xres-srational-minus1-0.jpg": Accepted((120, 160), ROTATED),
    "float-0-1.tif": Accepted((160, 120), GREYS),
    "iphone-48mp.jpg": Accepted((4032, 3024), [(128,) * 3] * 4),
    "jpeg12.jpg": Refused("12 bits"),
    "no-eoi.jpg": Accepted((160, 120), COLOURED),
    "no-iend.png": Accepted((160, 120), COLOURED),
    "primary-is-second.heic": Accepted((240, 180), LARGER),
    "uint16-miniswhite.tif": Accepted((160, 120), GREYS),
    "uint16-rgb-planar.tif": Accepted((160, 120), COLOURED),
    "zero-bytes-between-segments.jpg": Accepted((160, 120), COLOURED),
}


def test_every_real_file_is_in_the_table() -> None:
    assert set(FILES) == {path.name for path in Path(REAL).iterdir()}


@pytest.mark.parametrize(("name", "expected"), FILES.items(), ids=FILES)
async def test_model_is_sent_what_a_viewer_shows(product: Harness, name: str, expected: Accepted | Refused) -> None:
    product.fake_gemini.keep_inputs = True
    answer = await product.generate(data_url(sample_image()), data_url((REAL / name).read_bytes(), "image/png"))
    if isinstance(expected, Refused):
        assert (answer.status, answer.json["imageIndex"]) == (expected.status, 1)
        assert expected.words in answer.json["details"]
        assert product.fake_gemini.calls == []
        return
    assert answer.status == 200, answer.body[:300]
    [[_, (mime_type, sent)]] = product.fake_gemini.inputs
    image = Image.open(io.BytesIO(sent))
    assert mime_type == Image.MIME[image.format or ""]
    assert image.size == expected.size
    small = image.convert("RGB").resize((3, 3))
    for position, wanted in zip(((0, 0), (2, 0), (0, 2), (2, 2)), expected.corners, strict=True):
        actual = small.getpixel(position)
        assert isinstance(actual, tuple)
        assert max(abs(a - b) for a, b in zip(actual, wanted, strict=True)) <= 4, (position, actual, wanted)


async def test_truncated_upload_is_stored_completed(product: Harness) -> None:
    """An upload is checked and repaired like an input, so that every viewer can read it."""
    boundary = "b"
    data = (REAL / "no-eoi.jpg").read_bytes()
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="a.jpg"\r\n\r\n'.encode()
    answer = await product.call(
        "POST",
        "/api/upload",
        head + data + f"\r\n--{boundary}--\r\n".encode(),
        {"Content-Type": f"multipart/form-data; boundary={boundary}"},
    )
    assert answer.status == 200, answer.body
    name = answer.json["url"].rsplit("/", 1)[-1]
    stored, content_type = await product.blob("catafract", name)
    assert content_type == "image/jpeg"
    assert stored == data + b"\xff\xd9"
