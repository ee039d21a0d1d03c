"""The playground: sign in, drop a photograph, generate, compare, edit, history; keyboard use and accessibility."""

import os
import re
from pathlib import Path

import pytest
import requests
from playwright.sync_api import Page, expect

from local.stack import Stack
from tests.page.person import (
    COFFEE,
    SAMPLES,
    TIMEOUT_MS,
    assert_accessible,
    choose,
    drop_from_outside,
    finished,
    generate,
    script,
    sign_in,
)
from tests.support.paths import ROOT

pytestmark = pytest.mark.timeout(180)


def test_image_is_generated_compared_and_edited(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    sign_in(page)
    drop_from_outside(page, "#drop", COFFEE)
    expect(page.locator("#inputs .input")).to_have_count(1)
    generate(page)
    expect(page.locator("#waiting")).to_be_visible()
    first = finished(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width, "the page does not scroll sideways"
    page.locator("#split").fill("50")
    assert page.locator(".compare").evaluate("each => each.style.getPropertyValue('--split')") == "50%"
    expect(page.locator("#spent")).to_contain_text("1 image")
    expect(page.locator("#spent")).to_contain_text("left")
    if os.environ.get("SCREENSHOT") and width == 1280:
        page.screenshot(path=str(ROOT / "docs" / "playground.jpg"), type="jpeg", quality=72)
    page.get_by_role("button", name="Edit this").first.click()
    expect(page.locator("#steps li")).to_have_count(1)
    expect(page.locator("#inputs .input")).to_have_count(0)
    generate(page, "pixel art")
    expect(page.locator("#result img.after")).not_to_have_attribute("src", first, timeout=TIMEOUT_MS)
    assert finished(page) != first
    page.reload()
    expect(page.locator(".card")).to_have_count(2)
    page.locator(".card button").first.click()
    expect(page.locator("#details")).to_contain_text("pixel art")
    expect(page.locator("#details")).to_contain_text("gemini-3-pro-image: ok")
    expect(page.locator("#details")).to_contain_text("$0.14")
    expect(page.locator("#details")).to_contain_text(re.compile(r"Time[0-9.]+ s, "))


def test_image_can_be_downloaded_and_its_address_copied(page: Page) -> None:
    sign_in(page)
    choose(page, COFFEE)
    generate(page)
    address = finished(page)
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()
    assert Path(download.value.path()).read_bytes() == requests.get(address, timeout=10).content
    page.get_by_role("button", name="Copy address").click()
    expect(page.locator(".toast")).to_contain_text("copied")
    assert page.evaluate("navigator.clipboard.readText()") == address


def test_image_is_generated_and_compared_with_the_keyboard(page: Page) -> None:
    page.get_by_role("button", name="Sign in").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#workshop")).to_be_visible()
    choose(page, COFFEE)
    page.locator("#prompt").focus()
    page.keyboard.type("a pencil sketch")
    for _ in range(12):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "go":
            break
    assert page.evaluate("document.activeElement.id") == "go"
    page.keyboard.press("Enter")
    finished(page)
    assert page.evaluate("document.activeElement.id") == "result-title", "the focus is on the result"
    page.locator("#split").focus()
    page.keyboard.press("ArrowRight")
    assert page.locator(".compare").evaluate("each => each.style.getPropertyValue('--split')") == "1%"


def test_signing_out_shows_the_sign_in_form(page: Page) -> None:
    sign_in(page)
    page.get_by_role("button", name="Sign out").click()
    expect(page.locator("#sign-in")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_has_no_accessibility_violation_in_any_state(
    page: Page, page_stack: Stack, axe: str, scheme: str, width: int
) -> None:
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    page.set_viewport_size({"width": width, "height": 900})
    expect(page.locator("#sign-in")).to_be_visible()
    assert_accessible(page, axe, "signed out")
    sign_in(page)
    choose(page, COFFEE, SAMPLES / "cat.png")
    generate(page, "")
    assert_accessible(page, axe, "a line about a problem")
    script(page_stack, {"delay": 4})
    generate(page)
    expect(page.locator("#countdown")).to_contain_text("left", timeout=TIMEOUT_MS)
    assert_accessible(page, axe, "waiting")
    finished(page)
    assert_accessible(page, axe, "a result")
    page.locator("#result").get_by_role("button", name="Edit this").click()
    expect(page.locator("#estimate")).to_contain_text("At most", timeout=TIMEOUT_MS)
    assert_accessible(page, axe, "a chain")
    page.get_by_role("button", name="Undo").click()
    page.locator(".card button").first.click()
    page.locator("#details").get_by_role("button", name="Copy address").click()
    assert_accessible(page, axe, "details, and a message")
    page.locator("#details").get_by_role("button", name="Delete").click()
    assert_accessible(page, axe, "undo")
    page.get_by_role("button", name="Undo").click()
    page.context.clear_cookies()
    generate(page)
    expect(page.locator("#ended")).to_be_visible(timeout=TIMEOUT_MS)
    assert_accessible(page, axe, "the session has ended")
    page.keyboard.press("Escape")
    assert_accessible(page, axe, "an error")


def test_page_does_not_scroll_sideways_on_the_narrowest_phone(page: Page) -> None:
    """WCAG 2 (1.4.10) requires this for 320 pixels, which a wide screen has at 400 %."""
    page.set_viewport_size({"width": 320, "height": 640})
    sign_in(page, "A person with a name that is longer than the screen is wide")
    choose(page, COFFEE, SAMPLES / "cat.png", SAMPLES / "rocket.webp")
    generate(page, "x" * 300)
    finished(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    page.locator(".card button").click()
    expect(page.locator("#details")).to_be_visible()
    assert page.locator("#details").evaluate("each => each.scrollWidth <= each.clientWidth")


def test_api_documentation_has_no_accessibility_violation(page: Page, axe: str, page_stack: Stack) -> None:
    page.goto(f"{page_stack.front}/api/docs")
    assert_accessible(page, axe, "api/docs")


def test_content_security_policy_allows_no_inline_script_or_style(page: Page, page_stack: Stack) -> None:
    answer = requests.get(page_stack.front, timeout=10)
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert not re.search(r"<script>|<style>| style=| on\w+=", answer.text)
    storage = f"http://127.0.0.1:{page_stack.configuration.ports['AZURITE_BLOB_PORT']}"
    assert f"img-src 'self' data: blob: {storage};" in policy
