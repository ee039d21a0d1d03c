"""Latency, CPU time, throughput and memory of `POST /api/image`.

Floor and product take turns, with the same services and the same requests: a PNG of 500 KB in the body or, "by URL", as
an address with only addresses in the answer.

- "alone": one request after another. Latency and CPU time of one request; the fake Gemini answers at once.
- "20 at once": throughput, and CPU time per request, while 20 requests are in flight.
- "300 in flight": the model takes 5 s, so that all requests wait at the same time. Seconds for all, and the growth of
  resident memory per request.

Read the ratios product / floor first: the emulators, which share the machine, are in every absolute value. Figures are
medians of the rounds, which are printed above the table to show how steady the machine is.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields
from statistics import median

from benchmarks import images, load, programs
from benchmarks.process import Peak, cpu_seconds
from benchmarks.programs import Services, Subject
from benchmarks.table import InvalidMeasurement, Pair, Row

USERS = 200
"""Number of users: enough that none reaches the limit of running generations."""
REQUESTS = 100
WARM_UP = 40
AT_ONCE = 20
IN_FLIGHT = 300
LATENCY_SECONDS = 5.0
LARGE_BUDGET = {"MAX_INFLIGHT_BYTES": "900000000"}
"""Enough for 300 requests in flight: their memory is measured, not that a smaller budget refuses some."""

KINDS: dict[str, Callable[[Services], contextlib.AbstractContextManager[Subject]]] = {
    "floor": programs.bare_server,
    "product": programs.product,
    "whole app": programs.whole_app,
}
SUBJECTS = ("floor", "product")


@dataclass(slots=True)
class Figures:
    """The figures of one subject, one entry for each round."""

    alone_ms: list[float] = field(default_factory=list)
    alone_cpu_ms: list[float] = field(default_factory=list)
    per_second: list[float] = field(default_factory=list)
    busy_cpu_ms: list[float] = field(default_factory=list)
    flight_seconds: list[float] = field(default_factory=list)
    flight_mb: list[float] = field(default_factory=list)
    by_url_mb: list[float] = field(default_factory=list)


def body(around: Services, *, by_url: bool) -> bytes:
    """Return a request for a PNG of 500 KB: in the body, or by URL."""
    if by_url:
        return images.request(f"{around.gemini}/image.png", includeBase64=False)
    return images.request(images.data_url(images.noise(images.INPUT_BYTES)))


def run(subject: Subject, around: Services, count: int, at_once: int, *, by_url: bool = False) -> load.Result:
    """Send `count` requests, `at_once` concurrently. Raises InvalidMeasurement if one failed."""
    cookies = [around.cookie(user) for user in range(USERS)]
    result = asyncio.run(load.send(f"{subject.url}/api/image", body(around, by_url=by_url), cookies, count, at_once))
    if result.others:
        raise InvalidMeasurement(f"{subject.name}: {dict(result.others)}")
    return result


def one_by_one(around: Services, subject: Subject, count: int, into: Figures) -> None:
    """Measure `count` requests, one after another."""
    before = cpu_seconds(subject.pid)
    into.alone_ms.append(run(subject, around, count, 1).p50_ms)
    into.alone_cpu_ms.append((cpu_seconds(subject.pid) - before) / count * 1000)


def many_at_once(around: Services, subject: Subject, count: int, into: Figures) -> None:
    """Measure `count` requests, AT_ONCE of them concurrently."""
    before = cpu_seconds(subject.pid)
    into.per_second.append(run(subject, around, count, AT_ONCE).per_second)
    into.busy_cpu_ms.append((cpu_seconds(subject.pid) - before) / count * 1000)


def in_flight(around: Services, subject: Subject, *, by_url: bool) -> tuple[float, float]:
    """Return the seconds for all IN_FLIGHT requests, and the growth of memory per request in MB."""

    async def send_all() -> tuple[load.Result, int]:
        cookies = [around.cookie(user) for user in range(USERS)]
        async with Peak(subject.pid) as peak:
            url = f"{subject.url}/api/image"
            result = await load.send(url, body(around, by_url=by_url), cookies, IN_FLIGHT, IN_FLIGHT, close=True)
        return result, peak.growth

    result, growth = asyncio.run(send_all())
    if result.others:
        raise InvalidMeasurement(f"{subject.name}: {dict(result.others)}")
    return result.total, growth / IN_FLIGHT / 1e6


def measure(rounds: int, count: int) -> dict[str, Figures]:
    """Measure in rounds in which the subjects take turns. For memory, each has a fresh process."""
    found = {kind: Figures() for kind in SUBJECTS}
    with programs.services(settings=LARGE_BUDGET) as around:
        for _ in range(rounds):
            for kind in SUBJECTS:
                with _warm(around, kind) as subject:
                    one_by_one(around, subject, count, found[kind])
                    many_at_once(around, subject, count * 4, found[kind])
        found["whole app"] = Figures()
        with _warm(around, "whole app") as subject:
            many_at_once(around, subject, count * 4, found["whole app"])
        for _ in range(rounds):
            for kind, by_url in ((kind, by_url) for kind in SUBJECTS for by_url in (False, True)):
                with _warm(around, kind) as subject:
                    around.set_latency(LATENCY_SECONDS)
                    seconds, growth = in_flight(around, subject, by_url=by_url)
                    around.set_latency(0)
                if by_url:
                    found[kind].by_url_mb.append(growth)
                else:
                    found[kind].flight_seconds.append(seconds)
                    found[kind].flight_mb.append(growth)
    return found


@contextlib.contextmanager
def _warm(around: Services, kind: str) -> Iterator[Subject]:
    with KINDS[kind](around) as subject:
        run(subject, around, WARM_UP, 4)
        yield subject


def rows(rounds: int) -> list[Row]:
    """Measure, print every round, and return the medians."""
    found = measure(rounds, REQUESTS)
    print("\n".join(format_rounds(found)), flush=True)
    return medians(found)


def medians(found: dict[str, Figures]) -> list[Row]:
    """Return the median of each figure's rounds."""
    floor, product = found["floor"], found["product"]

    def pair(name: str, figure: Callable[[Figures], list[float]], unit: str) -> Pair:
        return Pair(name, median(figure(product)), median(figure(floor)), unit)

    return [
        *pair("alone, p50", lambda each: each.alone_ms, "ms").rows(1.3, 35),
        *pair("CPU, alone", lambda each: each.alone_cpu_ms, "ms").rows(1.5, 25),
        *pair("CPU, 20 at once", lambda each: each.busy_cpu_ms, "ms").rows(1.5, 25),
        Row("CPU, 20 at once: with ledger, queue and recovery", median(found["whole app"].busy_cpu_ms), "ms"),
        *pair("20 at once", lambda each: each.per_second, "/s").rows(0.8, 40, at_least=True),
        *pair("300 in flight, 5 s", lambda each: each.flight_seconds, "s").rows(1.2, 12),
        Row("300 in flight, memory each: floor", median(floor.flight_mb), "MB"),
        Row("300 in flight, memory each: product", median(product.flight_mb), "MB", 1.5),
        Row("300 in flight by URL, memory each: floor", median(floor.by_url_mb), "MB"),
        Row("300 in flight by URL, memory each: product", median(product.by_url_mb), "MB", 0.3),
    ]


def format_rounds(found: dict[str, Figures]) -> Iterator[str]:
    """Return the figures of all rounds, a line for each."""
    for kind, each in found.items():
        for field_of_each in fields(each):
            values: list[float] = getattr(each, field_of_each.name)
            if values:
                yield f"{kind:<9} {field_of_each.name:<15} {'  '.join(f'{value:.2f}' for value in values)}"
