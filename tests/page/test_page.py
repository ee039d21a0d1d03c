"""The playground, as a person uses it: sign in, drop a photograph, generate, compare, go on, look back, delete."""

import base64
import os
import re
import uuid
from pathlib import Path

import pytest
import requests
from playwright.sync_api import Page, Route, expect

from local.stack import Stack

pytestmark = [pytest.mark.page, pytest.mark.timeout(180)]
ROOT = Path(__file__).parent.parent.parent
SAMPLES = ROOT / "local" / "samples"
IMAGES = ROOT / "tests" / "fixtures" / "images" / "awkward"
COFFEE = SAMPLES / "coffee.jpg"
SECONDS = 30_000


def sign_in(page: Page, name: str | None = None) -> None:
    """As somebody new, unless a name is given: what others made is theirs."""
    page.fill("#name", name or f"Person {uuid.uuid4().hex[:10]}")
    page.get_by_role("button", name="Sign in").click()
    expect(page.locator("#workshop")).to_be_visible()


def choose(page: Page, *files: Path) -> None:
    page.set_input_files("#files", [str(file) for file in files])


def generate(page: Page, prompt: str = "a watercolor painting of it") -> None:
    page.fill("#prompt", prompt)
    page.get_by_role("button", name="Generate", exact=True).click()


def finished(page: Page) -> str:
    """The address of the picture that came back, once it is shown."""
    picture = page.locator("#result img.after")
    expect(picture).to_be_visible(timeout=SECONDS)
    page.wait_for_function("document.querySelector('#result img.after').naturalWidth > 0")
    return str(picture.get_attribute("src"))


def script(stack: Stack, *replies: dict[str, object]) -> None:
    """What the stand-in answers next."""
    url = f"http://127.0.0.1:{stack.configuration.ports['GEMINI_PORT']}/__script"
    requests.post(url, json=list(replies), timeout=10).raise_for_status()


def calls(stack: Stack) -> int:
    url = f"http://127.0.0.1:{stack.configuration.ports['GEMINI_PORT']}/__calls"
    return len(requests.get(url, timeout=10).json()["calls"])


def drop(page: Page, file: Path, media_type: str) -> None:
    """A file out of another program, let go over the page."""
    page.evaluate(
        """async ([data, name, type]) => {
            const bytes = Uint8Array.from(atob(data), (each) => each.charCodeAt(0));
            const moved = new DataTransfer();
            moved.items.add(new File([bytes], name, { type }));
            const target = document.getElementById("drop");
            for (const kind of ["dragover", "drop"]) {
                target.dispatchEvent(new DragEvent(kind, { dataTransfer: moved, bubbles: true, cancelable: true }));
            }
        }""",
        [base64.b64encode(file.read_bytes()).decode(), file.name, media_type],
    )


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
