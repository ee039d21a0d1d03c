"""The shortest timeout that the service takes is 10 s: what comes too late is given up after it."""

import pytest

from image_core.errors import DeadlineExceeded
from local.gemini.script import Scripted
from local.gemini.server import Standin
from tests.support.model_chain import PRO, make


async def test_response_that_trickles_past_the_deadline_is_given_up() -> None:
    standin = Standin()
    await standin.start()
    bench = await make(standin)
    standin.script.add(Scripted(trickle=30))
    with pytest.raises(DeadlineExceeded):
        await bench.generate(seconds=10.5)
    assert bench.outcomes == [(PRO, "deadline_exceeded")]
    await bench.chain.close()
    await standin.stop()
