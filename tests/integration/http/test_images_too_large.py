"""A request whose images cannot be made to fit together."""

import io
import os
from collections.abc import AsyncIterator

import pytest
from PIL import Image

from local.emulators import AzuritePorts
from tests.support.harness import Harness, data_url, harness


@pytest.fixture
async def product(azurite_ports: AzuritePorts, cosmos_url: str) -> AsyncIterator[Harness]:
    settings = {"MAX_REQUEST_BYTES": "200000000", "MAX_INFLIGHT_BYTES": "4000000000", "MAX_IMAGE_BYTES": "60000000"}
    async with harness(azurite_ports, cosmos_url, **settings) as running:
        yield running


def noise(side: int) -> str:
    """Return a PNG of random pixels, which no encoding makes smaller."""
    out = io.BytesIO()
    Image.frombytes("RGB", (side, side), os.urandom(side * side * 3)).save(out, "PNG", compress_level=0)
    return data_url(out.getvalue())


async def test_request_that_cannot_fit_is_413_before_a_record_or_a_call(product: Harness) -> None:
    images = [noise(1000)] * 26
    async with product.another(GEMINI_MODELS="gemini-4-image", MAX_IMAGES="30") as other:
        for dry_run in (False, True):
            answer = await other.generate(*images, dryRun=dry_run)
            assert (answer.status, answer.json["code"]) == (413, "images_too_large")
            assert "id" not in answer.json
        assert (await other.call("GET", "/api/generations")).json["items"] == []
    assert product.fake_gemini.calls == []
