"""The inputs: dropped, pasted, chosen or given by URL; their order; and the options of a request."""

import base64
import json
import os
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Page, Route, expect

from local.stack import Stack
from tests.page.person import COFFEE, SAMPLES, TIMEOUT_MS, choose, drop_from_outside, finished, generate, names, sign_in

pytestmark = pytest.mark.timeout(180)
CAT = SAMPLES / "cat.png"
PASTE = """([files, text, onto]) => {
    const copied = new DataTransfer();
    for (const name of files) copied.items.add(new File(["a"], name, { type: "image/png" }));
    if (text) copied.setData("text/plain", text);
    document.querySelector(onto).dispatchEvent(
        new ClipboardEvent("paste", { clipboardData: copied, bubbles: true, cancelable: true }));
}"""


def test_image_from_the_clipboard_is_an_input(page: Page) -> None:
    sign_in(page)
    page.evaluate(
        """async (data) => {
            const bytes = Uint8Array.from(atob(data), (each) => each.charCodeAt(0));
            const image = new Blob([bytes], { type: "image/png" });
            await navigator.clipboard.write([new ClipboardItem({ "image/png": image })]);
        }""",
        base64.b64encode(CAT.read_bytes()).decode(),
    )
    page.keyboard.press("Control+V")
    expect(page.locator("#inputs .input")).to_have_count(1)
    page.keyboard.press("Control+V")
    expect(page.locator("#inputs .input")).to_have_count(2)
    assert names(page) == ["image.png", "image.png (2)"], "their buttons have different names"
    generate(page)
    finished(page)


def test_several_images_can_be_pasted_at_once(page: Page) -> None:
    sign_in(page)
    page.evaluate(PASTE, [["one.png", "two.png"], "", "body"])
    expect(page.locator("#live")).to_have_text("two.png added, 2 in all")
    expect(page.locator("#inputs .input")).to_have_count(2)


def test_text_pasted_into_a_field_is_not_an_input_even_with_an_image_of_it(page: Page) -> None:
    sign_in(page)
    page.evaluate(PASTE, [["cells.png"], "a cat", "#prompt"])
    page.evaluate(PASTE, [[], "https://example.com/cat.png", "#url"])
    expect(page.locator("#inputs .input")).to_have_count(0)
    page.evaluate(PASTE, [[], "https://example.com/cat.png", "body"])
    expect(page.locator("#inputs .input")).to_have_count(1)


@pytest.mark.parametrize("onto", ["#history-title", "#prompt", ".bar"])
def test_file_dropped_anywhere_on_the_page_is_an_input(page: Page, page_stack: Stack, onto: str) -> None:
    sign_in(page)
    page.fill("#prompt", "a text that was long to write")
    drop_from_outside(page, onto, COFFEE, CAT)
    expect(page.locator("#inputs .input")).to_have_count(2)
    assert names(page) == ["coffee.jpg", "cat.png"]
    assert page.url.rstrip("/") == page_stack.front, "the browser has not opened the file"
    expect(page.locator("#prompt")).to_have_value("a text that was long to write")


def test_file_dropped_before_signing_in_does_not_replace_the_page(page: Page, page_stack: Stack) -> None:
    drop_from_outside(page, "#signed-out h2", COFFEE)
    expect(page.locator(".toast")).to_have_text("Sign in first, then drop it again")
    assert page.url.rstrip("/") == page_stack.front


def test_unusable_files_are_named_and_the_others_are_added(page: Page, tmp_path: Path) -> None:
    sign_in(page)
    (tmp_path / "a.pdf").write_bytes(b"%PDF-1.7")
    (tmp_path / "b.txt").write_bytes(b"text")
    choose(page, tmp_path / "a.pdf", COFFEE, tmp_path / "b.txt")
    expect(page.locator("#inputs-problem")).to_have_text("a.pdf is not an image. b.txt is not an image.")
    assert names(page) == ["coffee.jpg"]
    choose(page, *[CAT] * 14)
    expect(page.locator("#inputs-problem")).to_have_text("cat.png is one too many: 14 images are the most.")
    expect(page.locator("#inputs .input")).to_have_count(14)


def test_order_is_changed_with_the_keyboard_and_announced(page: Page) -> None:
    sign_in(page)
    choose(page, COFFEE, CAT, SAMPLES / "rocket.webp")
    page.get_by_role("button", name="Later: coffee.jpg").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#live")).to_have_text("coffee.jpg is now number 2 of 3")
    page.keyboard.press("Enter")
    expect(page.locator("#live")).to_have_text("coffee.jpg is now number 3 of 3")
    assert names(page) == ["cat.png", "rocket.webp", "coffee.jpg"]
    expect(page.get_by_role("button", name="Earlier: coffee.jpg")).to_be_focused()
    page.get_by_role("button", name="Remove: cat.png").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Remove: rocket.webp")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    expect(page.locator("#files")).to_be_focused()


def test_typed_address_is_used_without_pressing_add(page: Page) -> None:
    sign_in(page)
    choose(page, COFFEE)
    generate(page)
    address = finished(page)
    page.reload()
    page.fill("#url", address)
    with page.expect_request("**/api/image") as request:
        generate(page, "at night")
    assert json.loads(request.value.post_data or "")["images"] == [address]
    finished(page)
    expect(page.locator(".slider")).to_be_visible()


