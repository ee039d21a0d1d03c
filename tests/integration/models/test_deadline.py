"""A response that exceeds the deadline is abandoned. The shortest timeout that the service accepts is 10 s."""

import pytest

from image_core.errors import DeadlineExceeded
from local.gemini.script import Scripted
from local.gemini.server import FakeGemini
from tests.support.model_chain import PRO, make


async def test_slow_response_is_abandoned_at_the_deadline() -> None:
    fake_gemini = FakeGemini()
    await fake_gemini.start()
    running = await make(fake_gemini)
    fake_gemini.script.add(Scripted(trickle=30))
    with pytest.raises(DeadlineExceeded):
        await running.generate(seconds=10.5)
    assert running.outcomes == [(PRO, "deadline_exceeded")]
    await running.chain.close()
    await fake_gemini.stop()
