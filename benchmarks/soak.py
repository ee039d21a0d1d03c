"""An endurance run: good, bad, slow, refused and abandoned requests at a steady rate. Nothing grows, and nothing is lost.

`make soak`, ten minutes; `SECONDS=60` for another time. The exit code is 1 where something grew or was lost.
"""

import argparse
import asyncio
import itertools
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, field
from http import HTTPStatus
from statistics import median
from typing import Any

import aiohttp

from benchmarks import pictures, programs
from benchmarks.programs import Services, Subject
from benchmarks.table import Row, machine, shown, write
from image_core.auth.user import User
from image_core.generations.idempotency import record_id
from local import config
from local.gemini.script import Scripted, finished, overloaded

PER_SECOND = 5.0
LATENCY_SECONDS = 2.0
USERS = 40
WARM_UP = 0.3
"""Of the time: caches fill, pools grow, the allocator finds its size."""
END_SECONDS = 240.0
"""A generation whose caller has left is brought to its end within this time."""
RESULTS = config.ROOT / ".local" / "benchmarks" / "soak.json"

SLACK = {"resident": (1.10, 8e6), "files": (1.0, 8), "threads": (1.0, 4), "tasks": (1.0, 8)}
"""What the last part may have more than the part behind the warm-up: a factor, and an amount."""


@dataclass(slots=True)
class Asked:
    """One request under a key: its id is known before it is answered, and whether it is."""

    kind: str
    user: int
    id: str
    status: int | None = None


@dataclass(slots=True)
class Soak:
    """Sends requests, and remembers what may not be lost."""

    around: Services
    subject: Subject
    http: aiohttp.ClientSession
    random: random.Random
    asked: list[Asked] = field(default_factory=list)
    numbers: "itertools.count[int]" = field(default_factory=itertools.count)

    async def run(self, seconds: float) -> None:
        """Every kind in its share, at a steady rate, whatever became of those before."""
        under_way: set[asyncio.Task[None]] = set()
        began = time.monotonic()
        while time.monotonic() - began < seconds:
            name, (_, send) = self.random.choices(list(KINDS.items()), [share for share, _ in KINDS.values()])[0]
            task = asyncio.create_task(self._one(name, send))
            under_way.add(task)
            task.add_done_callback(under_way.discard)
            await asyncio.sleep(1 / PER_SECOND)
        if under_way:
            await asyncio.wait(under_way)

    async def _one(self, name: str, send: "Send") -> None:
        number = next(self.numbers)
        user = number % USERS
        key = f"soak-{number}"
        asked = Asked(name, user, record_id(User(programs.email(user)), key))
        self.asked.append(asked)
        asked.status = await send(self, user, key)

    async def script(self, reply: Scripted) -> None:
        """What the model answers next: to this request, or to one that comes at the same moment."""
        async with self.http.post(f"{self.around.model}/__script", json=asdict(reply)) as answer:
            answer.raise_for_status()

    async def post(self, user: int, key: str, body: bytes, seconds: float = 120, **headers: str) -> int | None:
        """The status; None where the connection was given up after `seconds`."""
        sent = {"Content-Type": "application/json", "Cookie": self.around.cookie(user), "Idempotency-Key": key}
        timeout = aiohttp.ClientTimeout(total=seconds)
        try:
            async with self.http.post(
                f"{self.subject.url}/api/image", data=body, headers={**sent, **headers}, timeout=timeout
            ) as answer:
                await answer.read()
                return answer.status
        except TimeoutError:
            return None

    async def get(self, user: int, path: str) -> tuple[int, Any]:
        headers = {"Cookie": self.around.cookie(user)}
        async with self.http.get(f"{self.subject.url}{path}", headers=headers) as answer:
            return answer.status, await answer.json()


Send = Callable[[Soak, int, str], Awaitable[int | None]]

GOOD = pictures.request(pictures.data_url(pictures.noise(pictures.INPUT_BYTES)))
LARGE = pictures.request(pictures.data_url(pictures.photograph(4), "image/jpeg"))
NO_IMAGE = pictures.request("data:image/png;base64,bm90IGFuIGltYWdl")
NO_ADDRESS = pictures.request("http://169.254.169.254/picture.png")


async def good(soak: Soak, user: int, key: str) -> int | None:
    return await soak.post(user, key, GOOD)


async def converted(soak: Soak, user: int, key: str) -> int | None:
    return await soak.post(user, key, LARGE)


async def bad(soak: Soak, user: int, key: str) -> int | None:
    body = soak.random.choice((b"{", b"{}", NO_IMAGE, NO_ADDRESS, pictures.request("x", aspectRatio="7:7")))
    return await soak.post(user, key, body)


async def slow(soak: Soak, user: int, key: str) -> int | None:
    await soak.script(Scripted(delay=8))
    return await soak.post(user, key, GOOD, Prefer="wait=2")


