"""A clock that only a test moves."""

import asyncio
import heapq
import itertools
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from image_core.clock import Clock

T = TypeVar("T")

START = datetime(2026, 11, 25, 12, tzinfo=UTC)
STEPS = 60
"""Turns of the event loop after which every task sleeps or has ended: the fakes need a few for each call."""


class FakeClock:
    """The three clocks of a process, which `advance` and `run` move together."""

    def __init__(self, start: datetime = START) -> None:
        self.clock = Clock(self.now, self.monotonic, self.sleep)
        self._start = start
        self._seconds = 0.0
        self._numbers = itertools.count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def now(self) -> datetime:
        """Return the time of the wall clock."""
        return self._start + timedelta(seconds=self._seconds)

    def monotonic(self) -> float:
        """Return the seconds since the start."""
        return self._seconds

    async def sleep(self, seconds: float) -> None:
        """Wait until the clock has been moved by `seconds`."""
        woken = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._seconds + max(0.0, seconds), next(self._numbers), woken))
        await woken

    async def settle(self) -> None:
        """Run all tasks until they wait for the clock."""
        for _ in range(STEPS):
            await asyncio.sleep(0)

    async def advance(self, seconds: float) -> None:
        """Move the clock, and run every task that wakes on the way."""
        end = self._seconds + seconds
        await self.settle()
        while self._sleepers and self._sleepers[0][0] <= end:
            await self._wake()
        self._seconds = end
        await self.settle()

    async def run(self, work: Coroutine[Any, Any, T], at_most: float = 10_000.0) -> T:
        """Return the result of `work`. The clock moves when everything sleeps, by at most `at_most` seconds in all."""
        end = self._seconds + at_most
        task = asyncio.ensure_future(work)
        try:
            await self.settle()
            while not task.done():
                if not self._sleepers or self._sleepers[0][0] > end:
                    raise AssertionError(
                        f"the work has not ended after {self._seconds:g} s, and nothing wakes before {end:g} s"
                    )
                await self._wake()
            return task.result()
        finally:
            task.cancel()

    async def _wake(self) -> None:
        at, _, woken = heapq.heappop(self._sleepers)
        if not woken.done():
            self._seconds = max(self._seconds, at)
            woken.set_result(None)
            await self.settle()
