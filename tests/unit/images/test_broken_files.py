"""Files that are cut off are refused at every length."""

import pytest

from image_core.images.metadata import Broken, cleaned
from tests.support.harness import sample_image


@pytest.mark.parametrize("name", ["cat.png", "coffee.jpg", "rocket.webp"])
def test_a_file_that_is_cut_off_anywhere_is_broken(name: str) -> None:
    data = sample_image(name)
    mime_type = {"png": "image/png", "jpg": "image/jpeg", "webp": "image/webp"}[name.rsplit(".", maxsplit=1)[-1]]
    for length in (*range(0, 2000, 7), len(data) // 2, len(data) - 1, len(data) - 3):
        with pytest.raises(Broken):
            cleaned(data[:length], mime_type)
