"""The history: its items, their details, and deletion, which can be undone for five seconds."""

import re
import uuid

import pytest
from playwright.sync_api import Page, Route, expect

from local.stack import Stack
from tests.page.person import COFFEE, TIMEOUT_MS, choose, generate, script, sign_in
from tests.support.eventually import wait_until

pytestmark = pytest.mark.timeout(180)
REFUSED: dict[str, object] = {
    "body": {"candidates": [{"content": {"parts": [{"text": "No."}]}, "finishReason": "IMAGE_SAFETY"}]}
}


def make(page: Page, *prompts: str) -> None:
    """Make an image for each prompt, in this order."""
    choose(page, COFFEE)
    for count, prompt in enumerate(prompts, 1):
        generate(page, prompt)
        expect(page.locator(".card")).to_have_count(count, timeout=TIMEOUT_MS)


def delete(page: Page, prompt: str) -> None:
    page.locator(".card", has_text=prompt).get_by_role("button").click()
    page.locator("#details").get_by_role("button", name="Delete").click()


@pytest.fixture
def deleted(page: Page) -> list[str]:
    """Return the URLs of the DELETE requests, in the order in which they are sent."""
    calls: list[str] = []
    page.on("request", lambda request: calls.append(request.url) if request.method == "DELETE" else None)
    return calls


def test_deletion_can_be_undone_for_five_seconds(page: Page, deleted: list[str]) -> None:
    page.clock.install()
    sign_in(page)
    make(page, "snow")
    delete(page, "snow")
    expect(page.locator(".card")).to_be_hidden()
    page.get_by_role("button", name="Undo").click()
    page.clock.fast_forward(6000)
    expect(page.locator(".card")).to_be_visible()
    assert deleted == []
    delete(page, "snow")
    page.clock.fast_forward(4000)
    assert deleted == [], "it can be undone for five seconds"
    page.clock.fast_forward(2000)
    expect(page.locator(".card")).to_have_count(0)
    assert len(deleted) == 1
    page.reload()
    expect(page.locator("#history-empty")).to_be_visible()


def test_keyboard_focus_moves_after_a_deletion_to_undo_and_then_to_the_next_image(page: Page) -> None:
    page.clock.install()
    sign_in(page)
    make(page, "rain", "snow")
    page.locator(".card", has_text="snow").get_by_role("button").press("Enter")
    page.get_by_role("button", name="Delete").press("Enter")
    expect(page.locator("#live")).to_have_text("Deleted")
    expect(page.get_by_role("button", name="Undo")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator(".card", has_text="snow").get_by_role("button")).to_be_focused()
    delete(page, "snow")
    expect(page.get_by_role("button", name="Undo")).to_be_focused()
    page.clock.fast_forward(6000)
    expect(page.locator(".card", has_text="rain").get_by_role("button")).to_be_focused()
    delete(page, "rain")
    expect(page.get_by_role("button", name="Undo")).to_be_focused()
    page.clock.fast_forward(6000)
    expect(page.locator("#history-title")).to_be_focused()


def test_one_of_two_deletions_is_undone(page: Page, deleted: list[str]) -> None:
    page.clock.install()
    sign_in(page)
    make(page, "rain", "snow", "fog")
    delete(page, "rain")
    delete(page, "snow")
    expect(page.locator(".toast")).to_have_count(2)
    page.locator(".toast").first.get_by_role("button", name="Undo").click()
    page.clock.fast_forward(6000)
    expect(page.locator(".card")).to_have_count(2)
    expect(page.locator(".card", has_text="rain")).to_be_visible()
    assert len(deleted) == 1


def test_undo_works_though_the_history_was_read_anew_meanwhile(page: Page) -> None:
    page.clock.install()
    sign_in(page)
    make(page, "rain")
    delete(page, "rain")
    generate(page, "snow")
    expect(page.locator(".card", has_text="snow")).to_be_visible(timeout=TIMEOUT_MS)
    expect(page.locator(".card", has_text="rain")).to_be_hidden()
    page.get_by_role("button", name="Undo").click()
    expect(page.locator(".card", has_text="rain")).to_be_visible()


def test_leaving_the_page_completes_a_deletion(page: Page, page_stack: Stack) -> None:
    sign_in(page)
    make(page, "snow")
    delete(page, "snow")
    page.goto(f"{page_stack.front}/icon.svg")
    wait_until(lambda: page.request.get(f"{page_stack.front}/api/generations").json()["items"] == [])


def test_signing_out_completes_a_deletion(page: Page, deleted: list[str]) -> None:
    name = f"Leaver {uuid.uuid4().hex[:10]}"
    sign_in(page, name)
    make(page, "snow")
    delete(page, "snow")
    page.get_by_role("button", name="Sign out").click()
    expect(page.locator("#sign-in")).to_be_visible()
    assert len(deleted) == 1
    sign_in(page, name)
    expect(page.locator("#history-empty")).to_be_visible()


