"""The Next.js example, as a front-end team runs it: built, signed in through next-auth itself, generating through its rewrites."""

import base64
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from playwright.sync_api import expect, sync_playwright

from local import config
from local.emulators import free_port, running, wait_for_port
from local.node import find_node, install_packages
from local.show import data_url
from local.stack import Stack, started
from tests.page.conftest import chromium

pytestmark = [pytest.mark.next, pytest.mark.timeout(600)]
ROOT = Path(__file__).parent.parent.parent
EXAMPLE = ROOT / "examples" / "next"
COFFEE = ROOT / "local" / "samples" / "coffee.jpg"


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The app's address, with the local stack's Functions host behind it. Both know the same secret."""
    install_packages(EXAMPLE)
    tools, logs, port = find_node(), tmp_path_factory.mktemp("next"), free_port()
    origin = f"http://localhost:{port}"
    given = {"GEMINI_LATENCY": "6", "NEXTAUTH_URL": origin}
    with started(config.read(config.free_ports(), given), logs) as stack:
        environment = settings(stack, origin)
        next_js = [tools.node, str(EXAMPLE / "node_modules" / "next" / "dist" / "bin" / "next")]
        everything = {**tools.environment(), **environment}
        built = subprocess.run(
            [*next_js, "build"], cwd=EXAMPLE, env=everything, capture_output=True, text=True, check=False
        )
        assert built.returncode == 0, built.stdout + built.stderr
        command = [*next_js, "start", str(EXAMPLE), "--port", str(port), "--hostname", "localhost"]
        with running(command, log=logs / "next.log", environment=environment) as process:
            wait_for_port(port, process, "Next.js", logs / "next.log")
            yield origin


def settings(stack: Stack, origin: str) -> dict[str, str]:
    """What the front end is given: examples/next/README.md has the same table."""
    return {
        "IMAGE_API": f"http://127.0.0.1:{stack.configuration.ports['PORT']}",
        "NEXTAUTH_SECRET": stack.configuration.environment["NEXTAUTH_SECRET"],
        "NEXTAUTH_URL": origin,
        "DEVELOPMENT_SIGN_IN": "yes",
        "NEXT_TELEMETRY_DISABLED": "1",
    }


@pytest.fixture
def session(app: str) -> Iterator[requests.Session]:
    """Signed in through next-auth's own endpoints."""
    with requests.Session() as made:
        token = made.get(f"{app}/api/auth/csrf", timeout=30).json()["csrfToken"]
        form = {"csrfToken": token, "name": "Grace Example", "json": "true"}
        made.post(f"{app}/api/auth/callback/credentials", data=form, timeout=30).raise_for_status()
        assert made.get(f"{app}/api/auth/session", timeout=30).json()["user"]["email"] == "grace.example@example.com"
        yield made


def test_without_a_session_nothing_is_generated(app: str) -> None:
    answer = requests.post(f"{app}/api/image", json={"images": [data_url(COFFEE)], "prompt": "x"}, timeout=30)
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")


def test_a_generation_through_the_rewrite(app: str, session: requests.Session) -> None:
    body = {"images": [data_url(COFFEE)], "prompt": "a watercolor"}
    # As a browser sends it from the app's own page.
    made = session.post(
        f"{app}/api/image", json=body, headers={"Origin": app, "Sec-Fetch-Site": "same-origin"}, timeout=60
    )
    assert made.status_code == 200, made.text
    picture = base64.b64decode(made.json()["imageBase64"].partition(",")[2])
    assert picture.startswith(b"\x89PNG")
    listed = session.get(f"{app}/api/generations", timeout=30).json()["items"]
    assert [item["id"] for item in listed] == [made.json()["id"]]
    shown = session.get(f"{app}/api/images/{made.json()['imageUrl'].rsplit('/', 1)[-1]}", timeout=30)
    assert shown.content == picture
    assert session.get(f"{app}/api/usage", timeout=30).json()["today"]["images"] >= 1
    assert session.delete(f"{app}/api/generations/{made.json()['id']}", timeout=30).status_code == 204
    assert session.get(f"{app}/api/generations", timeout=30).json()["items"] == []


def test_a_large_request_passes_the_rewrite(app: str, session: requests.Session) -> None:
    """14 MB: more than Next.js forwards of a body by itself."""
    noise = b"".join(comment(os.urandom(65_000).replace(b"\xff", b"\x00")) for _ in range(170))
    jpeg = b"\xff\xd8" + noise + COFFEE.read_bytes()[2:]
    image = "data:image/jpeg;base64," + base64.b64encode(jpeg).decode()
    assert len(image) > 14_000_000
    made = session.post(f"{app}/api/image", json={"images": [image], "prompt": "snow"}, timeout=60)
    assert made.status_code == 200, made.text[:300]


def comment(data: bytes) -> bytes:
    """A JPEG segment that says nothing."""
    return b"\xff\xfe" + (len(data) + 2).to_bytes(2, "big") + data


def test_another_sites_page_is_refused(app: str, session: requests.Session) -> None:
    body = {"images": [data_url(COFFEE)], "prompt": "x"}
    headers = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
    answer = session.post(f"{app}/api/image", json=body, headers=headers, timeout=30)
    assert (answer.status_code, answer.json()["code"]) == (403, "cross_site")


def test_a_person_makes_a_picture_in_the_app(app: str) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        page = browser.new_page()
        said: list[str] = []
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(app)
        page.get_by_role("link", name="Sign in").click()
        page.get_by_label("Name").fill("Ada")
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_text("Signed in as Ada.")).to_be_visible(timeout=30_000)
        page.set_input_files("#files", str(COFFEE))
        page.get_by_role("button", name="Generate").click()
        expect(page.get_by_text("s left")).to_be_visible(timeout=30_000)
        expect(page.get_by_role("img", name="The result")).to_be_visible(timeout=60_000)
        page.wait_for_function("document.querySelector('figure img').naturalWidth > 0")
        if "SCREENSHOT_FOLDER" in os.environ:
            page.screenshot(path=f"{os.environ['SCREENSHOT_FOLDER']}/next.png", full_page=True)
        browser.close()
        assert said == []
