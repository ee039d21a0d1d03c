"""The unchanged original front end shows the image of a slow model and pays once, directly and behind a proxy.

Behind Static Web Apps the times are shortened: the front gives up after 5 s instead of 45, the response budget is 2.5 s
instead of 40, and the model takes 0.5, 2 and 6 s instead of 5, 35 and 60.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from local import functions_host
from local.config import ROOT
from local.front import command
from local.processes import reserve_port, running, wait_for_port
from local.stack import Stack
from tests.support.original_front_end import PHOTOGRAPH, OriginalFrontEnd


@pytest.fixture(scope="module")
def site(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start a front with a short limit before a Functions host with a shorter response budget."""
    host, front, logs = reserve_port(), reserve_port(), tmp_path_factory.mktemp("site")
    environment = {**stack.configuration.environment, "RESPONSE_BUDGET_SECONDS": "2.5"}
    serve_host = functions_host.command(host, ROOT)
    serve_front = command(front, f"http://127.0.0.1:{host}", api_seconds=5)
    with (
        running(serve_host, log=logs / "host.log", environment=environment) as functions,
        running(serve_front, log=logs / "front.log", environment=environment) as proxy,
    ):
        wait_for_port(host, functions, "the host", logs / "host.log")
        wait_for_port(front, proxy, "the front", logs / "front.log")
        yield f"http://localhost:{front}"


def front_end(stack: Stack, origin: str, email: str) -> OriginalFrontEnd:
    browser = requests.Session()
    name, _, value = stack.cookie(email).partition("=")
    browser.cookies.set(name, value)
    return OriginalFrontEnd(origin, browser)


def gemini(stack: Stack) -> str:
    return f"http://127.0.0.1:{stack.configuration.ports['GEMINI_PORT']}"


def calls(stack: Stack, prompt: str) -> int:
    """Return the number of model calls with this prompt."""
    found = requests.get(f"{gemini(stack)}/__calls", timeout=10).json()["calls"]
    return sum(call["prompt"] == prompt for call in found)


def delay_next_call(stack: Stack, seconds: float) -> None:
    reply = [{"delay": seconds}]
    assert requests.post(f"{gemini(stack)}/__script", json=reply, timeout=10).status_code == 200


@pytest.mark.parametrize("route", ["directly", "behind Static Web Apps"])
@pytest.mark.parametrize("seconds", [0.5, 2, 6])
def test_client_that_reads_only_image_url_shows_the_image_and_pays_once(
    stack: Stack, site: str, route: str, seconds: float
) -> None:
    origin = stack.api.removesuffix("/api") if route == "directly" else site
    page = front_end(stack, origin, f"original.{route[:4]}.{seconds}@example.com")
    delay_next_call(stack, seconds)
    prompt = f"{route} in {seconds}"
    url = page.generate(prompt)
    if seconds == 6:  # without the front, the answer waits up to 95 s
        assert ("/api/images/gen-" in url) == (route != "directly")
    shown = page.shown(url)
    assert shown.startswith(b"\x89PNG")
    assert calls(stack, prompt) == 1
    (record,) = page.browser.get(f"{origin}/api/generations", timeout=10).json()["items"]
    assert record["status"] == "succeeded"
    assert page.shown(record["imageUrl"]) == shown


def test_uploads_are_inputs_and_images_can_be_edited_and_downloaded(stack: Stack, site: str) -> None:
    page = front_end(stack, site, "original.upload@example.com")
    uploaded = page.upload()
    assert requests.get(uploaded, timeout=10).content == Path(PHOTOGRAPH).read_bytes()
    delay_next_call(stack, 4)
    first = page.generate("the first", uploaded)
    page.shown(first)
    edited = page.generate("the second", first)
    downloaded = page.browser.get(edited, headers={"Origin": site}, timeout=10)
    assert downloaded.content.startswith(b"\x89PNG")
    assert downloaded.headers["Cache-Control"] == "no-cache"
