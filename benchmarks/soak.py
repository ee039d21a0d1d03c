"""An endurance run: good, bad, slow, refused and abandoned requests at a steady rate, for ten minutes.

`make soak`, or `make soak SECONDS=60`. It measures whether memory, files, threads and tasks of the process grow:
medians of the last quarter. Floor: medians of the first quarter after the warm-up. It also checks that every accepted
generation ends and that its image exists. The exit code is 1 if something grew beyond its slack or was lost.
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

from benchmarks import images, programs
from benchmarks.programs import Services, Subject
from benchmarks.table import Row, format_table, machine, write
from image_core.auth.user import User
from image_core.generations.idempotency import record_id
from local import config
from local.gemini.script import Scripted, finished, overloaded

PER_SECOND = 5.0
LATENCY_SECONDS = 2.0
USERS = 40
WARM_UP = 0.3
"""Share of the time in which caches, pools and the allocator grow to their size."""
END_SECONDS = 240.0
"""Maximum time in which a generation has to end after its caller has left."""
RESULTS = config.ROOT / ".local" / "benchmarks" / "soak.json"

SLACK = {"resident": (1.10, 8e6), "files": (1.0, 8), "threads": (1.0, 4), "tasks": (1.0, 8)}
"""How far the last quarter may exceed the first: a factor, and an amount."""


@dataclass(slots=True)
class Sent:
    """A request with an idempotency key, which determines the id of its generation. `status` is None without answer."""

    kind: str
    user: int
    id: str
    status: int | None = None


@dataclass(slots=True)
class Soak:
    """Sends requests and keeps a list of them."""

    around: Services
    subject: Subject
    http: aiohttp.ClientSession
    random: random.Random
    sent: list[Sent] = field(default_factory=list)
    numbers: "itertools.count[int]" = field(default_factory=itertools.count)

    async def run(self, seconds: float) -> None:
        """Send requests of every kind in its share, at a steady rate that does not depend on their answers."""
        in_flight: set[asyncio.Task[None]] = set()
        began = time.monotonic()
        while time.monotonic() - began < seconds:
            name, (_, send) = self.random.choices(list(KINDS.items()), [share for share, _ in KINDS.values()])[0]
            task = asyncio.create_task(self._one(name, send))
            in_flight.add(task)
            task.add_done_callback(in_flight.discard)
            await asyncio.sleep(1 / PER_SECOND)
        if in_flight:
            await asyncio.wait(in_flight)

    async def _one(self, name: str, send: "Send") -> None:
        number = next(self.numbers)
        user = number % USERS
        key = f"soak-{number}"
        sent = Sent(name, user, record_id(User(programs.email(user)), key))
        self.sent.append(sent)
        sent.status = await send(self, user, key)

    async def script(self, reply: Scripted) -> None:
        """Set the model's next answer: to this request, or to one that comes at the same moment."""
        async with self.http.post(f"{self.around.gemini}/__script", json=asdict(reply)) as answer:
            answer.raise_for_status()

    async def post(self, user: int, key: str, body: bytes, seconds: float = 120, **headers: str) -> int | None:
        """Return the status; None if the connection was closed after `seconds` without an answer."""
        given = {"Content-Type": "application/json", "Cookie": self.around.cookie(user), "Idempotency-Key": key}
        timeout = aiohttp.ClientTimeout(total=seconds)
        try:
            async with self.http.post(
                f"{self.subject.url}/api/image", data=body, headers={**given, **headers}, timeout=timeout
            ) as answer:
                await answer.read()
                return answer.status
        except TimeoutError:
            return None

    async def get(self, user: int, path: str) -> tuple[int, Any]:
        """Return the status and the parsed body."""
        headers = {"Cookie": self.around.cookie(user)}
        async with self.http.get(f"{self.subject.url}{path}", headers=headers) as answer:
            return answer.status, await answer.json()


Send = Callable[[Soak, int, str], Awaitable[int | None]]

GOOD = images.request(images.data_url(images.noise(images.INPUT_BYTES)))
LARGE = images.request(images.data_url(images.photograph(4), "image/jpeg"))
NO_IMAGE = images.request("data:image/png;base64,bm90IGFuIGltYWdl")
FORBIDDEN_URL = images.request("http://169.254.169.254/image.png")


async def good(soak: Soak, user: int, key: str) -> int | None:
    """Send an image that is passed through."""
    return await soak.post(user, key, GOOD)


async def converted(soak: Soak, user: int, key: str) -> int | None:
    """Send an image that is converted."""
    return await soak.post(user, key, LARGE)


async def bad(soak: Soak, user: int, key: str) -> int | None:
    """Send an invalid request."""
    body = soak.random.choice((b"{", b"{}", NO_IMAGE, FORBIDDEN_URL, images.request("x", aspectRatio="7:7")))
    return await soak.post(user, key, body)


async def slow(soak: Soak, user: int, key: str) -> int | None:
    """Wait 2 s for a model that takes 8."""
    await soak.script(Scripted(delay=8))
    return await soak.post(user, key, GOOD, Prefer="wait=2")


