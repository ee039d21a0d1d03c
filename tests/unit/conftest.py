"""Unit tests start no emulator: they run in this process, with fakes and servers on loopback."""

from collections.abc import AsyncIterator

import pytest

from local.gemini.server import FakeGemini
from tests.support.harness import SHRINK

STARTS_NOTHING = "a unit test starts no emulator: use a fake, or move the test to tests/integration"


@pytest.fixture(scope="session")
def azurite_ports() -> None:
    """Fail: this replaces the fixture of tests/conftest.py."""
    pytest.fail(STARTS_NOTHING)


@pytest.fixture(scope="session")
def cosmos_url() -> None:
    """Fail: this replaces the fixture of tests/conftest.py."""
    pytest.fail(STARTS_NOTHING)


@pytest.fixture
async def fake_gemini() -> AsyncIterator[FakeGemini]:
    """Serve a fake Gemini on loopback."""
    running = FakeGemini(shrink=SHRINK)
    await running.start()
    yield running
    await running.stop()
