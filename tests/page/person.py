"""The actions of a person on the page, and the check of its accessibility."""

import uuid
from pathlib import Path

import requests
from playwright.sync_api import Page, expect

from local.stack import Stack
from tests.support.paths import ROOT

SAMPLES = ROOT / "local" / "samples"
COFFEE = SAMPLES / "coffee.jpg"
TIMEOUT_MS = 30_000
"""Timeout for a generation in milliseconds, long enough for a busy machine."""


def sign_in(page: Page, name: str | None = None) -> None:
    """Sign in as a new user, or as the user with a name."""
    page.fill("#name", name or f"Person {uuid.uuid4().hex[:10]}")
    page.get_by_role("button", name="Sign in").click()
    expect(page.locator("#workshop")).to_be_visible()


def choose(page: Page, *files: Path) -> None:
    page.set_input_files("#files", [str(file) for file in files])


def generate(page: Page, prompt: str = "a watercolor painting of it") -> None:
    page.fill("#prompt", prompt)
    page.get_by_role("button", name="Generate", exact=True).click()


def finished(page: Page) -> str:
    """Return the URL of the generated image when it is shown."""
    image = page.locator("#result img.after")
    expect(image).to_be_visible(timeout=TIMEOUT_MS)
    expect(image).not_to_have_js_property("naturalWidth", 0)
    return str(image.get_attribute("src"))


def script(stack: Stack, *replies: dict[str, object]) -> None:
    """Script the next answers of the fake Gemini."""
    url = f"http://127.0.0.1:{stack.configuration.ports['GEMINI_PORT']}/__script"
    requests.post(url, json=list(replies), timeout=10).raise_for_status()


def calls(stack: Stack) -> int:
    url = f"http://127.0.0.1:{stack.configuration.ports['GEMINI_PORT']}/__calls"
    return len(requests.get(url, timeout=10).json()["calls"])


def names(page: Page) -> list[str]:
    """Return the names of the inputs, in their order."""
    labels = page.locator("#inputs .remove").evaluate_all("all => all.map((each) => each.getAttribute('aria-label'))")
    return [str(label).partition(": ")[2] for label in labels]


def drop_from_outside(page: Page, onto: str, *files: Path) -> None:
    """Drop files from another program onto an element. The browser opens a file that the page does not accept."""
    page.locator(onto).scroll_into_view_if_needed()
    box = page.locator(onto).bounding_box()
    assert box is not None
    position = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}
    dragged = {"items": [], "files": [str(file) for file in files], "dragOperationsMask": 1}
    browser = page.context.new_cdp_session(page)
    for kind in ("dragEnter", "dragOver", "drop"):
        browser.send("Input.dispatchDragEvent", {"type": kind, "data": dragged, **position})


def assert_accessible(page: Page, axe: str, state: str) -> None:
    """Check that axe-core, whose source is `axe`, finds no violation in the current state of the page."""
    page.evaluate(axe)
    found = page.evaluate("axe.run()")["violations"]
    assert [(each["id"], each["nodes"][0]["html"][:120]) for each in found] == [], state
