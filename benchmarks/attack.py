"""Latency of one user, the victim, while two attackers send requests that are made to exhaust the process.

`make soak` runs it after the endurance run; `python -m benchmarks.attack --seconds 60` alone. Floor: the victim's
latency in the first quarter of the time, without attackers. Read the ratio of the medians (goal: 3); for requests of
a few milliseconds, read the median itself (goal: 100 ms), because the emulators share the machine's cores with the
attackers. Every request of the victim must be answered with 200, and the memory of the process must stay within its
budget. The exit code is 1 if a goal is missed.
"""

import argparse
import asyncio
import json
import sys
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from statistics import median

import aiohttp

from benchmarks import attackers, images, programs
from benchmarks.attackers import Client, Request
from benchmarks.programs import Services, Subject
from benchmarks.table import Row, format_table, machine, write
from local import config

MODEL_SECONDS = 2.0
VICTIM = 3
"""The victim's number as a user."""
CALM_SHARE = 0.25
"""Share of the time without attackers."""
MAX_RATIO = 3.0
MAX_SHORT_MS = 100.0
BUDGET_MB = 600
"""`MAX_INFLIGHT_BYTES`, its default."""
IDLE_MB = 150
"""Memory of the local Functions host beside the budget."""
HEALTH_INTERVAL_SECONDS = 0.2
RESULTS = config.ROOT / ".local" / "benchmarks" / "attack.json"

CONVERTED = images.request(images.data_url(images.photograph(4), "image/jpeg"))
REQUESTS: dict[str, Request] = {
    "a generation": attackers.generation(attackers.SMALL),
    "a generation whose input is converted": attackers.generation(CONVERTED),
    "an image": attackers.stored_image,
    "a list": attackers.history,
}
SHORT = {"an image", "a list", "health"}


@dataclass(slots=True)
class Victim:
    """Sends one request after another and times them, and health checks beside them."""

    client: Client
    attacked: bool = False
    seconds: dict[tuple[str, bool], list[float]] = field(default_factory=lambda: defaultdict(list))
    """Latencies by kind of request, without and with attackers."""
    statuses: Counter[int] = field(default_factory=Counter)

    async def run(self, until: float) -> None:
        """Send requests and health checks until the monotonic time `until`."""
        await asyncio.gather(self._send_requests(until), self._check_health(until))

    async def _send_requests(self, until: float) -> None:
        while time.monotonic() < until:
            for name, request in REQUESTS.items():
                began = time.monotonic()
                status = await request(self.client, VICTIM)
                self.seconds[name, self.attacked].append(time.monotonic() - began)
                self.statuses[status] += 1

    async def _check_health(self, until: float) -> None:
        while time.monotonic() < until:
            began = time.monotonic()
            async with self.client.http.get(f"{self.client.url}/api/health") as answer:
                await answer.read()
            self.seconds["health", self.attacked].append(time.monotonic() - began)
            await asyncio.sleep(HEALTH_INTERVAL_SECONDS)


Attacks = Counter[tuple[str, int]]
"""The number of the attackers' requests by kind and status."""


async def measure(around: Services, subject: Subject, seconds: float) -> tuple[Victim, Attacks]:
    """Run the victim here, and the attackers in another process, so that their work does not delay its clock."""
    cookies = {str(user): around.cookie(user) for user in (VICTIM, *attackers.ATTACKERS)}
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
        victim = Victim(Client(subject.url, cookies, http))
        for request in REQUESTS.values():  # imports and opens everything
            await request(victim.client, VICTIM)
        began = time.monotonic()
        await victim.run(began + seconds * CALM_SHARE)
        victim.attacked = True
        attacking = await asyncio.create_subprocess_exec(
            *attackers.command(), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        given = {"url": subject.url, "cookies": cookies, "seconds": seconds * (1 - CALM_SHARE)}
        sending = asyncio.create_task(attacking.communicate(json.dumps(given).encode()))
        await victim.run(began + seconds)
        output, _ = await sending
        return victim, Counter({(name, status): count for name, status, count in json.loads(output)})


def rows(victim: Victim, attacks: Attacks, samples: list[dict[str, float]]) -> list[Row]:
    """Compare the victim's latencies; `samples` are those of the process."""
    found = []
    for name in (*REQUESTS, "health"):
        calm, attacked = victim.seconds[name, False], victim.seconds[name, True]
        found += [
            Row(f"{name}: median without attackers", median(calm) * 1000, "ms"),
            Row(f"{name}: median with two attackers", median(attacked) * 1000, "ms"),
            Row(f"{name}: longest with two attackers", max(attacked) * 1000, "ms"),
        ]
        if name in SHORT:
            found[-2] = replace(found[-2], goal=MAX_SHORT_MS)
        else:
            found.append(Row(f"{name}: with / without attackers", median(attacked) / median(calm), "x", MAX_RATIO))
    refused = sum(count for status, count in victim.statuses.items() if status != HTTPStatus.OK)
    highest = max(sample["resident"] for sample in samples)
    return [
        *found,
        Row("requests of the victim", victim.statuses.total(), ""),
        Row("requests of the victim not answered with 200", refused, "", 0),
        Row("requests of the attackers", attacks.total(), ""),
        Row("highest memory of the process", highest / 1e6, "MB", BUDGET_MB + IDLE_MB),
    ]


def main(seconds: float) -> int:
    """Run, print the results, return the exit code."""
    samples_file = RESULTS.with_name("attack-samples.jsonl")
    with programs.services(MODEL_SECONDS) as around, programs.sampled(around, samples_file) as subject:
        victim, attacks = asyncio.run(measure(around, subject, seconds))
        samples = [json.loads(line) for line in samples_file.read_text(encoding="utf-8").splitlines()]
    for (name, status), count in sorted(attacks.items()):
        print(f"{count:6} {name}: {status or 'no answer'}")
    print(f"The victim's answers by status: {dict(victim.statuses)}")
    found = rows(victim, attacks, samples)
    print(format_table(found))
    write(found, machine(), RESULTS)
    return 0 if all(row.met for row in found) else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Measure one user's latency beside two attackers.")
    parser.add_argument("--seconds", type=float, default=120)
    sys.exit(main(parser.parse_args().seconds))
