"""What one request costs: floor and product in turns, over the same services, with the same requests."""

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from statistics import median

from benchmarks import load, pictures, programs
from benchmarks.process import Peak, cpu_seconds
from benchmarks.programs import Services, Subject
from benchmarks.table import Row, Worthless, ratio

USERS = 200
"""So many that nobody's limit of running generations is met."""
WARM_UP = 40
AT_ONCE = 20
IN_FLIGHT = 300
LATENCY_SECONDS = 5.0
LARGE_BUDGET = {"MAX_INFLIGHT_BYTES": "900000000"}
"""What 300 requests in flight hold is measured here; that a smaller budget refuses some of them is not."""

KINDS: dict[str, Callable[[Services], contextlib.AbstractContextManager[Subject]]] = {
    "floor": programs.floor,
    "product": programs.product,
    "whole": programs.whole,
}
SUBJECTS = ("floor", "product")


@dataclass(slots=True)
class Figures:
    """Of one subject, one entry for each round."""

    alone_ms: list[float] = field(default_factory=list)
    alone_cpu_ms: list[float] = field(default_factory=list)
    per_second: list[float] = field(default_factory=list)
    busy_cpu_ms: list[float] = field(default_factory=list)
    flight_seconds: list[float] = field(default_factory=list)
    flight_mb: list[float] = field(default_factory=list)
    light_mb: list[float] = field(default_factory=list)


def body(around: Services, *, light: bool) -> bytes:
    """A 500 KB PNG: in the request, or `light`: an address, and nothing but addresses come back."""
    if light:
        return pictures.request(f"{around.model}/picture.png", includeBase64=False)
    return pictures.request(pictures.data_url(pictures.noise(pictures.INPUT_BYTES)))


def run(subject: Subject, around: Services, count: int, at_once: int, *, light: bool = False) -> load.Outcome:
    """Raises Worthless where a request failed."""
    cookies = [around.cookie(user) for user in range(USERS)]
    outcome = asyncio.run(load.send(f"{subject.url}/api/image", body(around, light=light), cookies, count, at_once))
    if outcome.others:
        raise Worthless(f"{subject.name}: {dict(outcome.others)}")
    return outcome


def one_by_one(around: Services, subject: Subject, count: int, into: Figures) -> None:
    before = cpu_seconds(subject.pid)
    into.alone_ms.append(run(subject, around, count, 1).p50_ms)
    into.alone_cpu_ms.append((cpu_seconds(subject.pid) - before) / count * 1000)


def many_at_once(around: Services, subject: Subject, count: int, into: Figures) -> None:
    before = cpu_seconds(subject.pid)
    into.per_second.append(run(subject, around, count, AT_ONCE).per_second)
    into.busy_cpu_ms.append((cpu_seconds(subject.pid) - before) / count * 1000)


def in_flight(around: Services, subject: Subject, *, light: bool) -> tuple[float, float]:
    """Seconds for all, and the growth of memory for each, in MB."""

    async def peaked() -> tuple[load.Outcome, int]:
        cookies = [around.cookie(user) for user in range(USERS)]
        async with Peak(subject.pid) as peak:
            url = f"{subject.url}/api/image"
            outcome = await load.send(url, body(around, light=light), cookies, IN_FLIGHT, IN_FLIGHT, close=True)
        return outcome, peak.growth

    outcome, growth = asyncio.run(peaked())
    if outcome.others:
        raise Worthless(f"{subject.name}: {dict(outcome.others)}")
    return outcome.total, growth / IN_FLIGHT / 1e6


def figures(rounds: int, count: int, *, flights: bool = True, kinds: tuple[str, ...] = SUBJECTS) -> dict[str, Figures]:
    """Rounds in which the subjects take turns; for memory each has a process that has done little before."""
    found = {kind: Figures() for kind in kinds}
    with programs.services(settings=LARGE_BUDGET) as around:
        for _ in range(rounds):
            for kind in kinds:
                with _warm(around, kind) as subject:
                    one_by_one(around, subject, count, found[kind])
                    many_at_once(around, subject, count * 4, found[kind])
        found["whole"] = Figures()
        with _warm(around, "whole") as subject:
            many_at_once(around, subject, count * 4, found["whole"])
        for _ in range(rounds if flights else 0):
            for kind, light in ((kind, light) for kind in kinds for light in (False, True)):
                with _warm(around, kind) as subject:
                    around.set_latency(LATENCY_SECONDS)
                    seconds, growth = in_flight(around, subject, light=light)
                    around.set_latency(0)
                if light:
                    found[kind].light_mb.append(growth)
                else:
                    found[kind].flight_seconds.append(seconds)
                    found[kind].flight_mb.append(growth)
    return found


@contextlib.contextmanager
def _warm(around: Services, kind: str) -> Iterator[Subject]:
    with KINDS[kind](around) as subject:
        run(subject, around, WARM_UP, 4)
        yield subject


def rows(found: dict[str, Figures]) -> list[Row]:
    """The table's lines: the median of each figure's rounds."""
    floor, product = found["floor"], found["product"]
    return [
        *ratio("alone, p50", median(product.alone_ms), median(floor.alone_ms), "ms", 1.3, 35),
        *ratio("CPU, alone", median(product.alone_cpu_ms), median(floor.alone_cpu_ms), "ms", 1.5, 25),
        *ratio("CPU, 20 at once", median(product.busy_cpu_ms), median(floor.busy_cpu_ms), "ms", 1.5, 25),
        Row("CPU, 20 at once: with ledger, queue and recovery", median(found["whole"].busy_cpu_ms), "ms"),
        *ratio("20 at once", median(product.per_second), median(floor.per_second), "/s", 0.8, 40, least=True),
        *ratio("300 in flight, 5 s", median(product.flight_seconds), median(floor.flight_seconds), "s", 1.2, 12),
        Row("300 in flight, memory each: floor", median(floor.flight_mb), "MB"),
        Row("300 in flight, memory each: product", median(product.flight_mb), "MB", 1.5),
        Row("300 in flight by address, memory each: floor", median(floor.light_mb), "MB"),
        Row("300 in flight by address, memory each: product", median(product.light_mb), "MB", 0.3),
    ]


def told(found: dict[str, Figures]) -> Iterator[str]:
    """Every round, for whoever wants to see how much the machine wavers."""
    for kind, each in found.items():
        for name in each.__slots__:
            values = list(islice(getattr(each, name), 20))
            if values:
                yield f"{kind:<8} {name:<15} {'  '.join(f'{value:.2f}' for value in values)}"
