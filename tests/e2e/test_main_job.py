"""The main use on the local stack: post a photograph, get the image, its URL and its record."""

import base64
import io
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
import requests
from PIL import Image

from local.show import data_url
from local.stack import Stack
from tests.support.paths import ROOT

SAMPLES = ROOT / "local" / "samples"


class Quiet(SimpleHTTPRequestHandler):
    """A file server that logs nothing."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name in the standard library
        """Log nothing."""


@pytest.fixture(scope="module")
def other_server() -> Iterator[str]:
    """Serve the samples from another web server."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(SAMPLES)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://localhost:{server.server_port}"
    server.shutdown()
    server.server_close()


def post(stack: Stack, body: dict[str, object], **headers: str) -> requests.Response:
    sent = {"Cookie": stack.cookie(), **{name.replace("_", "-"): value for name, value in headers.items()}}
    return requests.post(f"{stack.front}/api/image", json=body, headers=sent, timeout=60)


def test_photograph_gives_a_new_image_at_its_url_and_in_its_record(stack: Stack) -> None:
    answer = post(stack, {"images": [data_url(SAMPLES / "coffee.jpg")], "prompt": "a cyberpunk city"})
    assert answer.status_code == 200, answer.text
    made = answer.json()
    image = base64.b64decode(made["imageBase64"].partition(",")[2])
    Image.open(io.BytesIO(image)).load()
    assert image != (SAMPLES / "coffee.jpg").read_bytes()
    shown = requests.get(made["imageUrl"], timeout=10)
    assert (shown.content, shown.headers["Content-Type"]) == (image, "image/png")
    record = requests.get(
        f"{stack.front}/api/generations/{made['id']}", headers={"Cookie": stack.cookie()}, timeout=10
    ).json()
    assert record["prompt"] == "a cyberpunk city"
    assert record["outputImageUrl"] == made["imageUrl"]
    assert "imageBase64" not in record


def test_data_url_blob_url_and_external_url_are_inputs_of_one_image(stack: Stack, other_server: str) -> None:
    with (SAMPLES / "cat.png").open("rb") as file:
        uploaded = requests.post(
            f"{stack.front}/api/upload", files={"file": file}, headers={"Cookie": stack.cookie()}, timeout=30
        )
    assert uploaded.status_code == 200, uploaded.text
    images = [data_url(SAMPLES / "coffee.jpg"), uploaded.json()["url"], f"{other_server}/rocket.webp"]
    answer = post(stack, {"images": images, "prompt": "all of them at sunset"})
    assert answer.status_code == 200, answer.text
    calls = requests.get(f"http://127.0.0.1:{stack.configuration.ports['GEMINI_PORT']}/__calls", timeout=10).json()
    assert calls["calls"][-1]["inputs"] == 3


def test_asynchronous_request_is_generated_by_the_queue(stack: Stack) -> None:
    answer = post(stack, {"images": [data_url(SAMPLES / "coffee.jpg")], "prompt": "snow"}, Prefer="respond-async")
    assert answer.status_code == 202
    assert answer.headers["Preference-Applied"] == "respond-async"
    finished = requests.get(
        stack.front + answer.headers["Location"],
        headers={"Cookie": stack.cookie(), "Prefer": "wait=30"},
        timeout=40,
    ).json()
    assert finished["status"] == "succeeded"
    assert requests.get(finished["imageUrl"], timeout=10).status_code == 200


def test_cross_site_request_is_refused_and_no_cookie_is_set(stack: Stack) -> None:
    body: dict[str, object] = {"images": ["x"], "prompt": "x"}
    assert post(stack, body, Sec_Fetch_Site="cross-site").status_code == 403
    own = post(stack, body, Origin=stack.front)
    assert own.status_code == 400
    assert "Set-Cookie" not in own.headers


def test_sign_in_page_creates_a_session(stack: Stack) -> None:
    browser = requests.Session()
    page = browser.get(stack.front, timeout=10)
    assert 'id="signed-out"' in page.text
    assert (
        "script-src" in page.headers["Content-Security-Policy"]
        or "default-src 'self'" in page.headers["Content-Security-Policy"]
    )
    assert browser.get(f"{stack.front}/api/generations", timeout=10).status_code == 401
    browser.get(f"{stack.front}/signin", params={"name": "Grace <b>Hopper</b>"}, timeout=10)
    listed = browser.get(f"{stack.front}/api/generations", timeout=10)
    assert listed.json() == {"items": [], "continuation": None}
    browser.get(f"{stack.front}/signout", timeout=10)
    assert browser.get(f"{stack.front}/api/generations", timeout=10).status_code == 401
