"""Masks in the playground: marked with the mouse, by touch, with a pen and with the keyboard."""

import base64
import io
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageChops, ImageOps
from playwright.sync_api import Browser, Page, Request, Route, expect

from local.stack import Stack
from tests.page.person import (
    COFFEE,
    SAMPLES,
    TIMEOUT_MS,
    assert_accessible,
    choose,
    finished,
    generate,
    script,
    sign_in,
)
from tests.support.paths import ROOT

pytestmark = pytest.mark.timeout(180)
MAX_SIDE = 1024
"""Maximum length of the longer side of a mask that the page sends, in pixels."""


@pytest.fixture
def rotated(tmp_path: Path) -> Path:
    """Write a photograph that is shown as 2400 x 3600 pixels and stored rotated, as phones do."""
    stored = Image.open(COFFEE).convert("RGB").resize((3600, 2400))
    exif = Image.Exif()
    exif[0x0112] = 6
    stored.save(tmp_path / "rotated.jpg", exif=exif, quality=80)
    return tmp_path / "rotated.jpg"


@pytest.fixture
def phone(browser: Browser, page_stack: Stack) -> Iterator[Page]:
    """Open the page on a touch screen, 390 pixels wide."""
    context = browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    page = context.new_page()
    page.goto(page_stack.front)
    yield page
    context.close()


def open_editor(page: Page) -> None:
    page.locator("#mark").click()
    expect(page.locator("#mask-canvas")).to_be_visible()


def at(page: Page, x: float, y: float) -> tuple[float, float]:
    """Return the position on the screen of a point of the image, given in fractions of its sides."""
    box = page.locator("#mask-canvas").bounding_box()
    assert box is not None
    return box["x"] + x * box["width"], box["y"] + y * box["height"]


def drag(page: Page, *points: tuple[float, float]) -> None:
    """Paint with the mouse through points of the image."""
    page.mouse.move(*at(page, *points[0]))
    page.mouse.down()
    for point in points[1:]:
        page.mouse.move(*at(page, *point), steps=5)
    page.mouse.up()


def touch(page: Page, *points: tuple[float, float]) -> None:
    """Paint with a finger."""
    fingers = page.context.new_cdp_session(page)
    kind = "touchStart"
    for point in points:
        x, y = at(page, *point)
        fingers.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x, "y": y}]})
        kind = "touchMove"
    fingers.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


def marked(page: Page, x: float, y: float) -> bool:
    """Whether a point of the image is marked on the screen."""
    alpha: int = page.evaluate(
        """([x, y]) => {
            const canvas = document.querySelector("#mask-canvas");
            const pixel = Object.assign(document.createElement("canvas"), { width: 1, height: 1 }).getContext("2d");
            pixel.drawImage(canvas, x * canvas.width, y * canvas.height, 1, 1, 0, 0, 1, 1);
            return pixel.getImageData(0, 0, 1, 1).data[3];
        }""",
        [x, y],
    )
    return alpha > 127


def done(page: Page) -> None:
    page.get_by_role("button", name="Done").click()
    expect(page.locator("#mask")).to_be_hidden()


def generated(page: Page, prompt: str = "in blue") -> tuple[dict[str, Any], Image.Image]:
    """Generate and return the request's body and the downloaded image."""

    def paid(request: Request) -> bool:
        return request.url.endswith("/api/image") and "dryRun" not in (request.post_data or "")

    with page.expect_request(paid, timeout=TIMEOUT_MS) as request:
        generate(page, prompt)
    body: dict[str, Any] = json.loads(request.value.post_data or "")
    expect(page.locator("#result img.after")).to_have_attribute("alt", f"Result: {prompt}", timeout=TIMEOUT_MS)
    finished(page)
    with page.expect_download() as downloading:
        page.locator("#result").get_by_role("link", name="Download").click()
    return body, Image.open(Path(downloading.value.path())).convert("RGB")


def image_of(body: dict[str, Any]) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(body["mask"].partition(",")[2]))).convert("L")


