"""Between the press of the button and the image: paid once, counted down, left and found again."""

import pytest
from playwright.sync_api import Page, Route, expect

from local.stack import Stack
from tests.page.person import COFFEE, SECONDS, calls, choose, finished, generate, script, sign_in

pytestmark = pytest.mark.timeout(180)


def test_a_double_click_pays_once(page: Page, page_stack: Stack) -> None:
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


def test_what_takes_longer_counts_down_and_does_not_freeze(page: Page, page_stack: Stack) -> None:
    sign_in(page)
    choose(page, COFFEE)
    script(page_stack, {"delay": 6})
    page.route(
        "**/api/image",
        lambda route: route.fulfill(response=(answer := route.fetch()), json={**answer.json(), "expectedSeconds": 1}),
    )
    generate(page)
    expect(page.locator("#leave-hint")).to_have_text("Stay until it is sent.")
    expect(page.locator("#countdown")).to_contain_text("Longer than usual", timeout=SECONDS)
    expect(page.locator("#countdown")).to_contain_text("It continues")
    expect(page.locator("#leave-hint")).to_contain_text("You may leave")
    expect(page.locator("#live")).to_have_text("It takes longer than usual. It continues.")
    said = page.locator("#countdown").inner_text()
    expect(page.locator("#countdown")).not_to_have_text(said)
    assert page.locator("#progress").get_attribute("value") is None, "a bar that stands still would look dead"
    finished(page)


def test_an_image_that_takes_longer_is_asked_for_with_patience(page: Page, page_stack: Stack) -> None:
    sign_in(page)
    choose(page, COFFEE)
    script(page_stack, {"delay": 5})
    preferred: list[str] = []

    def stumble(route: Route) -> None:
        preferred.append(route.request.headers["prefer"])
        if len(preferred) == 1:
            route.fulfill(status=502, body="<h1>Bad gateway</h1>")
        elif len(preferred) == 2:
            route.abort("connectionreset")
        else:
            route.continue_()

    page.route("**/api/generations/gen-*", stumble)
    generate(page)
    expect(page.locator("#lost")).to_contain_text("trying again", timeout=SECONDS)
    finished(page)
    assert set(preferred) == {"wait=20"}
    expect(page.locator("#lost")).to_have_text("")


def test_leaving_loses_nothing(page: Page, page_stack: Stack) -> None:
    sign_in(page)
    choose(page, COFFEE)
    script(page_stack, {"delay": 4})
    generate(page)
    expect(page.locator("#countdown")).to_contain_text("left", timeout=SECONDS)
    page.get_by_role("button", name="Stop waiting").click()
    expect(page.locator("#empty")).to_be_visible()
    expect(page.locator("#waiting")).to_be_hidden()
    expect(page.locator("#result-title")).to_be_focused()
    expect(page.locator(".card")).to_contain_text("being made")
    expect(page.locator(".card img")).to_be_visible(timeout=SECONDS)


def test_what_is_canceled_stops_and_says_what_it_cost(page: Page, page_stack: Stack) -> None:
    sign_in(page)
    choose(page, COFFEE)
    script(page_stack, {"delay": 60})
    before = calls(page_stack)
    generate(page)
    page.get_by_role("button", name="Cancel", exact=True).click(timeout=SECONDS)
    expect(page.locator(".toast").last).to_contain_text("Canceled. Cost: A stopped call", timeout=SECONDS)
    expect(page.locator("#waiting")).to_be_hidden()
    expect(page.locator("#result-title")).to_be_focused()
    expect(page.locator(".card")).to_contain_text("canceled")
    page.locator(".card button").click()
    expect(page.locator("#details-title")).to_have_text("Canceled")
    expect(page.locator("#details .facts")).to_contain_text("A stopped call")
    assert calls(page_stack) == before + 1


def test_what_was_left_is_canceled_from_the_history(page: Page, page_stack: Stack) -> None:
    sign_in(page)
    choose(page, COFFEE)
    script(page_stack, {"delay": 60})
    generate(page)
    expect(page.locator("#countdown")).to_contain_text("left", timeout=SECONDS)
    page.get_by_role("button", name="Stop waiting").click()
    page.locator(".card button").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel", exact=True).click()
    expect(page.locator(".card")).to_contain_text("canceled", timeout=SECONDS)


def hold(page: Page) -> list[Route]:
    """Press the button on a slow connection: the request is on its way until it is let go."""
    held: list[Route] = []

    def keep(route: Route) -> None:
        held.append(route)

    page.route("**/api/image", keep, times=1)
    with page.expect_request("**/api/image"):
        generate(page)
    return held


def test_what_is_not_yet_sent_whole_goes_on_though_nobody_waits(page: Page) -> None:
    sign_in(page)
    choose(page, COFFEE)
    held = hold(page)
    page.get_by_role("button", name="Stop waiting").click()
    expect(page.locator("#empty")).to_be_visible()
    held[0].abort("connectionreset")  # even so: it is sent again
    expect(page.locator(".card img")).to_be_visible(timeout=SECONDS)
    expect(page.locator("#result")).to_be_hidden()


def test_an_image_that_was_left_and_fails_is_told(page: Page) -> None:
    sign_in(page)
    choose(page, COFFEE)
    held = hold(page)
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


def test_the_wait_is_in_sight_on_a_phone(page: Page, page_stack: Stack) -> None:
    page.set_viewport_size({"width": 390, "height": 700})
    sign_in(page)
    choose(page, COFFEE)
    script(page_stack, {"delay": 3})
    generate(page)
    expect(page.locator("#countdown")).to_be_in_viewport()
    expect(page.get_by_role("button", name="Stop waiting")).to_be_in_viewport()
    finished(page)
    expect(page.locator("#result-title")).to_be_in_viewport()


def test_what_was_removed_meanwhile_can_still_be_compared(page: Page) -> None:
    sign_in(page)
    choose(page, COFFEE)
    generate(page)
    page.get_by_role("button", name="Remove: coffee.jpg").click()
    finished(page)
    expect(page.locator(".slider")).to_be_visible()
    expect(page.locator(".before")).not_to_have_js_property("naturalWidth", 0)
