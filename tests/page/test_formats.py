"""Formats in the playground: of thumbnails in the history, of new images and of downloads."""

import io
import json
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Page, Response, expect

from tests.page.person import COFFEE, TIMEOUT_MS, choose, finished, generate, sign_in

pytestmark = pytest.mark.timeout(180)


def test_history_loads_thumbnails_and_no_images(page: Page) -> None:
    sign_in(page)
    choose(page, COFFEE)
    generate(page, "snow")
    expect(page.locator(".card")).to_have_count(1, timeout=TIMEOUT_MS)
    loaded: list[Response] = []
    page.on("response", lambda response: loaded.append(response) if "/generated-" in response.url else None)
    page.reload()
    image = page.locator(".card img")
    expect(image).to_be_visible(timeout=TIMEOUT_MS)
    expect(image).not_to_have_js_property("naturalWidth", 0)
    assert image.evaluate("image => image.naturalWidth") == 320
    assert all("?w=320&format=webp" in response.url for response in loaded)


def test_image_is_made_in_the_chosen_format_and_downloaded_in_another(page: Page, tmp_path: Path) -> None:
    sign_in(page)
    choose(page, COFFEE)
    expect(page.get_by_label("Quality")).to_be_disabled()
    page.get_by_label("Format", exact=True).select_option(label="WebP")
    page.get_by_label("Quality").fill("60")
    with page.expect_request("**/api/image") as sent:
        generate(page, "rain")
    body = json.loads(sent.value.post_data or "")
    assert (body["outputFormat"], body["outputQuality"]) == ("webp", 60)
    assert finished(page).endswith(".webp")
    page.get_by_label("Format of the download").select_option(label="JPEG")
    with page.expect_download() as downloading:
        page.locator("#result").get_by_role("link", name="Download").click()
    downloaded = downloading.value
    assert downloaded.suggested_filename.endswith(".jpg")
    downloaded.save_as(tmp_path / "downloaded")
    assert Image.open(io.BytesIO((tmp_path / "downloaded").read_bytes())).format == "JPEG"
