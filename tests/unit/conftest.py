"""Unit tests start no emulator: they run in this process, with fakes and servers on loopback."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import certifi
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


@pytest.fixture(scope="session", autouse=True)
def _fast_sdks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Set variables of the SDKs: a Gemini client reads all certificates, which takes 10 ms, and Cosmos pauses."""
    end = "-----END CERTIFICATE-----\n"
    first = Path(certifi.where()).read_text(encoding="utf-8").partition(end)[0] + end
    file = tmp_path_factory.mktemp("certificates") / "one.pem"
    file.write_text(first, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(file))
        patch.setenv("AZURE_COSMOS_HEALTH_CHECK_RETRY_AFTER_MS", "1")  # between its attempts to connect
        yield


@pytest.fixture
async def fake_gemini() -> AsyncIterator[FakeGemini]:
    """Serve a fake Gemini on loopback."""
    running = FakeGemini(shrink=SHRINK)
    await running.start()
    yield running
    await running.stop()
