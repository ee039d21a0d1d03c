"""The shortest timeout that the service takes is 10 s: what comes too late is given up after it."""

import pytest

from image_core.errors import DeadlineExceeded
from local.gemini.script import Scripted
from local.gemini.server import FakeGemini
from tests.support.model_chain import PRO, make


async def test_response_that_trickles_past_the_deadline_is_given_up() -> None:
    fake_gemini = FakeGemini()
    await fake_gemini.start()
    bench = await make(fake_gemini)
    fake_gemini.script.add(Scripted(trickle=30))
    with pytest.raises(DeadlineExceeded):
        await bench.generate(seconds=10.5)
    assert bench.outcomes == [(PRO, "deadline_exceeded")]
    await bench.chain.close()
    await fake_gemini.stop()
