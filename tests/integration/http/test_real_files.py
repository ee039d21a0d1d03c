"""Files as cameras, editors and stores write them, over HTTP: what the model is sent, by size and colours."""

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
"""The corners of the image that most of the files show, as the average of a ninth each."""
GREYS = [(108,) * 3, (136,) * 3, (185,) * 3, (82,) * 3]
TURNED = [COLOURED[2], COLOURED[0], COLOURED[3], COLOURED[1]]
LARGER = [(31, 143, 99), (112, 142, 104), (190, 181, 194), (54, 84, 143)]


@dataclass(frozen=True)
class Taken:
    """A file that is accepted, and the image that the model is sent."""

    size: tuple[int, int]
    corners: Sequence[tuple[int, ...]]


@dataclass(frozen=True)
class Refused:
    """A file that is refused, and words of its message."""

    words: str
    status: int = 415


FILES: dict[str, Taken | Refused] = {
    "bad-crc-itxt.png": Taken((160, 120), COLOURED),
    "bigtiff.tif": Taken((160, 120), COLOURED),
    "bmpv5-alpha-all-zero.bmp": Taken((64, 48), COLOURED),
    "cgbi.png": Refused("CgBI"),
    "comment-first.svg": Refused("SVG"),
    "dng-like-thumbnail-first.tif": Taken((640, 480), LARGER),
    "exif-orientation6-resunit-ascii.jpg": Taken((120, 160), TURNED),
    "exif-orientation6-xres-srational-minus1-0.jpg": Taken((120, 160), TURNED),
    "float-0-1.tif": Taken((160, 120), GREYS),
    "iphone-48mp.jpg": Taken((4032, 3024), [(128,) * 3] * 4),
    "jpeg12.jpg": Refused("12 bits"),
    "no-eoi.jpg": Taken((160, 120), COLOURED),
    "no-iend.png": Taken((160, 120), COLOURED),
    "primary-is-second.heic": Taken((240, 180), LARGER),
    "uint16-miniswhite.tif": Taken((160, 120), GREYS),
    "uint16-rgb-planar.tif": Taken((160, 120), COLOURED),
    "zero-bytes-between-segments.jpg": Taken((160, 120), COLOURED),
}


def test_every_real_file_has_its_row() -> None:
    assert set(FILES) == {path.name for path in Path(REAL).iterdir()}


@pytest.mark.parametrize(("name", "end"), FILES.items(), ids=FILES)
async def test_the_model_is_sent_what_a_good_viewer_shows(product: Harness, name: str, end: Taken | Refused) -> None:
    product.fake_gemini.keep_inputs = True
    answer = await product.generate(data_url(sample_image()), data_url((REAL / name).read_bytes(), "image/png"))
    if isinstance(end, Refused):
        assert (answer.status, answer.json["imageIndex"]) == (end.status, 1)
        assert end.words in answer.json["details"]
        assert product.fake_gemini.calls == []
        return
    assert answer.status == 200, answer.body[:300]
    [[_, (mime_type, sent)]] = product.fake_gemini.inputs
    image = Image.open(io.BytesIO(sent))
    assert mime_type == Image.MIME[image.format or ""]
    assert image.size == end.size
    small = image.convert("RGB").resize((3, 3))
    for place, wanted in zip(((0, 0), (2, 0), (0, 2), (2, 2)), end.corners, strict=True):
        seen = small.getpixel(place)
        assert isinstance(seen, tuple)
        assert max(abs(a - b) for a, b in zip(seen, wanted, strict=True)) <= 4, (place, seen, wanted)


async def test_an_uploaded_file_is_stored_whole(product: Harness) -> None:
    """An upload is checked as an input is: what is stored can be read by anybody."""
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
