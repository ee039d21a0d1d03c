"""Every unusual file over HTTP: an image, or the right code with its index, and no model call without an image."""

import pytest

from tests.support.harness import Harness, data_url, sample_image
from tests.support.unusual_files import UNUSUAL

STATUS = {"image": 200, "invalid_image": 400, "image_too_large": 413, "unsupported_media_type": 415}


@pytest.mark.parametrize(("name", "end"), UNUSUAL.items(), ids=UNUSUAL)
async def test_unusual_file_gives_an_image_or_its_error_code(product: Harness, name: str, end: str) -> None:
    answer = await product.generate(data_url(sample_image()), data_url(sample_image(f"unusual/{name}"), "image/png"))
    assert answer.status == STATUS[end], answer.body[:300]
    if end == "image":
        assert product.fake_gemini.calls[0].inputs == 2
        copies = (await product.record(answer.json["id"]) or {})["inputs"]
        assert {copy["mimeType"] for copy in copies} <= {"image/png", "image/jpeg", "image/webp"}
    else:
        assert (answer.json["code"], answer.json["imageIndex"]) == (end, 1)
        assert product.fake_gemini.calls == []
