"""Send requests, one after another or many at once, and count and time their answers."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from itertools import cycle
from statistics import median

import aiohttp


@dataclass(slots=True)
class Result:
    """The seconds of each request that was answered with 200, the number of others by status, and the total seconds."""

    seconds: list[float] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)
    total: float = 0.0

    @property
    def p50_ms(self) -> float:
        """The median, in milliseconds."""
        return median(self.seconds) * 1000

    @property
    def per_second(self) -> float:
        """Requests answered with 200 per second."""
        return len(self.seconds) / self.total


async def send(
    url: str, body: bytes, cookies: Sequence[str], count: int, at_once: int, *, close: bool = False
) -> Result:
    """Send `count` requests, `at_once` of them concurrently, with the `cookies` in turn.

    `close` closes each connection after its answer: aiohttp's server keeps the last request and response of an idle
    connection, which would be counted as memory of the requests in flight.
    """
    result, users = Result(), cycle(cookies)
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, force_close=close),
        timeout=aiohttp.ClientTimeout(total=180),
        auto_decompress=False,
    ) as http:
        numbers = iter(range(count))
        began = time.perf_counter()
        await asyncio.gather(*(_worker(http, url, body, users, numbers, result) for _ in range(at_once)))
        result.total = time.perf_counter() - began
    return result


async def _worker(
    http: aiohttp.ClientSession, url: str, body: bytes, users: Iterator[str], numbers: Iterator[int], result: Result
) -> None:
    for _ in numbers:
        headers = {"Content-Type": "application/json", "Cookie": next(users)}
        began = time.perf_counter()
        try:
            async with http.post(url, data=body, headers=headers) as answer:
                async for _part in answer.content.iter_any():
                    pass
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            result.others[type(error).__name__] += 1
            continue
        if answer.status == HTTPStatus.OK:
            result.seconds.append(time.perf_counter() - began)
        else:
            result.others[str(answer.status)] += 1