def test_failed_deletion_restores_the_image_and_is_reported(page: Page) -> None:
    page.clock.install()
    sign_in(page)
    make(page, "snow")

    def fail(route: Route) -> None:
        if route.request.method == "DELETE":
            route.fulfill(status=503, json={"error": "Down", "code": "storage_unavailable", "retryable": True})
        else:
            route.continue_()

    page.route("**/api/generations/*", fail)
    delete(page, "snow")
    page.clock.fast_forward(6000)
    expect(page.locator(".toast")).to_contain_text("It was not deleted. The storage does not answer")
    expect(page.locator(".card", has_text="snow")).to_be_visible()


def test_deletion_after_the_end_of_the_session_is_completed_after_signing_in_again(
    page: Page, deleted: list[str]
) -> None:
    name = f"Forgetful {uuid.uuid4().hex[:10]}"
    page.clock.install()
    sign_in(page, name)
    make(page, "snow")
    page.locator(".card button").click()
    page.locator("#details").get_by_role("button", name="Delete").click()
    page.context.clear_cookies()
    page.clock.fast_forward(6000)
    expect(page.locator("#ended")).to_be_visible()
    page.fill("#ended-name", name)
    page.locator("#ended").get_by_role("button", name="Sign in").click()
    expect(page.locator(".card")).to_have_count(0)
    assert len(deleted) == 2, "one without a session, and one after signing in"


def test_running_generation_is_shown_in_the_history_when_it_ends(page: Page, page_stack: Stack) -> None:
    sign_in(page)
    choose(page, COFFEE)
    script(page_stack, {"delay": 9})
    generate(page)
    expect(page.locator("#countdown")).to_contain_text("left", timeout=TIMEOUT_MS)
    page.reload()
    expect(page.locator(".card")).to_contain_text("being made")
    page.locator(".card button").click()
    expect(page.locator("#details h2")).to_have_text("Being made")
    page.keyboard.press("Escape")
    expect(page.locator(".card button")).to_be_focused()
    expect(page.locator(".card img")).to_be_visible(timeout=TIMEOUT_MS)
    expect(page.locator(".card button")).to_be_focused()
    expect(page.locator("#live")).to_have_text("An image of your history is ready")
    expect(page.locator("#spent")).to_contain_text("1 image")


def test_details_of_a_failure_say_what_to_do(page: Page, page_stack: Stack) -> None:
    sign_in(page)
    choose(page, COFFEE)
    script(page_stack, REFUSED)
    generate(page)
    page.locator(".card button").click(timeout=TIMEOUT_MS)
    problem = page.locator("#details .problem")
    expect(problem).to_contain_text("The model declined this")
    expect(problem).to_contain_text("Change the text or the images")
    expect(problem.locator("pre")).not_to_be_visible()
    expect(page.locator("#details")).to_contain_text(re.compile("gemini-3-pro-image: refused"))


def test_messages_are_shown_and_announced_in_the_details(page: Page) -> None:
    sign_in(page)
    make(page, "snow")
    page.locator(".card button").click()
    page.locator("#details").get_by_role("button", name="Copy address").click()
    expect(page.locator("#details .toast")).to_have_text("Address copied")
    expect(page.locator("#details [role=status]")).to_have_text("Address copied")
    page.keyboard.press("Escape")
    expect(page.locator(".toast")).to_be_visible()
    page.locator(".card button").click()
    page.locator("#details").get_by_role("button", name="Edit this").click()
    expect(page.locator("#details")).to_be_hidden()
    expect(page.locator("#prompt")).to_be_focused()
    expect(page.locator("#inputs .input")).to_have_count(0)
    expect(page.locator("#steps li")).to_have_count(1)


def test_older_pages_are_added_once_and_stay_after_a_new_image(page: Page) -> None:
    def item(number: int) -> dict[str, object]:
        created = f"2024-01-{number:02}T00:00:00.000Z"
        return {"id": f"gen-{number}", "status": "succeeded", "prompt": f"number {number}", "createdAt": created}

    newest = [item(number) for number in range(30, 18, -1)]
    older = [item(number) for number in range(18, 15, -1)]

    def answer(route: Route) -> None:
        is_next = "continuation" in route.request.url
        route.fulfill(json={"items": older if is_next else newest, "continuation": None if is_next else "more"})

    page.route("**/api/generations?*", answer)
    sign_in(page)
    expect(page.locator(".card")).to_have_count(12)
    page.get_by_role("button", name="Show more").dblclick()
    expect(page.locator(".card")).to_have_count(15)
    expect(page.get_by_role("button", name="number 18")).to_be_focused()
    expect(page.get_by_role("button", name="Show more")).to_be_hidden()
    newest.insert(0, item(31))
    newest.pop()
    choose(page, COFFEE)
    generate(page)
    expect(page.locator(".card", has_text="number 31")).to_be_visible(timeout=TIMEOUT_MS)
    expect(page.locator(".card", has_text="number 16")).to_be_visible()
