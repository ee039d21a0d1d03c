"""A browser in front of the whole stack, and a person's first steps in it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from local import config
from local.node import install_packages
from local.stack import Stack, started
from tests.support.chromium import chromium

HERE = Path(__file__).parent
EXPECTED = ("Failed to load resource",)
"""Chromium's own line for every answer that is no 2xx: the tests that mean one say so."""


@pytest.fixture(scope="module")
def page_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    given = {"GEMINI_LATENCY": "0.5", "FETCH_ALLOW_HOSTS": "localhost", "DAILY_BUDGET_USD_PER_USER": "50"}
    with started(config.read(config.reserve_ports(), given), tmp_path_factory.mktemp("page-logs")) as running:
        yield running


@pytest.fixture(scope="module")
def browser(page_stack: Stack) -> Iterator[Browser]:
    """After the stack, which must not be started within the browser driver's event loop."""
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
    """Pixels."""
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
    said: list[str] = []
    made.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
    made.on("pageerror", lambda error: said.append(str(error)))
    made.goto(page_stack.front)
    yield made
    assert [line for line in said if not any(expected in line for expected in EXPECTED)] == []
