"""What a person does on the page, in one word each."""

import base64
import uuid
from pathlib import Path

import requests
from playwright.sync_api import Page, expect

from local.stack import Stack

ROOT = Path(__file__).parent.parent.parent
SAMPLES = ROOT / "local" / "samples"
COFFEE = SAMPLES / "coffee.jpg"
SECONDS = 30_000
"""Milliseconds that a picture may take on a busy machine."""


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
