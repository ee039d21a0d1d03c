"""Errors in the playground: described in words with a remedy; nothing is lost or paid twice."""

import re
import uuid
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, expect

from image_core.errors import ImageError, subclasses
from local.stack import Stack
from tests.page.person import COFFEE, SAMPLES, TIMEOUT_MS, calls, choose, finished, generate, script, sign_in
from tests.support.paths import ROOT

pytestmark = pytest.mark.timeout(180)
IMAGES = ROOT / "tests" / "fixtures" / "images" / "unusual"
WITHOUT_WORDS = {
    "internal",
    "invalid_json",
    "invalid_request",
    "method_not_allowed",
    "no_file",
    "no_images",
    "no_prompt",
}
"""Codes that the page cannot cause, or for which the general message is enough."""


@pytest.mark.parametrize("lost_part", ["connection", "body"])
def test_request_is_repeated_after_a_lost_answer_and_pays_once(page: Page, page_stack: Stack, lost_part: str) -> None:
    sign_in(page)
    choose(page, COFFEE)
    lost: list[str] = []

    def lose(route: Route) -> None:
        if lost:
            route.continue_()
            return
        lost.append(route.request.headers["idempotency-key"])
        route.fetch()  # the request arrives, and its answer is lost
        if lost_part == "connection":
            route.abort("connectionreset")
        else:
            route.fulfill(status=200, body="")  # as a proxy forwards a truncated answer

    before = calls(page_stack)
    page.route("**/api/image", lose)
    with page.expect_request(
        lambda request: request.url.endswith("/api/image") and bool(lost), timeout=TIMEOUT_MS
    ) as again:
        generate(page)
    finished(page)
    assert again.value.headers["idempotency-key"] == lost[0]
    assert calls(page_stack) == before + 1


def test_lost_connection_is_reported_and_the_request_can_be_repeated(page: Page) -> None:
    sign_in(page)
    choose(page, COFFEE)
    keys: list[str] = []
    page.on(
        "request",
        lambda sent: keys.append(sent.headers["idempotency-key"]) if sent.url.endswith("/api/image") else None,
    )
    page.context.set_offline(offline=True)
    generate(page)
    expect(page.locator("#problem")).to_contain_text("No connection", timeout=TIMEOUT_MS)
    page.context.set_offline(offline=False)
    page.locator("#problem").get_by_role("button", name="Try again").click()
    finished(page)
    assert len(keys) > 1
    assert len(set(keys)) == 1, "all requests have the same key"


def test_refusal_is_described_in_words_with_hidden_details(page: Page, page_stack: Stack) -> None:
    sign_in(page)
    choose(page, COFFEE)
    candidate = {"content": {"parts": [{"text": "I cannot draw that."}]}, "finishReason": "IMAGE_SAFETY"}
    script(page_stack, {"body": {"candidates": [candidate]}})
    generate(page)
    problem = page.locator("#problem")
    expect(problem).to_contain_text("The model declined this", timeout=TIMEOUT_MS)
    expect(problem).to_contain_text("I cannot draw that.")
    expect(problem.get_by_role("button", name="Try again")).to_have_count(0)
    expect(problem.locator("pre")).not_to_be_visible()
    problem.locator("summary").click()
    expect(problem.locator("pre")).to_contain_text('"code": "refused"')


def test_too_large_or_unsupported_file_is_refused_before_it_is_sent(page: Page, tmp_path: Path) -> None:
    sign_in(page)
    large, pdf = tmp_path / "large.png", tmp_path / "paper.pdf"
    large.write_bytes(b"\x89PNG" + bytes(50_000_000))
    pdf.write_bytes(b"%PDF-1.7")
    choose(page, large)
    expect(page.locator("#inputs-problem")).to_have_text("large.png has 50 MB; an image may have 20.")
    choose(page, pdf)
    expect(page.locator("#inputs-problem")).to_have_text("paper.pdf is not an image.")
    expect(page.locator("#inputs .input")).to_have_count(0)


def test_photograph_that_the_browser_cannot_show_is_an_input(page: Page) -> None:
    sign_in(page)
    heic = next(IMAGES.glob("*.heic"))
    choose(page, heic)
    expect(page.locator("#inputs .thumb")).to_have_text(heic.name)
    generate(page)
    finished(page)
    # The comparison uses the API's copy, which every browser shows.
    expect(page.locator(".before")).not_to_have_js_property("naturalWidth", 0)
    expect(page.locator(".slider")).to_be_visible()