async def refused(soak: Soak, user: int, key: str) -> int | None:
    await soak.script(finished("IMAGE_SAFETY"))
    return await soak.post(user, key, GOOD)


async def tried_again(soak: Soak, user: int, key: str) -> int | None:
    await soak.script(soak.random.choice((overloaded(), Scripted(cut="body"), Scripted(cut="before"))))
    return await soak.post(user, key, GOOD)


async def abandoned(soak: Soak, user: int, key: str) -> int | None:
    return await soak.post(user, key, GOOD, seconds=soak.random.uniform(0.02, 1.2))


async def queued(soak: Soak, user: int, key: str) -> int | None:
    return await soak.post(user, key, GOOD, Prefer="respond-async")


async def sent_twice(soak: Soak, user: int, key: str) -> int | None:
    first, _ = await asyncio.gather(soak.post(user, key, GOOD), soak.post(user, key, GOOD))
    return first


async def nobody(soak: Soak, user: int, key: str) -> int | None:
    return await soak.post(user, key, GOOD, Cookie="next-auth.session-token=nobodys")


KINDS: dict[str, tuple[float, Send]] = {
    "good": (40, good),
    "converted": (5, converted),
    "bad": (12, bad),
    "slow": (8, slow),
    "refused": (6, refused),
    "tried again": (8, tried_again),
    "abandoned": (10, abandoned),
    "queued": (5, queued),
    "sent twice": (4, sent_twice),
    "nobody": (2, nobody),
}
"""Shares of a hundred."""

NOTHING_BEGUN = {400, 401, 413, 415, 429, 503}
"""The statuses with which no generation has begun, or one that says so itself."""


async def lost(soak: Soak) -> list[Asked]:
    """What was accepted and is not found finished, its picture with it; it may take a while for those that nobody waits for."""
    left, until = list(soak.asked), time.monotonic() + END_SECONDS
    while True:
        left = [asked for asked in left if not await _ended(soak, asked)]
        if not left or time.monotonic() > until:
            return left
        await asyncio.sleep(2)


async def _ended(soak: Soak, asked: Asked) -> bool:
    status, found = await soak.get(asked.user, f"/api/generations/{asked.id}")
    if status == HTTPStatus.NOT_FOUND:  # it never was
        return asked.status is None or asked.status in NOTHING_BEGUN
    if found["status"] == "succeeded":
        async with soak.http.get(found["outputImageUrl"]) as picture:
            return picture.status == HTTPStatus.OK and len(await picture.read()) > 0
    return bool(found["status"] == "failed")


def growth(samples: list[dict[str, float]]) -> list[Row]:
    """The medians of the last part beside those of the first part behind the warm-up."""
    steady = samples[int(len(samples) * WARM_UP) :]
    part = max(1, len(steady) // 4)
    rows = []
    for name, (factor, more) in SLACK.items():
        first, last = (median(sample[name] for sample in some) for some in (steady[:part], steady[-part:]))
        scale, unit = (1e6, "MB") if name == "resident" else (1, "")
        rows.append(Row(f"{name}: behind the warm-up", first / scale, unit))
        rows.append(Row(f"{name}: at the end", last / scale, unit, (first * factor + more) / scale))
    return rows


async def soak(around: Services, subject: Subject, seconds: float) -> tuple[Soak, list[Asked]]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
        running = Soak(around, subject, http, random.Random(1))  # noqa: S311 - a mix, no secret
        await running.run(seconds)
        return running, await lost(running)


def main(seconds: float) -> int:
    samples_file = RESULTS.with_name("samples.jsonl")
    with (
        programs.services(LATENCY_SECONDS) as around,
        programs.watched(around, samples_file) as subject,
    ):
        began = time.monotonic()
        running, gone = asyncio.run(soak(around, subject, seconds))
        samples = [json.loads(line) for line in samples_file.read_text(encoding="utf-8").splitlines()]
    under_load = [sample for sample in samples if sample["seconds"] <= seconds]
    answers = Counter((asked.kind, asked.status) for asked in running.asked)
    for (kind, status), count in sorted(answers.items(), key=str):
        print(f"{count:6} {kind}: {'given up' if status is None else status}")
    rows = [
        Row("requests", len(running.asked), ""),
        Row("seconds, the wait for the last ones included", time.monotonic() - began, "s"),
        *growth(under_load),
        Row("accepted and not found finished", len(gone), "", 0),
    ]
    print(shown(rows))
    for asked in gone:
        print(f"lost: {asked}", file=sys.stderr)
    write(rows, machine(), RESULTS)
    return 0 if all(row.good for row in rows) else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="An endurance run.")
    parser.add_argument("--seconds", type=float, default=600)
    sys.exit(main(parser.parse_args().seconds))
