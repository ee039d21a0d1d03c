"""The chain of models over HTTP, against the fake Gemini, with a clock that only records its sleeps."""

from collections.abc import AsyncIterator

import pytest

from local.gemini.server import FakeGemini
from tests.support.model_chain import ChainRig, make


@pytest.fixture
async def rig(fake_gemini: FakeGemini) -> AsyncIterator[ChainRig]:
    made = await make(fake_gemini)
    yield made
    await made.chain.close()
