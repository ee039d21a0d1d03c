"""The product with its usual settings, for one test."""

from collections.abc import AsyncIterator

import pytest

from local.emulators import AzuritePorts
from tests.support.harness import Harness, harness


@pytest.fixture
async def product(azurite_ports: AzuritePorts, cosmos_url: str) -> AsyncIterator[Harness]:
    async with harness(azurite_ports, cosmos_url) as running:
        yield running
