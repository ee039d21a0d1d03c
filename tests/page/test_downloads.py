"""A page of another origin shows an image and then downloads it by `fetch`, under the CORS rule of the storage."""

import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import requests
from azure.storage.blob import BlobServiceClient, ContentSettings, CorsRule
from playwright.sync_api import BrowserContext

from local.show import data_url
from local.stack import Stack
from tests.page.person import COFFEE
from tests.support.paths import ROOT

pytestmark = pytest.mark.timeout(180)
TEMPLATE = ROOT / "infra" / "modules" / "image-storage.bicep"


class Blank(BaseHTTPRequestHandler):
    """An empty page."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name in the standard library
        """Log nothing."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>Another origin</title>")


@pytest.fixture(scope="module")
def front_end() -> Iterator[str]:
    """Serve a page from another origin."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Blank)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://localhost:{server.server_port}"
    server.shutdown()
    server.server_close()


def deployed_rule(origin: str) -> CorsRule:
    """Return the CORS rule that the template sets for `origin`."""
    text = TEMPLATE.read_text()

    def listed(name: str) -> list[str]:
        (values,) = re.findall(rf"{name}: \[(.*?)\]", text, re.DOTALL)
        return re.findall(r"'(.*?)'", values)

    (seconds,) = re.findall(r"maxAgeInSeconds: (\d+)", text)
    return CorsRule(
        [origin],
        listed("allowedMethods"),
        allowed_headers=listed("allowedHeaders"),
        exposed_headers=listed("exposedHeaders"),
        max_age_in_seconds=int(seconds),
    )


@pytest.fixture
def storage(page_stack: Stack, front_end: str) -> Iterator[BlobServiceClient]:
    connection = page_stack.configuration.environment["AZURE_STORAGE_CONNECTION_STRING"]
    with BlobServiceClient.from_connection_string(connection) as client:
        before = client.get_service_properties()["cors"]
        client.set_service_properties(cors=[deployed_rule(front_end)])
        yield client
        client.set_service_properties(cors=before)


def generated_url(stack: Stack) -> str:
    """Make an image and return its URL."""
    body = {"images": [data_url(COFFEE)], "prompt": "x"}
    answer = requests.post(f"{stack.front}/api/image", json=body, headers={"Cookie": stack.cookie()}, timeout=60)
    url: str = answer.json()["imageUrl"]
    return url


SHOW_THEN_DOWNLOAD = """async (url) => {
  const image = document.body.appendChild(new Image());
  image.src = url;
  await image.decode();
  try {
    const answer = await fetch(url);
    return [image.naturalWidth > 0, (await answer.blob()).size];
  } catch (error) {
    return [image.naturalWidth > 0, String(error)];
  }
}"""


def shown_then_downloaded(context: BrowserContext, origin: str, url: str) -> list[Any]:
    page = context.new_page()
    page.goto(origin)
    found: list[Any] = page.evaluate(SHOW_THEN_DOWNLOAD, url)
    return found


def test_image_that_was_shown_can_be_downloaded(
    context: BrowserContext, page_stack: Stack, front_end: str, storage: BlobServiceClient
) -> None:
    url = generated_url(page_stack)
    size = len(requests.get(url, timeout=10).content)
    for _ in range(2):  # again with the image in the browser's cache
        assert shown_then_downloaded(context, front_end, url) == [True, size]


def test_image_with_the_cache_control_of_earlier_versions_cannot_be_downloaded(
    context: BrowserContext, page_stack: Stack, front_end: str, storage: BlobServiceClient
) -> None:
    url = generated_url(page_stack)
    old = ContentSettings(content_type="image/png", cache_control="public, max-age=31536000, immutable")
    storage.get_blob_client("catafract", url.rsplit("/", 1)[-1]).set_http_headers(old)
    shown, downloaded = shown_then_downloaded(context, front_end, url)
    assert shown
    assert downloaded == "TypeError: Failed to fetch"
