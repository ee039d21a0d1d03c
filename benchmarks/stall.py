"""How long the event loop stands still while large images convert: the product's whole way, in this process."""

import asyncio
import sys
import time
from http import HTTPStatus
from statistics import median

from benchmarks import pictures, programs
from benchmarks.table import Row, Worthless
from image_core.api.http import Request
from image_core.app import App

REQUESTS = 20
MEGAPIXELS = 20
TICK_SECONDS = 0.002


class Ticker:
    """Comes back every two milliseconds. In seconds: by how much it was late at most, and at most of the loop's own work."""

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
        self._ticking.cancel()
        return self


async def _busy(seconds: float) -> Ticker:
    """The machine's own part: the longest stall of a loop that does nothing, beside two processes that do."""
    program = f"import time\nuntil = time.time() + {seconds}\nwhile time.time() < until: pass"
    others = [await asyncio.create_subprocess_exec(sys.executable, "-c", program) for _ in range(2)]
    ticker = Ticker()
    for other in others:
        await other.wait()
    return ticker.stop()


async def _converting(app: App, around: programs.Services) -> tuple[Ticker, float]:
    """How late the loop was, and the seconds for all."""
    body = pictures.request(pictures.data_url(pictures.photograph(MEGAPIXELS), "image/jpeg"))

    async def one(user: int, sent: bytes) -> None:
        headers = {"content-type": "application/json", "cookie": around.cookie(user)}
        answer = await app.handle(Request("POST", "image", {}, headers, sent))
        if answer.status != HTTPStatus.OK:
            raise Worthless(answer.body.decode())

    await one(0, pictures.request(pictures.data_url(pictures.noise(pictures.INPUT_BYTES))))  # everything is loaded
    ticker, began = Ticker(), time.perf_counter()
    await asyncio.gather(*(one(user, body) for user in range(1, REQUESTS + 1)))
    took = time.perf_counter() - began
    ticker.stop()
    await app.close()
    return ticker, took


def rows(rounds: int) -> list[Row]:
    """The table's lines: medians of the rounds' longest."""
    idle, busy, own = [], [], []
    with programs.services() as around:
        for _ in range(rounds):
            ticker, took = asyncio.run(_converting(App(around.configuration.environment), around))
            busy.append(ticker.longest * 1000)
            own.append(ticker.own * 1000)
            idle.append(asyncio.run(_busy(took)).longest * 1000)
    return [
        Row("longest stall: an idle loop beside two busy processes", median(idle), "ms"),
        Row("longest stall: 20 requests with 20 megapixels to convert", median(busy), "ms", 50),
        Row("the same: of the loop's own work", median(own), "ms", 50),
    ]
