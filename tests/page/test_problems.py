"""The playground, when something is wrong: in words, with what to do about it, and nothing is lost or paid twice."""

import re
import uuid
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, expect

from image_core.errors import ImageError, subclasses
from local.stack import Stack
from tests.page.person import COFFEE, SAMPLES, SECONDS, calls, choose, finished, generate, script, sign_in
from tests.support.paths import ROOT

pytestmark = pytest.mark.timeout(180)
IMAGES = ROOT / "tests" / "fixtures" / "images" / "unusual"
NOT_OF_A_PERSON = {
    "internal",
    "invalid_json",
    "invalid_request",
    "method_not_allowed",
    "no_file",
    "no_images",
    "no_prompt",
}
"""What only another program than the page could cause, and what has no better words than that it did not work."""


@pytest.mark.parametrize("broken", ["the connection", "the answer"])
def test_a_lost_answer_is_asked_for_again_and_pays_once(page: Page, page_stack: Stack, broken: str) -> None:
    sign_in(page)
    choose(page, COFFEE)
    lost: list[str] = []

    def lose(route: Route) -> None:
        if lost:
            route.continue_()
            return
        lost.append(route.request.headers["idempotency-key"])
        route.fetch()  # it arrives, and its answer is lost
        if broken == "the connection":
            route.abort("connectionreset")
        else:
            route.fulfill(status=200, body="")  # what a proxy makes of an answer that breaks off

    before = calls(page_stack)
    page.route("**/api/image", lose)
    with page.expect_request(
        lambda request: request.url.endswith("/api/image") and bool(lost), timeout=SECONDS
    ) as again:
        generate(page)
    finished(page)
    assert again.value.headers["idempotency-key"] == lost[0]
    assert calls(page_stack) == before + 1


def test_without_a_connection_it_says_so_and_goes_on_later(page: Page) -> None:
    sign_in(page)
    choose(page, COFFEE)
    keys: list[str] = []
    page.on(
        "request",
        lambda sent: keys.append(sent.headers["idempotency-key"]) if sent.url.endswith("/api/image") else None,
    )
    page.context.set_offline(offline=True)
    generate(page)
    expect(page.locator("#problem")).to_contain_text("No connection", timeout=SECONDS)
    page.context.set_offline(offline=False)
    page.locator("#problem").get_by_role("button", name="Try again").click()
    finished(page)
    assert len(keys) > 1
    assert len(set(keys)) == 1, "whatever did arrive is paid once"


def test_a_refusal_is_said_in_words_with_the_detail_folded(page: Page, page_stack: Stack) -> None:
    sign_in(page)
    choose(page, COFFEE)
    candidate = {"content": {"parts": [{"text": "I cannot draw that."}]}, "finishReason": "IMAGE_SAFETY"}
    script(page_stack, {"body": {"candidates": [candidate]}})
    generate(page)
    problem = page.locator("#problem")
    expect(problem).to_contain_text("The model declined this", timeout=SECONDS)
    expect(problem).to_contain_text("I cannot draw that.")
    expect(problem.get_by_role("button", name="Try again")).to_have_count(0)
    expect(problem.locator("pre")).not_to_be_visible()
    problem.locator("summary").click()
    expect(problem.locator("pre")).to_contain_text('"code": "refused"')


def test_a_file_that_is_too_large_or_no_image_is_refused_before_it_is_sent(page: Page, tmp_path: Path) -> None:
    sign_in(page)
    large, pdf = tmp_path / "large.png", tmp_path / "paper.pdf"
    large.write_bytes(b"\x89PNG" + bytes(50_000_000))
    pdf.write_bytes(b"%PDF-1.7")
    choose(page, large)
    expect(page.locator("#inputs-problem")).to_have_text("large.png has 50 MB; an image may have 20.")
    choose(page, pdf)
    expect(page.locator("#inputs-problem")).to_have_text("paper.pdf is not an image.")
    expect(page.locator("#inputs .input")).to_have_count(0)


def test_a_photograph_that_the_browser_cannot_show_still_works(page: Page) -> None:
    sign_in(page)
    heic = next(IMAGES.glob("*.heic"))
    choose(page, heic)
    expect(page.locator("#inputs .thumb")).to_have_text(heic.name)
    generate(page)
    finished(page)
    # Compared with the API's copy of it, which every browser shows.
    expect(page.locator(".before")).not_to_have_js_property("naturalWidth", 0)
    expect(page.locator(".slider")).to_be_visible()


