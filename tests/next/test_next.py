"""The Next.js example, built and with a next-auth session, generates images through its rewrites.

Its configuration is that of docs/clients.md. The app also has the route files of the original front end.
"""

import base64
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
import requests
from azure.storage.blob import BlobServiceClient
from playwright.sync_api import expect, sync_playwright

from image_core.auth.user import User
from image_core.storage.images import UNKEYED_USER, unkeyed_digest
from local import config
from local.node import find_node, install_packages
from local.processes import reserve_port, running, wait_for_port
from local.show import data_url
from local.stack import Stack, started
from tests.support.chromium import chromium
from tests.support.documents import next_configuration
from tests.support.original_front_end import OriginalFrontEnd
from tests.support.paths import ROOT

pytestmark = pytest.mark.timeout(600)
EXAMPLE = ROOT / "examples" / "next"
COFFEE = ROOT / "local" / "samples" / "coffee.jpg"
MASK = ROOT / "local" / "samples" / "coffee-mask.png"


OWN_ROUTE = 'export async function POST() { return Response.json({ error: "an own route" }, { status: 418 }); }\n'


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy the example with the configuration of docs/clients.md and with the app's own route files under /api."""
    install_packages(EXAMPLE)
    copy = tmp_path_factory.mktemp("project") / "examples"
    shutil.copytree(EXAMPLE.parent / "client", copy / "client", ignore=shutil.ignore_patterns("node_modules"))
    shutil.copytree(
        EXAMPLE, copy / "next", copy_function=_linked, symlinks=True, ignore=shutil.ignore_patterns(".next")
    )
    (copy / "next" / "image-api.config.mjs").unlink()
    (copy / "next" / "image-api.config.mjs").write_text(next_configuration())
    for route in ("image", "upload"):
        (copy / "next" / "app" / "api" / route).mkdir(parents=True)
        (copy / "next" / "app" / "api" / route / "route.ts").write_text(OWN_ROUTE)
    return copy / "next"


def _linked(source: str, target: str) -> None:
    """Make a hard link, because node_modules has 300 MB, or a copy if that is impossible."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Start the local stack, whose front end is the Next.js app."""
    given = {"GEMINI_LATENCY": "6", "NEXTAUTH_URL": f"http://localhost:{reserve_port()}"}
    with started(config.read(config.reserve_ports(), given), tmp_path_factory.mktemp("next")) as running_stack:
        yield running_stack


@pytest.fixture(scope="module")
def app(project: Path, stack: Stack) -> Iterator[str]:
    """Start the app before the local stack's Functions host, with the same secret, and return its address."""
    tools, log = find_node(), stack.logs / "next.log"
    origin = stack.configuration.environment["NEXTAUTH_URL"]
    environment = settings(stack, origin)
    next_js = [tools.node, str(project / "node_modules" / "next" / "dist" / "bin" / "next")]
    build_environment = {**tools.environment(), **environment}
    built = subprocess.run(
        [*next_js, "build"], cwd=project, env=build_environment, capture_output=True, text=True, check=False
    )
    assert built.returncode == 0, built.stdout + built.stderr
    port = int(origin.rsplit(":", 1)[-1])
    command = [*next_js, "start", str(project), "--port", str(port), "--hostname", "localhost"]
    with running(command, log=log, environment=environment) as process:
        wait_for_port(port, process, "Next.js", log)
        yield origin


def settings(stack: Stack, origin: str) -> dict[str, str]:
    """Return the front end's settings. examples/next/README.md has the same table."""
    return {
        "IMAGE_API": f"http://127.0.0.1:{stack.configuration.ports['PORT']}",
        "NEXTAUTH_SECRET": stack.configuration.environment["NEXTAUTH_SECRET"],
        "NEXTAUTH_URL": origin,
        "DEVELOPMENT_SIGN_IN": "yes",
        "NEXT_TELEMETRY_DISABLED": "1",
    }


@pytest.fixture
def session(app: str) -> Iterator[requests.Session]:
    """Sign in through next-auth's endpoints."""
    with requests.Session() as made:
        token = made.get(f"{app}/api/auth/csrf", timeout=30).json()["csrfToken"]
        form = {"csrfToken": token, "name": "Grace Example", "json": "true"}
        made.post(f"{app}/api/auth/callback/credentials", data=form, timeout=30).raise_for_status()
        assert made.get(f"{app}/api/auth/session", timeout=30).json()["user"]["email"] == "grace.example@example.com"
        yield made


def test_request_without_a_session_is_401(app: str) -> None:
    answer = requests.post(f"{app}/api/image", json={"images": [data_url(COFFEE)], "prompt": "x"}, timeout=30)
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")


def test_image_is_generated_through_the_rewrite(app: str, session: requests.Session) -> None:
    body = {"images": [data_url(COFFEE)], "prompt": "a watercolor"}
    # The headers that a browser sends from a page of the app.
    made = session.post(
        f"{app}/api/image", json=body, headers={"Origin": app, "Sec-Fetch-Site": "same-origin"}, timeout=60
    )
    assert made.status_code == 200, made.text
    image = base64.b64decode(made.json()["imageBase64"].partition(",")[2])
    assert image.startswith(b"\x89PNG")
    listed = session.get(f"{app}/api/generations", timeout=30).json()["items"]
    assert [item["id"] for item in listed] == [made.json()["id"]]
    shown = session.get(f"{app}/api/images/{made.json()['imageUrl'].rsplit('/', 1)[-1]}", timeout=30)
    assert shown.content == image
    assert session.get(f"{app}/api/usage", timeout=30).json()["today"]["images"] >= 1
    assert session.delete(f"{app}/api/generations/{made.json()['id']}", timeout=30).status_code == 204
    assert session.get(f"{app}/api/generations", timeout=30).json()["items"] == []


