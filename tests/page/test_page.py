"""The playground, as a person uses it: sign in, drop a photograph, generate, compare, go on, look back, delete."""

import os
import re
from pathlib import Path

import pytest
import requests
from playwright.sync_api import Page, expect

from local.stack import Stack
from tests.page.person import (
    COFFEE,
    ROOT,
    SAMPLES,
    SECONDS,
    calls,
    choose,
    drop,
    finished,
    generate,
    script,
    sign_in,
)

pytestmark = [pytest.mark.page, pytest.mark.timeout(180)]


def test_from_the_first_look_to_the_second_picture(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    sign_in(page)
    drop(page, COFFEE, "image/jpeg")
    expect(page.locator("#inputs .input")).to_have_count(1)
    generate(page)
    expect(page.locator("#waiting")).to_be_visible()
    first = finished(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width, "nothing is cut off at the side"
    page.locator("#split").fill("50")
    assert page.locator(".compare").evaluate("each => each.style.getPropertyValue('--split')") == "50%"
    expect(page.locator("#spent")).to_contain_text("1 picture")
    expect(page.locator("#spent")).to_contain_text("left")
    if os.environ.get("SCREENSHOT") and width == 1280:
        page.screenshot(path=str(ROOT / "docs" / "playground.jpg"), type="jpeg", quality=72)
    page.get_by_role("button", name="Edit this one again").first.click()
    expect(page.locator("#inputs .input")).to_have_count(1)
    generate(page, "pixel art")
    page.wait_for_function(
        "(old) => document.querySelector('#result img.after')?.src !== old", arg=first, timeout=SECONDS
    )
    assert finished(page) != first
    page.reload()
    expect(page.locator(".card")).to_have_count(2)
    page.locator(".card button").first.click()
    expect(page.locator("#details")).to_contain_text("pixel art")
    expect(page.locator("#details")).to_contain_text("gemini-3-pro-image-preview: ok")
    expect(page.locator("#details")).to_contain_text("$0.14")


def test_a_picture_can_be_downloaded_and_its_address_copied(page: Page) -> None:
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


def test_inputs_can_be_put_in_order_and_removed_with_the_keyboard(page: Page) -> None:
    sign_in(page)
    choose(page, COFFEE, SAMPLES / "cat.png")
    tiles = page.locator("#inputs .input img")
    assert [tile.get_attribute("alt") for tile in tiles.all()] == ["coffee.jpg", "cat.png"]
    page.get_by_role("button", name="Later: coffee.jpg").focus()
    page.keyboard.press("Enter")
    assert [tile.get_attribute("alt") for tile in tiles.all()] == ["cat.png", "coffee.jpg"]
    page.get_by_role("button", name="Remove: cat.png").focus()
    page.keyboard.press("Enter")
    assert [tile.get_attribute("alt") for tile in tiles.all()] == ["coffee.jpg"]
    expect(page.locator("#live")).to_have_text("cat.png removed")


def test_everything_can_be_reached_and_done_with_the_keyboard(page: Page) -> None:
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
    assert page.evaluate("document.activeElement.id") == "result-title", "the result is where the reader is"
    page.locator("#split").focus()
    page.keyboard.press("ArrowRight")
    assert page.locator(".compare").evaluate("each => each.style.getPropertyValue('--split')") == "1%"


def test_a_double_click_pays_once(page: Page, page_stack: Stack) -> None:
    sign_in(page)
    choose(page, COFFEE)
    page.fill("#prompt", "snow")
    before = calls(page_stack)
    page.get_by_role("button", name="Generate", exact=True).dblclick()
    finished(page)
    expect(page.locator(".card")).to_have_count(1)
    assert calls(page_stack) == before + 1


def test_what_takes_longer_counts_down_and_does_not_freeze(page: Page, page_stack: Stack) -> None:
    sign_in(page)
    choose(page, COFFEE)
    script(page_stack, {"delay": 5})
    page.route(
        "**/api/image",
        lambda route: route.fulfill(response=(answer := route.fetch()), json={**answer.json(), "expectedSeconds": 1}),
    )
    generate(page)
    expect(page.locator("#countdown")).to_contain_text("Longer than usual", timeout=SECONDS)
    expect(page.locator("#countdown")).to_contain_text("It goes on")
    finished(page)


def test_leaving_loses_nothing(page: Page, page_stack: Stack) -> None:
    sign_in(page)
    choose(page, COFFEE)
    script(page_stack, {"delay": 4})
    generate(page)
    expect(page.locator("#countdown")).to_contain_text("left", timeout=SECONDS)
    page.reload()
    expect(page.locator(".card")).to_contain_text("being made")
    for _ in range(20):
        page.wait_for_timeout(500)
        page.reload()
        expect(page.locator(".card")).to_have_count(1)
        if "being made" not in page.locator(".card").inner_text():
            break
    expect(page.locator(".card img")).to_be_visible()


def test_deleting_can_be_undone_and_then_it_is_done(page: Page) -> None:
    sign_in(page)
    choose(page, COFFEE)
    generate(page)
    finished(page)
    deleted: list[str] = []
    page.on("request", lambda request: deleted.append(request.url) if request.method == "DELETE" else None)

    def delete() -> None:
        page.locator(".card button").click()
        page.get_by_role("button", name="Delete").click()

    delete()
    page.get_by_role("button", name="Undo").click()
    page.wait_for_timeout(5500)
    assert deleted == []
    expect(page.locator(".card")).to_have_count(1)
    delete()
    expect(page.locator(".card")).to_have_count(0, timeout=SECONDS)
    assert len(deleted) == 1
    page.reload()
    expect(page.locator("#history-empty")).to_be_visible()


def test_leaving_before_the_time_for_undoing_is_over_deletes_all_the_same(page: Page, page_stack: Stack) -> None:
    sign_in(page)
    choose(page, COFFEE)
    generate(page)
    finished(page)
    page.locator(".card button").click()
    page.get_by_role("button", name="Delete").click()
    page.goto(f"{page_stack.front}/icon.svg")
    page.wait_for_timeout(1500)
    page.goto(page_stack.front)
    expect(page.locator("#history-empty")).to_be_visible()


def test_signing_out_ends_it(page: Page) -> None:
    sign_in(page)
    page.get_by_role("button", name="Sign out").click()
    expect(page.locator("#sign-in")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(page: Page, axe: str, scheme: str, width: int) -> None:
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    page.set_viewport_size({"width": width, "height": 900})
    look(page, axe, "signed out")
    sign_in(page)
    choose(page, COFFEE)
    generate(page, "")
    look(page, axe, "a problem")
    generate(page)
    finished(page)
    look(page, axe, "a result")
    page.locator(".card button").first.click()
    look(page, axe, "details")


def look(page: Page, axe: str, where: str) -> None:
    page.evaluate(axe)
    found = page.evaluate("axe.run()")["violations"]
    assert [(each["id"], each["nodes"][0]["html"][:120]) for each in found] == [], where


def test_the_page_of_the_api_has_no_violation_either(page: Page, axe: str, page_stack: Stack) -> None:
    page.goto(f"{page_stack.front}/api/docs")
    look(page, axe, "api/docs")


def test_no_script_or_style_in_the_page_itself_runs(page: Page, page_stack: Stack) -> None:
    answer = requests.get(page_stack.front, timeout=10)
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert not re.search(r"<script>|<style>| style=| on\w+=", answer.text)
    storage = f"http://127.0.0.1:{page_stack.configuration.ports['AZURITE_BLOB_PORT']}"
    assert f"img-src 'self' data: blob: {storage};" in policy