@pytest.mark.parametrize("text", ["cat", "https://[", "javascript:alert(1)", "ftp://example.com/cat.png"])
def test_invalid_address_is_reported_at_its_field(page: Page, text: str) -> None:
    sign_in(page)
    page.fill("#url", text)
    generate(page)
    expect(page.locator("#inputs-problem")).to_have_text("An address begins with https://")
    expect(page.locator("#url")).to_be_focused()
    expect(page.locator("#inputs .input")).to_have_count(0)


def test_shape_size_and_model_are_sent(page: Page) -> None:
    sign_in(page)
    choose(page, COFFEE)
    page.get_by_label("Shape").select_option("16:9")
    page.get_by_label("Size").select_option("2K")
    page.get_by_label("Model").select_option("gemini-nano-banana-2.1")
    expect(page.locator("#price")).to_contain_text("gemini-nano-banana-2.1: about $0.050")
    with page.expect_request("**/api/image") as request:
        generate(page)
    sent = json.loads(request.value.post_data or "")
    assert (sent["aspectRatio"], sent["imageSize"], sent["model"]) == ("16:9", "2K", "gemini-nano-banana-2.1")


def test_options_that_no_model_supports_are_disabled(page: Page) -> None:
    sign_in(page)
    shape, size, model = (page.get_by_label(name) for name in ("Shape", "Size", "Model"))
    expect(page.locator("#price")).to_contain_text("gemini-3-pro-image: about $0.13")
    shape.select_option("1:8")
    expect(page.locator("#price")).to_contain_text("gemini-nano-banana-2.1: about $0.034")
    expect(model.locator("option:disabled")).to_have_text(["gemini-3-pro-image", "gemini-3.1-flash-lite-image"])
    shape.select_option("")
    model.select_option("gemini-3.1-flash-lite-image")
    expect(size.locator("option:disabled")).to_have_text(["2K", "4K"])
    expect(shape.locator("option:disabled")).to_have_text(["1:4", "4:1", "1:8", "8:1"])


def test_suggestion_is_appended_to_the_written_prompt(page: Page) -> None:
    sign_in(page)
    page.get_by_role("button", name="a pixel art icon").click()
    expect(page.locator("#prompt")).to_have_value("a pixel art icon")
    page.get_by_role("button", name="a pencil sketch").click()
    expect(page.locator("#prompt")).to_have_value("a pencil sketch on white paper")
    page.fill("#prompt", "with a hat")
    page.get_by_role("button", name="a pixel art icon").click()
    expect(page.locator("#prompt")).to_have_value("with a hat, a pixel art icon")


def test_editing_a_result_can_be_undone(page: Page) -> None:
    sign_in(page)
    choose(page, COFFEE)
    generate(page)
    finished(page)
    choose(page, CAT)
    page.fill("#prompt", "what I am just writing")
    page.get_by_role("button", name="Edit this").click()
    expect(page.locator("#inputs .input")).to_have_count(0)
    expect(page.locator("#steps li")).to_have_count(1)
    expect(page.locator("#prompt")).to_have_value("")
    expect(page.locator("#prompt")).to_be_focused()
    page.get_by_role("button", name="Undo").click()
    assert names(page) == ["coffee.jpg", "cat.png"]
    expect(page.locator("#chain")).to_be_hidden()
    expect(page.locator("#prompt")).to_have_value("what I am just writing")


@pytest.fixture
def large_images(tmp_path: Path) -> list[Path]:
    """Write two images that are together larger than one request may be."""
    made = [tmp_path / "a.png", tmp_path / "b.png"]
    for each in made:
        Image.frombytes("RGB", (1700, 1700), os.urandom(1700 * 1700 * 3)).save(each, compress_level=0)
    return made


def test_large_files_are_uploaded_once_although_the_connection_breaks(page: Page, large_images: list[Path]) -> None:
    sign_in(page)
    choose(page, *large_images)
    lost: list[str] = []
    uploaded: list[str] = []

    def lose_the_first(route: Route) -> None:
        if not lost:
            lost.append(route.request.url)
            route.abort("connectionreset")
            return
        uploaded.append(route.request.url)
        route.continue_()

    page.route("**/api/upload", lose_the_first)
    with page.expect_request("**/api/image", timeout=TIMEOUT_MS) as request:
        generate(page)
    assert all(image.startswith("http") for image in json.loads(request.value.post_data or "")["images"])
    finished(page)
    assert len(uploaded) == 2


def test_refused_upload_is_named_by_its_number(page: Page, large_images: list[Path]) -> None:
    sign_in(page)
    choose(page, *large_images)

    def refuse_the_second(route: Route) -> None:
        if b"b.png" in (route.request.post_data_buffer or b"")[:1000]:
            route.fulfill(status=400, json={"error": "No", "code": "invalid_image", "retryable": False})
        else:
            route.continue_()

    page.route("**/api/upload", refuse_the_second)
    generate(page)
    expect(page.locator("#problem")).to_contain_text("It is image 2.", timeout=TIMEOUT_MS)