def calls(stack: Stack, prompt: str) -> int:
    """Return the number of model calls with this prompt."""
    found = requests.get(f"{gemini(stack)}/__calls", timeout=10).json()["calls"]
    return sum(call["prompt"] == prompt for call in found)


def gemini(stack: Stack) -> str:
    return f"http://127.0.0.1:{stack.configuration.ports['GEMINI_PORT']}"


def replayed(stack: Stack, prompt: str) -> list[int]:
    """Return the number of replayed turns of each model call with this prompt."""
    found = requests.get(f"{gemini(stack)}/__calls", timeout=10).json()["calls"]
    return [call["turns"] for call in found if call["prompt"] == prompt]


def delay_next_call(stack: Stack, seconds: float) -> None:
    assert requests.post(f"{gemini(stack)}/__script", json=[{"delay": seconds}], timeout=10).status_code == 200


def test_image_that_takes_longer_than_the_default_limit_of_next_js_is_shown_and_paid_once(
    app: str, stack: Stack, session: requests.Session
) -> None:
    """Takes 31 s: the default limit of Next.js is 30 s, and ends a rewrite unless `proxyTimeout` is set."""
    page = OriginalFrontEnd(app, session)
    delay_next_call(stack, 31)
    assert page.shown(page.generate("after 31 seconds")).startswith(b"\x89PNG")
    assert calls(stack, "after 31 seconds") == 1


def test_image_url_of_a_202_works_through_the_rewrite(app: str, stack: Stack, session: requests.Session) -> None:
    accepted = session.post(
        f"{app}/api/image",
        json={"images": [data_url(COFFEE)], "prompt": "later"},
        headers={"Origin": app, "Prefer": "wait=1"},
        timeout=30,
    )
    assert accepted.status_code == 202
    page = OriginalFrontEnd(app, session)
    assert page.shown(accepted.json()["imageUrl"]).startswith(b"\x89PNG")
    assert calls(stack, "later") == 1


def test_uploads_and_names_with_special_characters_pass_the_rewrite(
    app: str, stack: Stack, session: requests.Session
) -> None:
    page = OriginalFrontEnd(app, session)
    uploaded = page.upload()
    assert page.shown(f"/api/images/{uploaded.rsplit('/', 1)[-1]}") == COFFEE.read_bytes()
    connection = stack.configuration.environment["AZURE_STORAGE_CONNECTION_STRING"]
    name = "1704067200000-100% a#b?c&d.jpg"
    with BlobServiceClient.from_connection_string(connection) as storage:
        proof_of = {UNKEYED_USER: unkeyed_digest(User("grace.example@example.com"), name)}
        storage.get_blob_client("catafract", name).upload_blob(COFFEE.read_bytes(), metadata=proof_of)
    assert page.shown(f"/api/images/{quote(name, safe='')}") == COFFEE.read_bytes()


def test_large_request_passes_the_rewrite(app: str, session: requests.Session) -> None:
    """By default, Next.js forwards 10 MB of a body."""
    noise = b"".join(comment(os.urandom(65_000).replace(b"\xff", b"\x00")) for _ in range(170))
    jpeg = b"\xff\xd8" + noise + COFFEE.read_bytes()[2:]
    image = "data:image/jpeg;base64," + base64.b64encode(jpeg).decode()
    assert len(image) > 14_000_000
    made = session.post(f"{app}/api/image", json={"images": [image], "prompt": "snow"}, timeout=60)
    assert made.status_code == 200, made.text[:300]


def comment(data: bytes) -> bytes:
    """Return a JPEG comment segment."""
    return b"\xff\xfe" + (len(data) + 2).to_bytes(2, "big") + data


def test_cross_site_request_is_refused(app: str, session: requests.Session) -> None:
    body = {"images": [data_url(COFFEE)], "prompt": "x"}
    headers = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
    answer = session.post(f"{app}/api/image", json=body, headers=headers, timeout=30)
    assert (answer.status_code, answer.json()["code"]) == (403, "cross_site")


def test_image_is_generated_and_edited_in_the_browser(app: str, stack: Stack) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        page = browser.new_page()
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
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
        page.get_by_role("button", name="Edit this").click()
        page.get_by_label("What should they become?").fill("now at sunset")
        page.get_by_role("button", name="Generate").click()
        expect(page.get_by_text("s left")).to_be_visible(timeout=30_000)
        expect(page.get_by_role("img", name="The result", exact=True)).to_be_visible(timeout=60_000)
        page.wait_for_function("document.querySelector('figure img').naturalWidth > 0")
        if "SCREENSHOT_FOLDER" in os.environ:
            page.screenshot(path=f"{os.environ['SCREENSHOT_FOLDER']}/next.png", full_page=True)
        page.get_by_role("button", name="Start from images").click()
        page.set_input_files("#files", str(COFFEE))
        page.set_input_files("#mask", str(MASK))
        page.get_by_label("What should they become?").fill("the cup in blue")
        page.get_by_role("button", name="Generate").click()
        expect(page.get_by_text("s left")).to_be_visible(timeout=30_000)
        expect(page.get_by_role("img", name="The result", exact=True)).to_be_visible(timeout=60_000)
        (newest, *_) = page.request.get(f"{app}/api/generations").json()["items"]
        masked = page.request.get(f"{app}/api/generations/{newest['id']}").json()
        browser.close()
        assert errors == []
    assert replayed(stack, "now at sunset") == [1]
    assert masked["prompt"] == "the cup in blue"
    assert masked["mask"]["crop"]["width"] > 0