def test_invalid_image_is_named_by_its_number(page: Page, tmp_path: Path) -> None:
    sign_in(page)
    broken = tmp_path / "broken.png"
    broken.write_bytes((SAMPLES / "cat.png").read_bytes()[:2000])
    choose(page, COFFEE, broken)
    generate(page)
    expect(page.locator("#problem")).to_contain_text("It is image 2.", timeout=TIMEOUT_MS)


def test_too_long_prompt_is_reported_before_it_is_sent(page: Page) -> None:
    sign_in(page)
    choose(page, COFFEE)
    generate(page, "x" * 100_000)
    expect(page.locator("#prompt-problem")).to_have_text(re.compile("100,000 characters; 32,000 are the most"))


def test_generation_continues_after_signing_in_again(page: Page) -> None:
    sign_in(page, "Forgetful Fred")
    choose(page, COFFEE)
    page.context.clear_cookies()
    generate(page, "at sunset")
    expect(page.locator("#ended")).to_be_visible(timeout=TIMEOUT_MS)
    expect(page.locator("#ended-name")).to_have_value("forgetful.fred")
    page.locator("#ended").get_by_role("button", name="Sign in").click()
    finished(page)
    assert page.locator("#prompt").input_value() == "at sunset"
    expect(page.locator("#who")).to_have_text("forgetful.fred")


def test_running_generation_is_shown_after_signing_in_again_and_paid_once(page: Page, page_stack: Stack) -> None:
    name = f"Forgetful {uuid.uuid4().hex[:10]}"
    sign_in(page, name)
    choose(page, COFFEE)
    before = calls(page_stack)
    script(page_stack, {"delay": 6})
    page.route("**/api/generations/gen-*", lambda route: route.fulfill(status=401, json={"code": "unauthorized"}))
    generate(page)
    expect(page.locator("#ended")).to_be_visible(timeout=TIMEOUT_MS)
    page.unroute("**/api/generations/gen-*")
    page.context.clear_cookies()
    page.fill("#ended-name", name)
    page.locator("#ended").get_by_role("button", name="Sign in").click()
    finished(page)
    assert calls(page_stack) == before + 1


def test_page_that_cannot_be_loaded_completely_offers_a_reload(page: Page) -> None:
    page.route("**/config.json", lambda route: route.abort("connectionreset"))
    page.reload()
    expect(page.locator(".toast")).to_contain_text("could not be loaded completely")
    page.unroute("**/config.json")
    page.get_by_role("button", name="Load it again").click()
    expect(page.locator("#sign-in")).to_be_visible()


def test_another_user_can_sign_in_after_the_end_of_a_session(page: Page) -> None:
    sign_in(page, "Forgetful Fred")
    choose(page, COFFEE)
    generate(page, "at noon")
    finished(page)
    expect(page.locator(".card", has_text="at noon").first).to_be_visible()
    page.context.clear_cookies()
    generate(page, "at sunset")
    expect(page.locator("#ended")).to_be_visible(timeout=TIMEOUT_MS)
    page.keyboard.press("Escape")
    page.locator("#problem").get_by_role("button", name="Sign in").click()
    page.context.set_offline(offline=True)
    page.locator("#ended").get_by_role("button", name="Sign in").click()
    expect(page.locator("#ended-problem")).to_contain_text("That did not work")
    page.context.set_offline(offline=False)
    page.fill("#ended-name", "Another Ann")
    page.locator("#ended").get_by_role("button", name="Sign in").click()
    finished(page)
    expect(page.locator(".card", has_text="at noon")).to_have_count(0)  # it belongs to another user
    expect(page.locator("#who")).to_have_text("another.ann")


def test_file_that_was_deleted_after_it_was_chosen_is_reported(page: Page, tmp_path: Path) -> None:
    sign_in(page)
    moved = tmp_path / "moved.png"
    moved.write_bytes((SAMPLES / "cat.png").read_bytes())
    choose(page, moved)
    moved.unlink()
    generate(page)
    expect(page.locator("#problem")).to_contain_text("A file can no longer be read")
    expect(page.locator("#problem")).to_contain_text("moved.png")


def test_emoji_counts_as_one_character(page: Page) -> None:
    sign_in(page)
    choose(page, COFFEE)
    generate(page, "\N{CAT FACE}" * 20_000)
    finished(page)


def test_every_error_code_has_its_own_message(page: Page) -> None:
    codes = sorted({kind.code for kind in subclasses(ImageError)} - WITHOUT_WORDS)
    without = page.evaluate(
        """async (codes) => {
            const { words } = await import("/messages.js");
            const unknown = words({ code: "" }).title;
            return codes.filter((code) => words({ code }).title === unknown);
        }""",
        codes,
    )
    assert without == []
