"""The API and the playground behind Microsoft's Static Web Apps emulator."""

import base64
import os
import signal
import socket
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from playwright.sync_api import Page, expect

from local import config
from local.show import data_url
from local.stack import Stack, started
from tests.page.person import COFFEE, calls, drop_from_outside, finished, generate, script, sign_in
from tests.support.commands import descendants, run, startup_output, wait_for_end

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def page_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Start the stack with the emulator as its front."""
    given = {"FRONT": "swa", "GEMINI_LATENCY": "0.5", "RESPONSE_BUDGET_SECONDS": "4"}
    with started(config.read(config.reserve_ports(), given), tmp_path_factory.mktemp("swa-logs")) as running:
        yield running


@pytest.fixture
def caller(page_stack: Stack, request: pytest.FixtureRequest) -> Iterator[requests.Session]:
    """Return a client that is signed in as a new user."""
    with requests.Session() as session:
        session.get(f"{page_stack.front}/signin", params={"name": request.node.name}, timeout=10)
        yield session


def post_image(caller: requests.Session, stack: Stack, key: str, **headers: str) -> requests.Response:
    body = {"images": [data_url(COFFEE)], "prompt": "a watercolor painting of it"}
    sent = {"Idempotency-Key": key, "Origin": stack.front, **headers}
    return caller.post(f"{stack.front}/api/image", json=body, headers=sent, timeout=60)


def history(caller: requests.Session, stack: Stack) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = caller.get(f"{stack.front}/api/generations", timeout=10).json()["items"]
    return items


def test_emulator_accepts_the_deployed_configuration(page_stack: Stack) -> None:
    log = (page_stack.logs / "swa.log").read_text()
    assert "playground/staticwebapp.config.json" in log
    assert "Failed to validate" not in log


def test_signing_in_creates_a_session_and_signing_out_ends_it(page_stack: Stack, caller: requests.Session) -> None:
    session = f"{page_stack.front}/auth/session"
    assert caller.get(session, timeout=10).json()["user"]["email"].endswith("@example.com")
    assert history(caller, page_stack) == []
    caller.get(f"{page_stack.front}/signout", timeout=10)
    assert caller.get(session, timeout=10).json() == {}
    assert caller.get(f"{page_stack.front}/api/generations", timeout=10).status_code == 401


def test_image_is_generated_and_a_repeated_key_is_replayed(page_stack: Stack, caller: requests.Session) -> None:
    before = calls(page_stack)
    made = post_image(caller, page_stack, "once")
    assert made.status_code == 200, made.text
    assert made.json()["imageBase64"].startswith("data:image/png;base64,")
    assert requests.get(made.json()["imageUrl"], timeout=10).headers["Content-Type"] == "image/png"
    assert post_image(caller, page_stack, "once").json() == made.json()
    assert calls(page_stack) == before + 1
    assert [item["id"] for item in history(caller, page_stack)] == [made.json()["id"]]


def test_asynchronous_generation_is_awaited_and_deleted(page_stack: Stack, caller: requests.Session) -> None:
    accepted = post_image(caller, page_stack, "later", Prefer="respond-async")
    assert accepted.status_code == 202
    assert accepted.headers["Preference-Applied"] == "respond-async"
    url = page_stack.front + accepted.headers["Location"]
    assert caller.get(url, headers={"Prefer": "wait=30"}, timeout=40).json()["status"] == "succeeded"
    assert caller.delete(url, timeout=10).status_code == 204
    assert caller.get(url, timeout=10).status_code == 404
    assert history(caller, page_stack) == []


ORIGINAL_FRONT_END = """async (photograph) => {
  // One request without key and preference; of a 2xx answer only imageUrl is read.
  const bytes = new Blob([Uint8Array.from(atob(photograph), (each) => each.charCodeAt(0))], { type: "image/jpeg" });
  const form = new FormData();
  form.set("file", bytes, "100% My photo.jpg");
  const uploaded = await (await fetch("/api/upload", { method: "POST", body: form })).json();
  const answer = await fetch("/api/image", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ images: [uploaded.url], prompt: "behind the emulator" }),
  });
  const { imageUrl } = answer.ok ? await answer.json() : {};
  const image = document.body.appendChild(new Image());
  image.src = imageUrl;
  await image.decode();
  const downloaded = await (await fetch(imageUrl)).blob();
  return { imageUrl, width: image.naturalWidth, type: downloaded.type, size: downloaded.size };
}"""


def test_original_front_end_shows_and_downloads_the_image_of_a_slow_model_and_pays_once(
    page: Page, page_stack: Stack
) -> None:
    """The browser follows redirects: the response budget is 4 s here instead of 40, and the model takes 9."""
    sign_in(page)
    script(page_stack, {"delay": 9})
    before = calls(page_stack)
    shown = page.evaluate(ORIGINAL_FRONT_END, base64.b64encode(COFFEE.read_bytes()).decode())
    assert shown["imageUrl"].startswith("/api/images/gen-")
    assert shown["width"] > 0
    assert shown["type"] == "image/png"
    assert shown["size"] > 0
    assert calls(page_stack) == before + 1


def test_requests_without_a_session_or_from_another_site_are_refused(
    page_stack: Stack, caller: requests.Session
) -> None:
    refused = post_image(requests.Session(), page_stack, "nobody")
    assert (refused.status_code, refused.json()["code"]) == (401, "unauthorized")
    before = calls(page_stack)
    for headers in ({"Origin": "https://elsewhere.example"}, {"Origin": "", "Sec-Fetch-Site": "cross-site"}):
        refused = post_image(caller, page_stack, "elsewhere", **headers)
        assert (refused.status_code, refused.json()["code"]) == (403, "cross_site")
    assert calls(page_stack) == before


def test_page_and_api_keep_their_headers(page_stack: Stack, caller: requests.Session) -> None:
    page = caller.get(page_stack.front, timeout=10).headers
    storage = f"http://127.0.0.1:{page_stack.configuration.ports['AZURITE_BLOB_PORT']}"
    assert "default-src 'none'" in page["Content-Security-Policy"]
    assert f"img-src 'self' data: blob: {storage};" in page["Content-Security-Policy"]
    assert page["Referrer-Policy"] == "no-referrer"
    answer = caller.get(f"{page_stack.front}/api/generations", timeout=10).headers
    assert answer["Cache-Control"] == "no-store"
    assert "Set-Cookie" not in answer


def test_post_outside_of_the_api_is_405_and_the_configuration_is_404(page_stack: Stack) -> None:
    assert requests.post(f"{page_stack.front}/signin", timeout=10).status_code == 405
    assert requests.get(f"{page_stack.front}/staticwebapp.config.json", timeout=10).status_code == 404


def test_emulator_listens_on_one_loopback_address_only(page_stack: Stack) -> None:
    with socket.socket() as client:  # a server that listens on all addresses would answer at 127.0.0.2
        assert client.connect_ex(("127.0.0.2", page_stack.configuration.ports["FRONT_PORT"])) != 0


def test_image_is_generated_in_the_playground(page: Page) -> None:
    sign_in(page)
    drop_from_outside(page, "#drop", COFFEE)
    expect(page.locator("#inputs .input")).to_have_count(1)
    generate(page)
    finished(page)
    expect(page.locator(".card img")).to_have_count(1)
    page.get_by_role("button", name="Sign out").click()
    expect(page.locator("#sign-in")).to_be_visible()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_emulator_ends_with_the_stack(number: signal.Signals) -> None:
    with run(FRONT="swa") as process:
        assert "Static Web Apps" in startup_output(process)
        programs = descendants(process.pid)
        os.kill(process.pid, number)
        process.wait(30)
        wait_for_end(programs)
