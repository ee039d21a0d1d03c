"""The playground, when something is wrong: in words, with what to do about it, and nothing is lost or paid twice."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, expect

from local.stack import Stack
from tests.page.person import COFFEE, ROOT, SAMPLES, SECONDS, calls, choose, finished, generate, script, sign_in

pytestmark = [pytest.mark.page, pytest.mark.timeout(180)]
IMAGES = ROOT / "tests" / "fixtures" / "images" / "awkward"


def test_a_lost_connection_is_tried_again_and_pays_once(page: Page, page_stack: Stack) -> None:
    sign_in(page)
    choose(page, COFFEE)
    lost: list[str] = []

    def lose(route: Route) -> None:
        if lost:
            route.continue_()
            return
        lost.append(route.request.headers["idempotency-key"])
        route.fetch()  # it arrives, and its answer is lost
        route.abort("connectionreset")

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
    page.context.set_offline(offline=True)
    generate(page)
    expect(page.locator("#problem")).to_contain_text("No connection", timeout=SECONDS)
    page.context.set_offline(offline=False)
    page.locator("#problem").get_by_role("button", name="Try again").click()
    finished(page)


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


def test_a_file_that_is_too_large_or_no_picture_is_refused_before_it_is_sent(page: Page, tmp_path: Path) -> None:
    sign_in(page)
    large, pdf = tmp_path / "large.png", tmp_path / "paper.pdf"
    large.write_bytes(b"\x89PNG" + bytes(50_000_000))
    pdf.write_bytes(b"%PDF-1.7")
    choose(page, large)
    expect(page.locator("#inputs-problem")).to_have_text("large.png has 50 MB; a picture may have 20.")
    choose(page, pdf)
    expect(page.locator("#inputs-problem")).to_have_text("paper.pdf is not a picture.")
    expect(page.locator("#inputs .input")).to_have_count(0)


def test_a_photograph_that_the_browser_cannot_show_still_works(page: Page) -> None:
    sign_in(page)
    heic = next(IMAGES.glob("*.heic"))
    choose(page, heic)
    expect(page.locator("#inputs .thumb")).to_have_text(heic.name)
    generate(page)
    finished(page)
    expect(page.locator(".slider")).to_have_count(0)


def test_a_broken_picture_is_named_by_its_place(page: Page, tmp_path: Path) -> None:
    sign_in(page)
    broken = tmp_path / "broken.png"
    broken.write_bytes((SAMPLES / "cat.png").read_bytes()[:2000])
    choose(page, COFFEE, broken)
    generate(page)
    expect(page.locator("#problem")).to_contain_text("It is picture 2.", timeout=SECONDS)


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
    page.fill("#ended-name", "Forgetful Fred")
    page.locator("#ended").get_by_role("button", name="Sign in").click()
    finished(page)
    assert page.locator("#prompt").input_value() == "at sunset"