async def refused(soak: Soak, user: int, key: str) -> int | None:
    """Have the model refuse."""
    await soak.script(finished("IMAGE_SAFETY"))
    return await soak.post(user, key, GOOD)


async def retried(soak: Soak, user: int, key: str) -> int | None:
    """Have the model fail once."""
    await soak.script(soak.random.choice((overloaded(), Scripted(cut="body"), Scripted(cut="before"))))
    return await soak.post(user, key, GOOD)


async def abandoned(soak: Soak, user: int, key: str) -> int | None:
    """Close the connection before the answer."""
    return await soak.post(user, key, GOOD, seconds=soak.random.uniform(0.02, 1.2))


async def queued(soak: Soak, user: int, key: str) -> int | None:
    """Do not wait for the image."""
    return await soak.post(user, key, GOOD, Prefer="respond-async")


async def sent_twice(soak: Soak, user: int, key: str) -> int | None:
    """Send the same request twice at the same moment."""
    first, _ = await asyncio.gather(soak.post(user, key, GOOD), soak.post(user, key, GOOD))
    return first


async def unauthorized(soak: Soak, user: int, key: str) -> int | None:
    """Send an invalid session."""
    return await soak.post(user, key, GOOD, Cookie="next-auth.session-token=invalid")


KINDS: dict[str, tuple[float, Send]] = {
    "good": (40, good),
    "converted": (5, converted),
    "bad": (12, bad),
    "slow": (8, slow),
    "refused": (6, refused),
    "retried": (8, retried),
    "abandoned": (10, abandoned),
    "queued": (5, queued),
    "sent twice": (4, sent_twice),
    "unauthorized": (2, unauthorized),
}
"""Each kind of request with its share, in percent."""

NOT_ACCEPTED = {400, 401, 413, 415, 429, 503}
"""Statuses of requests that may have no generation."""


async def lost(soak: Soak) -> list[Sent]:
    """Wait until every accepted generation has ended with its image; return those that have not after END_SECONDS."""
    remaining, deadline = list(soak.sent), time.monotonic() + END_SECONDS
    while True:
        remaining = [sent for sent in remaining if not await _ended(soak, sent)]
        if not remaining or time.monotonic() > deadline:
            return remaining
        await asyncio.sleep(2)


async def _ended(soak: Soak, sent: Sent) -> bool:
    status, found = await soak.get(sent.user, f"/api/generations/{sent.id}")
    if status == HTTPStatus.NOT_FOUND:  # it was never accepted
        return sent.status is None or sent.status in NOT_ACCEPTED
    if found["status"] == "succeeded":
        async with soak.http.get(found["outputImageUrl"]) as image:
            return image.status == HTTPStatus.OK and len(await image.read()) > 0
    return bool(found["status"] == "failed")


def growth(samples: list[dict[str, float]]) -> list[Row]:
    """Compare the medians of the last quarter with those of the first quarter after the warm-up."""
    steady = samples[int(len(samples) * WARM_UP) :]
    part = max(1, len(steady) // 4)
    rows = []
    for name, (factor, more) in SLACK.items():
        first, last = (median(sample[name] for sample in some) for some in (steady[:part], steady[-part:]))
        scale, unit = (1e6, "MB") if name == "resident" else (1, "")
        rows.append(Row(f"{name}: after the warm-up", first / scale, unit))
        rows.append(Row(f"{name}: at the end", last / scale, unit, (first * factor + more) / scale))
    return rows


async def soak(around: Services, subject: Subject, seconds: float) -> tuple[Soak, list[Sent]]:
    """Send requests for `seconds`; return them and those that were lost."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
        running = Soak(around, subject, http, random.Random(1))  # noqa: S311 - a mix of requests, no secret
        await running.run(seconds)
        return running, await lost(running)


def main(seconds: float) -> int:
    """Run, print the results, return the exit code."""
    samples_file = RESULTS.with_name("samples.jsonl")
    with (
        programs.services(LATENCY_SECONDS) as around,
        programs.sampled(around, samples_file) as subject,
    ):
        began = time.monotonic()
        running, missing = asyncio.run(soak(around, subject, seconds))
        samples = [json.loads(line) for line in samples_file.read_text(encoding="utf-8").splitlines()]
    under_load = [sample for sample in samples if sample["seconds"] <= seconds]
    answers = Counter((sent.kind, sent.status) for sent in running.sent)
    for (kind, status), count in sorted(answers.items(), key=str):
        print(f"{count:6} {kind}: {'abandoned' if status is None else status}")
    rows = [
        Row("requests", len(running.sent), ""),
        Row("seconds, with the wait for the last generations", time.monotonic() - began, "s"),
        *growth(under_load),
        Row("accepted and lost", len(missing), "", 0),
    ]
    print(format_table(rows))
    for sent in missing:
        print(f"lost: {sent}", file=sys.stderr)
    write(rows, machine(), RESULTS)
    return 0 if all(row.met for row in rows) else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="An endurance run.")
    parser.add_argument("--seconds", type=float, default=600)
    sys.exit(main(parser.parse_args().seconds))
