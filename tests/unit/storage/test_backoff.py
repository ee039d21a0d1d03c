"""The pauses between attempts at a storage operation."""

from random import Random

import pytest

from image_core.clock import Clock
from image_core.errors import StorageUnavailable
from image_core.storage.backoff import LONGEST_PAUSE_SECONDS, TRIES, Backoff


async def test_pauses_grow_from_zero_and_end_with_an_outage() -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    class Longest(Random):
        def uniform(self, a: float, b: float) -> float:
            return b

    tries = Backoff(Clock(sleep=sleep), Longest()).start()
    await tries.pause()
    assert slept == []
    for _ in range(TRIES - 2):
        await tries.pause()
    assert slept == sorted(slept)
    assert slept[0] < 0.5
    assert slept[-1] == LONGEST_PAUSE_SECONDS
    with pytest.raises(StorageUnavailable):
        await tries.pause()


async def test_each_operation_has_its_own_attempts() -> None:
    backoff = Backoff(Clock(), Random(1))
    for _ in range(TRIES * 2):
        await backoff.start().pause()