def scaled(mask: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Return the pixels whose nearest mask pixel is marked. Halfway between two, either may be."""
    kept = mask.point(lambda value: 255 if value > 127 else 0)
    one = kept.resize(size, Image.Resampling.NEAREST)
    other = ImageOps.flip(ImageOps.mirror(ImageOps.flip(ImageOps.mirror(kept)).resize(size, Image.Resampling.NEAREST)))
    return ImageChops.lighter(one, other)


def assert_only_the_mask_changed(before: Image.Image, after: Image.Image, mask: Image.Image) -> None:
    assert after.size == before.size
    edited = scaled(mask, before.size)
    difference = ImageChops.difference(before, after)
    outside = Image.composite(Image.new("RGB", before.size), difference, edited)
    assert outside.getbbox() is None, "no pixel changes outside the mask"
    inside = Image.composite(difference, Image.new("RGB", before.size), edited)
    assert inside.getbbox() is not None, "pixels change inside the mask"


def screenshot(page: Page, name: str) -> None:
    if "SCREENSHOT_FOLDER" in os.environ:
        page.screenshot(path=f"{os.environ['SCREENSHOT_FOLDER']}/{name}.png")


def upright(path: Path) -> Image.Image:
    return ImageOps.exif_transpose(Image.open(path)).convert("RGB")


def test_only_the_part_painted_with_the_mouse_changes(page: Page) -> None:
    sign_in(page)
    choose(page, COFFEE)
    open_editor(page)
    drag(page, (0.3, 0.3), (0.6, 0.3), (0.6, 0.6))
    assert marked(page, 0.45, 0.3)
    assert marked(page, 0.6, 0.5)
    assert not marked(page, 0.2, 0.8)
    screenshot(page, "mask-wide")
    done(page)
    expect(page.locator("#mask-preview canvas")).to_be_visible()
    expect(page.get_by_label("Shape")).to_be_disabled()
    body, result = generated(page)
    assert "aspectRatio" not in body
    assert_only_the_mask_changed(upright(COFFEE), result, image_of(body))
    page.locator("#split").fill("50")
    screenshot(page, "masked-wide")


def test_mask_fits_a_rotated_photograph_that_is_larger_than_the_canvas(page: Page, rotated: Path) -> None:
    sign_in(page)
    choose(page, rotated)
    open_editor(page)
    size = page.locator("#mask-canvas").evaluate("canvas => [canvas.width, canvas.height]")
    assert size == [round(MAX_SIDE * 2 / 3), MAX_SIDE]
    drag(page, (0.2, 0.1), (0.8, 0.15))
    done(page)
    body, result = generated(page)
    mask = image_of(body)
    assert mask.getpixel((mask.width // 2, round(mask.height * 0.125))) == 255
    assert mask.getpixel((mask.width // 2, mask.height // 2)) == 0
    assert_only_the_mask_changed(upright(rotated), result, mask)


def test_part_is_marked_by_touch_on_a_phone(phone: Page, axe: str) -> None:
    sign_in(phone)
    choose(phone, COFFEE)
    open_editor(phone)
    touch(phone, (0.2, 0.5), (0.4, 0.5), (0.7, 0.5))
    assert marked(phone, 0.5, 0.5)
    screenshot(phone, "mask-phone")
    assert_accessible(phone, axe, "the editor on a phone")
    phone.get_by_text("Rectangle", exact=True).tap()
    touch(phone, (0.1, 0.7), (0.3, 0.8), (0.4, 0.95))
    assert marked(phone, 0.35, 0.9)
    assert phone.locator("#mask").evaluate("each => each.scrollWidth <= each.clientWidth")
    done(phone)
    assert phone.evaluate("document.documentElement.scrollWidth") <= 390
    body, result = generated(phone)
    assert_only_the_mask_changed(upright(COFFEE), result, image_of(body))
    phone.locator("#mask-row").scroll_into_view_if_needed()
    screenshot(phone, "masked-phone")


def test_pen_paints(page: Page) -> None:
    sign_in(page)
    choose(page, COFFEE)
    open_editor(page)
    pen = page.context.new_cdp_session(page)
    for kind, point in (("mousePressed", (0.2, 0.5)), ("mouseMoved", (0.8, 0.5)), ("mouseReleased", (0.8, 0.5))):
        x, y = at(page, *point)
        held = {"button": "left", "buttons": 1, "clickCount": 1, "pointerType": "pen"}
        pen.send("Input.dispatchMouseEvent", {"type": kind, "x": x, "y": y, **held})
    assert marked(page, 0.5, 0.5)


def test_rectangle_is_marked_with_the_keyboard_and_announced(page: Page) -> None:
    sign_in(page)
    choose(page, COFFEE)
    page.locator("#mark").press("Enter")
    expect(page.locator("#mask-canvas")).to_be_visible()
    for _ in range(12):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "mask-canvas":
            break
    expect(page.locator("#mask-frame")).to_be_visible()
    announced = page.locator("#mask [role=status]")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowUp")
    expect(announced).to_have_text("Rectangle 27 % from the left, 23 % from the top, 50 % wide, 50 % high")
    for _ in range(10):
        page.keyboard.press("Shift+ArrowLeft")
    page.keyboard.press("Shift+ArrowDown")
    expect(announced).to_have_text("Rectangle 27 % from the left, 23 % from the top, 30 % wide, 52 % high")
    page.keyboard.press("Enter")
    expect(announced).to_contain_text("Marked: rectangle 27 % from the left")
    assert marked(page, 0.3, 0.3)
    assert not marked(page, 0.6, 0.3)
    page.keyboard.press("Control+z")
    expect(announced).to_have_text("Undone: nothing is marked")
    assert not marked(page, 0.3, 0.3)
    page.keyboard.press("Enter")
    page.keyboard.press("Escape")
    expect(page.locator("#mark")).to_be_focused()
    expect(page.locator("#live")).to_have_text("Only the marked part is edited")
    body, result = generated(page)
    mask = image_of(body)
    left, top, right, bottom = mask.getbbox() or (0, 0, 0, 0)
    expected = (0.27 * mask.width, 0.23 * mask.height, 0.57 * mask.width, 0.75 * mask.height)
    assert (left, top, right, bottom) == pytest.approx(expected, abs=1)
    assert_only_the_mask_changed(upright(COFFEE), result, mask)


def test_frame_stays_within_the_image(page: Page) -> None:
    sign_in(page)
    choose(page, COFFEE)
    open_editor(page)
    page.locator("#mask-canvas").focus()
    for _ in range(20):
        page.keyboard.press("ArrowRight")
    for _ in range(60):
        page.keyboard.press("Shift+ArrowRight")
        page.keyboard.press("Shift+ArrowUp")
    announced = page.locator("#mask [role=status]")
    expect(announced).to_have_text("Rectangle 50 % from the left, 25 % from the top, 50 % wide, 2 % high")


def test_eraser_undo_and_clear(page: Page) -> None:
    sign_in(page)
    choose(page, COFFEE)
    open_editor(page)
    drag(page, (0.2, 0.5), (0.8, 0.5))
    page.get_by_label("Eraser").check()
    page.get_by_label("Brush width").fill("20")
    drag(page, (0.5, 0.4), (0.5, 0.6))
    assert [marked(page, x, 0.5) for x in (0.25, 0.5, 0.75)] == [True, False, True]
    undo, clear = page.get_by_role("button", name="Undo"), page.get_by_role("button", name="Clear")
    undo.click()
    assert marked(page, 0.5, 0.5)
    clear.click()
    assert not marked(page, 0.25, 0.5)
    undo.click()
    assert marked(page, 0.25, 0.5), "clearing can be undone"
    clear.click()
    done(page)
    expect(page.locator("#live")).to_have_text("Nothing is marked: the whole image is edited")
    expect(page.locator("#mask-preview")).to_be_hidden()
    expect(page.get_by_label("Shape")).to_be_enabled()
    body, _ = generated(page)
    assert "mask" not in body


def test_mask_stays_with_its_image_and_that_of_the_first_image_is_sent(page: Page) -> None:
    sign_in(page)
    choose(page, COFFEE, SAMPLES / "cat.png")
    open_editor(page)
    drag(page, (0.4, 0.4), (0.6, 0.6))
    done(page)
    page.get_by_role("button", name="Later: coffee.jpg").click()
    expect(page.locator("#mark")).to_have_text("Edit only a part")
    expect(page.locator("#mask-preview")).to_be_hidden()
    page.get_by_role("button", name="Earlier: coffee.jpg").click()
    expect(page.locator("#mark")).to_have_text("Change the marked part")
    open_editor(page)
    assert marked(page, 0.5, 0.5)
    done(page)
    page.get_by_role("button", name="Edit all of it").click()
    expect(page.locator("#mask-preview")).to_be_hidden()
    expect(page.locator("#mark")).to_be_focused()


def test_part_of_an_earlier_image_is_edited(page: Page) -> None:
    sign_in(page)
    choose(page, COFFEE)
    _, before = generated(page, "snow")
    page.locator("#result").get_by_role("button", name="Edit this").click()
    expect(page.locator("#steps li")).to_have_count(1)
    open_editor(page)
    drag(page, (0.3, 0.3), (0.5, 0.5))
    done(page)
    expect(page.locator("#estimate")).to_contain_text("pixels of the image", timeout=TIMEOUT_MS)
    body, after = generated(page, "rain")
    assert body["from"].startswith("gen-")
    assert_only_the_mask_changed(before, after, image_of(body))
    expect(page.locator("#result .facts")).not_to_contain_text("mask_not_applied")


def test_shift_of_the_surroundings_is_explained(page: Page, page_stack: Stack) -> None:
    sign_in(page)
    choose(page, COFFEE)
    open_editor(page)
    drag(page, (0.4, 0.4), (0.6, 0.6))
    done(page)
    script(page_stack, {"shift": [260, 180]})
    generated(page)
    expect(page.locator("#result .facts")).to_contain_text("a seam may be visible")


def test_refused_mask_is_reported(page: Page) -> None:
    sign_in(page)
    choose(page, COFFEE)
    open_editor(page)
    drag(page, (0.4, 0.4), (0.6, 0.6))
    done(page)

    def narrowed(route: Route) -> None:
        body = json.loads(route.request.post_data or "")
        kept = io.BytesIO()
        image_of(body).crop((0, 0, 50, 300)).save(kept, "PNG")
        body["mask"] = "data:image/png;base64," + base64.b64encode(kept.getvalue()).decode()
        route.continue_(post_data=json.dumps(body))

    page.route("**/api/image", narrowed)
    generate(page)
    expect(page.locator("#problem")).to_contain_text("The mask cannot be used", timeout=TIMEOUT_MS)
    expect(page.locator("#problem")).to_contain_text("It is the mask.")


def test_image_that_the_browser_cannot_show_cannot_be_marked(page: Page) -> None:
    sign_in(page)
    choose(page, next((ROOT / "tests" / "fixtures" / "images" / "unusual").glob("*.heic")))
    page.locator("#mark").click()
    expect(page.locator("#mask-problem")).to_contain_text("This browser cannot show the image")
    done(page)
    page.get_by_role("button", name="Remove: ").click()
    page.fill("#url", "https://example.com/cat.png")
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.locator("#mark")).to_be_disabled()
    expect(page.locator("#mask-hint")).to_contain_text("choose the file")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_editor_has_no_accessibility_violation(page: Page, axe: str, scheme: str, width: int) -> None:
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    page.set_viewport_size({"width": width, "height": 900})
    sign_in(page)
    choose(page, COFFEE)
    open_editor(page)
    drag(page, (0.4, 0.4), (0.6, 0.6))
    page.locator("#mask-canvas").press("ArrowRight")
    assert_accessible(page, axe, "the editor of the mask")
    screenshot(page, f"editor-{scheme}-{width}")
    done(page)
    assert_accessible(page, axe, "the form with a mask")
