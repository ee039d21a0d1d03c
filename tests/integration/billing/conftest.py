"""The ledger of the product, with its change feed delivered by the test."""

from collections.abc import AsyncIterator

import pytest

from tests.support.change_feed import Feed, feed
from tests.support.harness import Harness


@pytest.fixture
async def ledger(product: Harness) -> AsyncIterator[Feed]:
    async with feed(product) as running:
        yield running