def test_a_broken_image_is_named_by_its_place(page: Page, tmp_path: Path) -> None:
    sign_in(page)
    broken = tmp_path / "broken.png"
    broken.write_bytes((SAMPLES / "cat.png").read_bytes()[:2000])
    choose(page, COFFEE, broken)
    generate(page)
    expect(page.locator("#problem")).to_contain_text("It is image 2.", timeout=SECONDS)


def test_a_text_that_is_too_long_is_said_before_it_is_sent(page: Page) -> None:
    sign_in(page)
    choose(page, COFFEE)
    generate(page, "x" * 100_000)
    expect(page.locator("#prompt-problem")).to_have_text(re.compile("100,000 characters; 32,000 are the most"))


def test_a_session_that_ends_meanwhile_keeps_what_was_typed_and_goes_on(page: Page) -> None:
    sign_in(page, "Forgetful Fred")
    choose(page, COFFEE)
    page.context.clear_cookies()
    generate(page, "at sunset")
    expect(page.locator("#ended")).to_be_visible(timeout=SECONDS)
    expect(page.locator("#ended-name")).to_have_value("forgetful.fred")
    page.locator("#ended").get_by_role("button", name="Sign in").click()
    finished(page)
    assert page.locator("#prompt").input_value() == "at sunset"
    expect(page.locator("#who")).to_have_text("forgetful.fred")


def test_a_session_that_ends_while_an_image_is_made_goes_on_with_it_and_pays_once(
    page: Page, page_stack: Stack
) -> None:
    name = f"Forgetful {uuid.uuid4().hex[:10]}"
    sign_in(page, name)
    choose(page, COFFEE)
    before = calls(page_stack)
    script(page_stack, {"delay": 6})
    page.route("**/api/generations/gen-*", lambda route: route.fulfill(status=401, json={"code": "unauthorized"}))
    generate(page)
    expect(page.locator("#ended")).to_be_visible(timeout=SECONDS)
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


def test_signing_in_again_is_possible_later(page: Page) -> None:
    sign_in(page, "Forgetful Fred")
    choose(page, COFFEE)
    generate(page, "at noon")
    finished(page)
    expect(page.locator(".card", has_text="at noon").first).to_be_visible()
    page.context.clear_cookies()
    generate(page, "at sunset")
    expect(page.locator("#ended")).to_be_visible(timeout=SECONDS)
    page.keyboard.press("Escape")
    page.locator("#problem").get_by_role("button", name="Sign in").click()
    page.context.set_offline(offline=True)
    page.locator("#ended").get_by_role("button", name="Sign in").click()
    expect(page.locator("#ended-problem")).to_contain_text("That did not work")
    page.context.set_offline(offline=False)
    page.fill("#ended-name", "Another Ann")
    page.locator("#ended").get_by_role("button", name="Sign in").click()
    finished(page)
    expect(page.locator(".card", has_text="at noon")).to_have_count(0)  # it is another person's
    expect(page.locator("#who")).to_have_text("another.ann")


def test_a_file_that_was_taken_away_since_it_was_chosen_is_said(page: Page, tmp_path: Path) -> None:
    sign_in(page)
    moved = tmp_path / "moved.png"
    moved.write_bytes((SAMPLES / "cat.png").read_bytes())
    choose(page, moved)
    moved.unlink()
    generate(page)
    expect(page.locator("#problem")).to_contain_text("A file can no longer be read")
    expect(page.locator("#problem")).to_contain_text("moved.png")


def test_an_emoji_is_one_character(page: Page) -> None:
    sign_in(page)
    choose(page, COFFEE)
    generate(page, "\N{CAT FACE}" * 20_000)
    finished(page)


def test_every_error_that_a_person_can_meet_has_words_of_its_own(page: Page) -> None:
    codes = sorted({kind.code for kind in subclasses(ImageError)} - NOT_OF_A_PERSON)
    without = page.evaluate(
        """async (codes) => {
            const { words } = await import("/messages.js");
            const unknown = words({ code: "" }).title;
            return codes.filter((code) => words({ code }).title === unknown);
        }""",
        codes,
    )
    assert without == []
