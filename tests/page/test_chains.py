"""Edit chains in the playground: "Edit this", the earlier steps, and their costs."""

import json
import os
import re
from typing import Any

import pytest
import requests
from playwright.sync_api import Page, Request, expect

from local.stack import Stack
from tests.page.person import COFFEE, TIMEOUT_MS, choose, finished, generate, script, sign_in

pytestmark = pytest.mark.timeout(180)
OTHER_MODEL = "gemini-nano-banana-2.1"


@pytest.fixture
def sent(page: Page) -> list[dict[str, Any]]:
    """Return the bodies of the page's generation requests, without dry runs."""
    bodies: list[dict[str, Any]] = []

    def record(request: Request) -> None:
        if request.url.endswith("/api/image"):
            body = json.loads(request.post_data or "{}")
            if not body.get("dryRun"):
                bodies.append(body)

    page.on("request", record)
    return bodies


def replayed(stack: Stack, prompt: str) -> int:
    """Return the number of replayed turns of the last model call with this prompt."""
    url = f"http://127.0.0.1:{stack.configuration.ports['GEMINI_PORT']}/__calls"
    found = [call for call in requests.get(url, timeout=10).json()["calls"] if call["prompt"] == prompt]
    turns: int = found[-1]["turns"]
    return turns


def generate_and_wait(page: Page, prompt: str) -> None:
    """Generate, and wait until the result of this prompt is shown."""
    generate(page, prompt)
    expect(page.locator("#result img.after")).to_have_attribute("alt", f"Result: {prompt}", timeout=TIMEOUT_MS)
    finished(page)


def edit(page: Page) -> None:
    page.locator("#result").get_by_role("button", name="Edit this").click()


def screenshot(page: Page, name: str) -> None:
    if "SCREENSHOT_FOLDER" in os.environ:
        page.screenshot(path=f"{os.environ['SCREENSHOT_FOLDER']}/{name}.png", full_page=True)


def test_chain_of_three_steps_and_a_branch_from_the_first(
    page: Page, page_stack: Stack, sent: list[dict[str, Any]], width: int
) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    sign_in(page)
    choose(page, COFFEE)
    generate_and_wait(page, "a watercolor")
    edit(page)
    expect(page.locator("#estimate")).to_contain_text(re.compile(r"At most \$0\.\d+, with the earlier steps"))
    generate_and_wait(page, "darker sky")
    expect(page.locator("#steps li")).to_have_count(2)
    edit(page)
    generate_and_wait(page, "add a lamp")
    expect(page.locator("#steps li")).to_have_count(3)
    edit(page)
    expect(page.locator("#steps button[aria-pressed=true]")).to_have_accessible_name("3: add a lamp")
    screenshot(page, f"chain-{width}")
    assert page.evaluate("document.documentElement.scrollWidth") <= width, "the page does not scroll sideways"
    page.locator("#steps").get_by_role("button", name="1: a watercolor").press("Enter")
    expect(page.locator("#live")).to_have_text("The next edit continues from step 1")
    expect(page.locator("#steps").get_by_role("button", name="1: a watercolor")).to_be_focused()
    generate_and_wait(page, "in winter")
    expect(page.locator("#steps li").last).to_contain_text("4, from 1")
    assert [body["images"] for body in sent[1:]] == [[], [], []]
    first, second = sent[1]["from"], sent[2]["from"]
    assert [body.get("from") for body in sent] == [None, first, second, first]
    assert len({first, second}) == 2
    assert [replayed(page_stack, prompt) for prompt in ("darker sky", "add a lamp", "in winter")] == [1, 2, 1]


def test_result_is_compared_with_the_step_that_was_edited(page: Page) -> None:
    sign_in(page)
    choose(page, COFFEE)
    generate_and_wait(page, "snow")
    address = finished(page)
    edit(page)
    generate_and_wait(page, "rain")
    before = page.locator("#result img.before")
    expect(before).not_to_have_js_property("naturalWidth", 0)
    assert address.rsplit("/", 1)[-1] in str(before.get_attribute("src"))


def test_other_images_are_added_to_an_edit_of_the_history(page: Page, sent: list[dict[str, Any]]) -> None:
    sign_in(page)
    choose(page, COFFEE)
    generate_and_wait(page, "snow")
    page.reload()
    page.locator(".card button").click()
    page.locator("#details").get_by_role("button", name="Edit this").click()
    choose(page, COFFEE)
    expect(page.locator("#estimate")).to_contain_text("without the images that you added")
    generate_and_wait(page, "both")
    assert len(sent[-1]["images"]) == 1
    assert sent[-1]["from"].startswith("gen-")


def test_context_that_cannot_be_kept_is_explained_before_and_after(page: Page) -> None:
    sign_in(page)
    choose(page, COFFEE)
    generate_and_wait(page, "snow")
    edit(page)
    page.get_by_label("Model").select_option(OTHER_MODEL)
    explained = "The model gets only the image that you edit, not the steps before it"
    expect(page.locator("#estimate")).to_contain_text(explained)
    generate_and_wait(page, "rain")
    expect(page.locator("#result .facts")).to_contain_text(explained)


def test_starting_from_images_leaves_the_chain(page: Page, sent: list[dict[str, Any]]) -> None:
    sign_in(page)
    choose(page, COFFEE)
    generate_and_wait(page, "snow")
    edit(page)
    page.get_by_role("button", name="Use other images").click()
    expect(page.locator("#chain")).to_be_hidden()
    expect(page.locator("#files")).to_be_focused()
    expect(page.locator("#estimate")).to_be_empty()
    choose(page, COFFEE)
    generate_and_wait(page, "rain")
    assert "from" not in sent[-1]


def test_deleted_step_is_reported(page: Page, page_stack: Stack) -> None:
    sign_in(page)
    choose(page, COFFEE)
    generate_and_wait(page, "snow")
    edit(page)
    (item,) = page.request.get(f"{page_stack.front}/api/generations").json()["items"]
    page.request.delete(f"{page_stack.front}/api/generations/{item['id']}", headers={"Origin": page_stack.front})
    generate(page, "rain")
    expect(page.locator("#problem")).to_contain_text("The image to continue from is gone", timeout=TIMEOUT_MS)
    expect(page.locator("#problem")).to_contain_text("start from images")


def test_deleting_the_step_in_the_history_leaves_the_chain(page: Page) -> None:
    page.clock.install()
    sign_in(page)
    choose(page, COFFEE)
    generate_and_wait(page, "snow")
    edit(page)
    page.locator(".card button").click()
    page.locator("#details").get_by_role("button", name="Delete").click()
    page.clock.fast_forward(6000)
    expect(page.locator("#chain")).to_be_hidden()


def test_failed_step_is_not_listed(page: Page, page_stack: Stack) -> None:
    sign_in(page)
    choose(page, COFFEE)
    generate_and_wait(page, "snow")
    edit(page)
    candidate = {"content": {"parts": [{"text": "No."}]}, "finishReason": "IMAGE_SAFETY"}
    script(page_stack, {"body": {"candidates": [candidate]}})
    generate(page, "rain")
    expect(page.locator("#problem")).to_contain_text("The model declined this", timeout=TIMEOUT_MS)
    expect(page.locator(".card")).to_have_count(2)
    expect(page.locator("#steps li")).to_have_count(1)
