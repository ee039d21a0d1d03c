"""The local stack, and a browser with the playground."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from local import config
from local.node import install_packages
from local.stack import Stack, started
from tests.support.chromium import chromium

HERE = Path(__file__).parent
EXPECTED = ("Failed to load resource",)
"""Console messages that are expected: Chromium reports every response that is not 2xx."""


@pytest.fixture(scope="module")
def page_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    given = {"GEMINI_LATENCY": "0.5", "FETCH_ALLOW_HOSTS": "localhost", "DAILY_BUDGET_USD_PER_USER": "50"}
    with started(config.read(config.reserve_ports(), given), tmp_path_factory.mktemp("page-logs")) as running:
        yield running


@pytest.fixture(scope="module")
def browser(page_stack: Stack) -> Iterator[Browser]:
    """Start Chromium, after the stack: the stack must not be started within the event loop of the browser's driver."""
    expect.set_options(timeout=15_000)  # milliseconds: the default of 5 s is too short for a busy machine
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def axe() -> str:
    """Return the source of axe-core."""
    install_packages(HERE)
    return (HERE / "node_modules" / "axe-core" / "axe.min.js").read_text(encoding="utf-8")


@pytest.fixture(params=[1280, 390], ids=["wide", "phone"])
def width(request: pytest.FixtureRequest) -> int:
    """Return the width of the window in pixels."""
    chosen: int = request.param
    return chosen


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    made = browser.new_context(viewport={"width": 1280, "height": 900}, bypass_csp=False)
    made.grant_permissions(["clipboard-read", "clipboard-write"])
    yield made
    made.close()


@pytest.fixture
def page(context: BrowserContext, page_stack: Stack) -> Iterator[Page]:
    """Open the page, signed out. A message on its console fails the test."""
    made = context.new_page()
    messages: list[str] = []
    made.on("console", lambda message: messages.append(f"{message.type}: {message.text}"))
    made.on("pageerror", lambda error: messages.append(str(error)))
    made.goto(page_stack.front)
    yield made
    assert [line for line in messages if not any(expected in line for expected in EXPECTED)] == []
