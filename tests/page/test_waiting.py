"""Waiting for an image: paid once, with a countdown; leaving, canceling and finding it again."""

import pytest
from playwright.sync_api import Page, Route, expect

from local.stack import Stack
from tests.page.person import COFFEE, TIMEOUT_MS, calls, choose, finished, generate, script, sign_in

pytestmark = pytest.mark.timeout(180)


def test_double_click_pays_once(page: Page, page_stack: Stack) -> None:
    sign_in(page)
    choose(page, COFFEE)
    page.fill("#prompt", "snow")
    before = calls(page_stack)
    script(page_stack, {"delay": 3})
    page.get_by_role("button", name="Generate", exact=True).dblclick()
    page.get_by_role("button", name="Generating").press("Enter")
    finished(page)
    expect(page.locator(".card")).to_have_count(1)
    assert calls(page_stack) == before + 1


def test_countdown_of_a_slow_generation_goes_on(page: Page, page_stack: Stack) -> None:
    sign_in(page)
    choose(page, COFFEE)
    script(page_stack, {"delay": 6})
    page.route(
        "**/api/image",
        lambda route: route.fulfill(response=(answer := route.fetch()), json={**answer.json(), "expectedSeconds": 1}),
    )
    generate(page)
    expect(page.locator("#leave-hint")).to_have_text("Stay until it is sent.")
    expect(page.locator("#countdown")).to_contain_text("Longer than usual", timeout=TIMEOUT_MS)
    expect(page.locator("#countdown")).to_contain_text("It continues")
    expect(page.locator("#leave-hint")).to_contain_text("You may leave")
    expect(page.locator("#live")).to_have_text("It takes longer than usual. It continues.")
    text = page.locator("#countdown").inner_text()
    expect(page.locator("#countdown")).not_to_have_text(text)
    assert page.locator("#progress").get_attribute("value") is None, "the bar is indeterminate"
    finished(page)


def test_slow_generation_is_polled_with_long_waits_despite_failures(page: Page, page_stack: Stack) -> None:
    sign_in(page)
    choose(page, COFFEE)
    script(page_stack, {"delay": 5})
    preferred: list[str] = []

    def fail_twice(route: Route) -> None:
        preferred.append(route.request.headers["prefer"])
        if len(preferred) == 1:
            route.fulfill(status=502, body="<h1>Bad gateway</h1>")
        elif len(preferred) == 2:
            route.abort("connectionreset")
        else:
            route.continue_()

    page.route("**/api/generations/gen-*", fail_twice)
    generate(page)
    expect(page.locator("#lost")).to_contain_text("trying again", timeout=TIMEOUT_MS)
    finished(page)
    assert set(preferred) == {"wait=20"}
    expect(page.locator("#lost")).to_have_text("")


def test_generation_goes_on_after_stop_waiting(page: Page, page_stack: Stack) -> None:
    sign_in(page)
    choose(page, COFFEE)
    script(page_stack, {"delay": 4})
    generate(page)
    expect(page.locator("#countdown")).to_contain_text("left", timeout=TIMEOUT_MS)
    page.get_by_role("button", name="Stop waiting").click()
    expect(page.locator("#empty")).to_be_visible()
    expect(page.locator("#waiting")).to_be_hidden()
    expect(page.locator("#result-title")).to_be_focused()
    expect(page.locator(".card")).to_contain_text("being made")
    expect(page.locator(".card img")).to_be_visible(timeout=TIMEOUT_MS)


def test_canceled_generation_shows_its_cost(page: Page, page_stack: Stack) -> None:
    sign_in(page)
    choose(page, COFFEE)
    script(page_stack, {"delay": 60})
    before = calls(page_stack)
    generate(page)
    page.get_by_role("button", name="Cancel", exact=True).click(timeout=TIMEOUT_MS)
    expect(page.locator(".toast").last).to_contain_text("Canceled. Cost: A stopped call", timeout=TIMEOUT_MS)
    expect(page.locator("#waiting")).to_be_hidden()
    expect(page.locator("#result-title")).to_be_focused()
    expect(page.locator(".card")).to_contain_text("canceled")
    page.locator(".card button").click()
    expect(page.locator("#details-title")).to_have_text("Canceled")
    expect(page.locator("#details .facts")).to_contain_text("A stopped call")
    assert calls(page_stack) == before + 1


def test_generation_is_canceled_from_the_history(page: Page, page_stack: Stack) -> None:
    sign_in(page)
    choose(page, COFFEE)
    script(page_stack, {"delay": 60})
    generate(page)
    expect(page.locator("#countdown")).to_contain_text("left", timeout=TIMEOUT_MS)
    page.get_by_role("button", name="Stop waiting").click()
    page.locator(".card button").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel", exact=True).click()
    expect(page.locator(".card")).to_contain_text("canceled", timeout=TIMEOUT_MS)


def generate_and_hold(page: Page) -> list[Route]:
    """Generate, and hold the request until the test continues, fulfills or aborts it."""
    held: list[Route] = []

    def keep(route: Route) -> None:
        held.append(route)

    page.route("**/api/image", keep, times=1)
    with page.expect_request("**/api/image"):
        generate(page)
    return held


def test_unsent_request_is_repeated_after_stop_waiting(page: Page) -> None:
    sign_in(page)
    choose(page, COFFEE)
    held = generate_and_hold(page)
    page.get_by_role("button", name="Stop waiting").click()
    expect(page.locator("#empty")).to_be_visible()
    held[0].abort("connectionreset")  # it is sent again
    expect(page.locator(".card img")).to_be_visible(timeout=TIMEOUT_MS)
    expect(page.locator("#result")).to_be_hidden()


def test_failure_after_stop_waiting_is_reported(page: Page) -> None:
    sign_in(page)
    choose(page, COFFEE)
    held = generate_and_hold(page)
    page.get_by_role("button", name="Stop waiting").click()
    held[0].fulfill(status=400, json={"error": "No", "code": "invalid_image", "imageIndex": 0, "retryable": False})
    expect(page.locator(".toast").last).to_contain_text("An earlier generation failed. An image cannot be read")


def test_typing_the_next_prompt_is_not_interrupted(page: Page) -> None:
    sign_in(page)
    choose(page, COFFEE)
    generate(page)
    page.locator("#prompt").focus()
    finished(page)
    expect(page.locator("#live")).to_have_text("Your image is ready")
    expect(page.locator("#prompt")).to_be_focused()


def test_countdown_and_result_are_in_view_on_a_phone(page: Page, page_stack: Stack) -> None:
    page.set_viewport_size({"width": 390, "height": 700})
    sign_in(page)
    choose(page, COFFEE)
    script(page_stack, {"delay": 3})
    generate(page)
    expect(page.locator("#countdown")).to_be_in_viewport()
    expect(page.get_by_role("button", name="Stop waiting")).to_be_in_viewport()
    finished(page)
    expect(page.locator("#result-title")).to_be_in_viewport()


def test_input_removed_meanwhile_can_still_be_compared(page: Page) -> None:
    sign_in(page)
    choose(page, COFFEE)
    generate(page)
    page.get_by_role("button", name="Remove: coffee.jpg").click()
    finished(page)
    expect(page.locator(".slider")).to_be_visible()
    expect(page.locator(".before")).not_to_have_js_property("naturalWidth", 0)
