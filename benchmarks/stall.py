"""The longest stall of the event loop while 20 requests with a 20-megapixel image each are converted.

The product runs in this process, from request to answer, and a task that wakes every 2 ms measures how late it wakes.
Floor: the same task in an idle loop beside two busy processes, which is what the machine's scheduler alone costs. Read
"own work", the longest stretch of the loop's own CPU time, before the stall itself, in which other processes count too.
Goal: 50 ms for both.
"""

import asyncio
import sys
import time
from http import HTTPStatus
from statistics import median

from benchmarks import images, programs
from benchmarks.table import InvalidMeasurement, Row
from image_core.api.http import Request
from image_core.app import Application

REQUESTS = 20
MEGAPIXELS = 20
TICK_SECONDS = 0.002
LARGE_BUDGET = {"MAX_INFLIGHT_BYTES": "2000000000"}
"""Enough for all requests at once: the default refuses some of them."""


class Ticker:
    """Wakes every 2 ms. `longest` is the longest delay, `own` the loop's longest own CPU time between wakes, in s."""

    def __init__(self) -> None:
        self.longest = self.own = 0.0
        self._ticking = asyncio.create_task(self._tick())

    async def _tick(self) -> None:
        while True:
            began, before = time.perf_counter(), time.thread_time()
            await asyncio.sleep(TICK_SECONDS)
            self.longest = max(self.longest, time.perf_counter() - began - TICK_SECONDS)
            self.own = max(self.own, time.thread_time() - before)

    def stop(self) -> "Ticker":
        """Stop waking."""
        self._ticking.cancel()
        return self


async def _busy(seconds: float) -> Ticker:
    """Measure an idle loop beside two busy processes."""
    program = f"import time\nuntil = time.time() + {seconds}\nwhile time.time() < until: pass"
    others = [await asyncio.create_subprocess_exec(sys.executable, "-c", program) for _ in range(2)]
    ticker = Ticker()
    for other in others:
        await other.wait()
    return ticker.stop()


async def _converting(app: Application, around: programs.Services) -> tuple[Ticker, float]:
    """Measure the loop while all requests run; return the seconds that they took as well."""
    large = images.request(images.data_url(images.photograph(MEGAPIXELS), "image/jpeg"))

    async def send(user: int, body: bytes) -> None:
        headers = {"content-type": "application/json", "cookie": around.cookie(user)}
        answer = await app.handle(Request("POST", "image", {}, headers, body))
        if answer.status != HTTPStatus.OK:
            raise InvalidMeasurement(answer.body.decode())

    small = images.request(images.data_url(images.noise(images.INPUT_BYTES)))
    await send(0, small)  # imports and opens everything
    ticker, began = Ticker(), time.perf_counter()
    await asyncio.gather(*(send(user, large) for user in range(1, REQUESTS + 1)))
    took = time.perf_counter() - began
    ticker.stop()
    await app.close()
    return ticker, took


def rows(rounds: int) -> list[Row]:
    """Return the medians of the rounds' longest stalls."""
    idle, busy, own = [], [], []
    with programs.services(settings=LARGE_BUDGET) as around:
        for _ in range(rounds):
            ticker, took = asyncio.run(_converting(Application(around.configuration.environment), around))
            busy.append(ticker.longest * 1000)
            own.append(ticker.own * 1000)
            idle.append(asyncio.run(_busy(took)).longest * 1000)
    return [
        Row("longest stall: floor (idle loop beside two busy processes)", median(idle), "ms"),
        Row("longest stall: 20 requests with 20 megapixels to convert", median(busy), "ms", 50),
        Row("longest stall: of this, the loop's own work", median(own), "ms", 50),
    ]
