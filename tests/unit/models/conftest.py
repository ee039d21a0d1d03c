"""The chain of models over real HTTP, against the stand-in, with a clock whose sleeps are only written down."""

from collections.abc import AsyncIterator

import pytest

from local.gemini.server import Standin
from tests.support.model_chain import Bench, make


@pytest.fixture
async def bench(standin: Standin) -> AsyncIterator[Bench]:
    made = await make(standin)
    yield made
    await made.chain.close()
