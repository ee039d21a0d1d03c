"""The local stack, started once for all tests of this folder, on free ports."""

from collections.abc import Iterator

import pytest

from local import config
from local.stack import Stack, started


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    given = {"GEMINI_LATENCY": "0.2", "FETCH_ALLOW_HOSTS": "localhost"}
    logs = tmp_path_factory.mktemp("logs")
    with started(config.read(config.reserve_ports(), given), logs) as running:
        yield running
