"""Two attackers and one victim: what the victim's requests take beside requests that were made to use up the process.

`make soak` runs it after the endurance run; `python -m benchmarks.attack --seconds 60` alone. The exit code is 1 where the victim
waits more than three times as long as without attackers, is refused, or the process takes more memory than its budget allows.
"""

import argparse
import asyncio
import base64
import itertools
import json
import random
import struct
import sys
import time
import zlib
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from statistics import median

import aiohttp
from aiohttp import web

from benchmarks import pictures, programs
from benchmarks.programs import Services, Subject
from benchmarks.table import Row, machine, shown, write
from local import config

MODEL_SECONDS = 2.0
ATTACKERS = (1, 2)
VICTIM = 3
AT_ONCE = 12
"""Requests that each attacker has under way."""

BASELINE = 0.25
"""Of the time, without attackers."""

SLOWER = 3.0
"""The most that waiting may multiply the victim's latency."""

SHORT_MS = 100.0
"""For requests of a few milliseconds instead: most of that is the emulators' time, which share the machine's cores with the
attackers; a wait for a turn would be far longer."""
LIMIT_MB = 600
"""`MAX_INFLIGHT_BYTES`, its default."""

IDLE_MB = 150
"""What the local Functions host takes beside it."""

GIVE_UP_SECONDS = 120.0
RESULTS = config.ROOT / ".local" / "benchmarks" / "attack.json"


@dataclass(slots=True)
class Attack:
    """Sends the requests of all three, and keeps what became of the victim's."""

    url: str
    cookies: dict[str, str]
    """Of each user, by number."""
    http: aiohttp.ClientSession
    slow_server: str
    random: random.Random
    seconds: dict[tuple[str, bool], list[float]] = field(default_factory=lambda: defaultdict(list))
    """Latencies by kind of request, and whether the attackers were there."""
    victims: Counter[int] = field(default_factory=Counter)
    attackers: Counter[tuple[str, int]] = field(default_factory=Counter)
    attacking: bool = False
    images: dict[int, str] = field(default_factory=dict)
    """An image that each user has made."""
    numbers: "itertools.count[int]" = field(default_factory=itertools.count)

    async def send(self, user: int, method: str, path: str, body: bytes | None = None, **headers: str) -> int:
        """The status; 0 where it was given up."""
        sent = {"Cookie": self.cookies[str(user)], "Content-Type": "application/json", **headers}
        try:
            async with self.http.request(
                method,
                f"{self.url}/api/{path}",
                data=body,
                headers=sent,
                timeout=aiohttp.ClientTimeout(total=GIVE_UP_SECONDS),
            ) as answer:
                content = await answer.read()
        except (TimeoutError, aiohttp.ClientError):
            return 0
        if method == "POST" and path == "image" and answer.status == HTTPStatus.OK and user not in self.images:
            self.images[user] = json.loads(content)["imageUrl"].rsplit("/", 1)[-1]
        return answer.status

    async def victim(self, until: float) -> None:
        """One request after another, each timed."""
        while time.monotonic() < until:
            for name, request in VICTIMS.items():
                began = time.monotonic()
                status = await request(self, VICTIM)
                self.seconds[name, self.attacking].append(time.monotonic() - began)
                self.victims[status] += 1

    async def health(self, until: float) -> None:
        while time.monotonic() < until:
            began = time.monotonic()
            async with self.http.get(f"{self.url}/api/health") as answer:
                await answer.read()
            self.seconds["health", self.attacking].append(time.monotonic() - began)
            await asyncio.sleep(0.2)

    async def attacker(self, user: int, until: float) -> None:
        while time.monotonic() < until:
            name = self.random.choice(tuple(ATTACKS))
            self.attackers[name, await ATTACKS[name](self, user)] += 1


Request = Callable[[Attack, int], Awaitable[int]]

SMALL = pictures.request(pictures.data_url(pictures.noise(pictures.INPUT_BYTES)))
CONVERTED = pictures.request(pictures.data_url(pictures.photograph(4), "image/jpeg"))
SLOW_FILE = pictures.photograph(36)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _many_chunks(count: int) -> bytes:
    """A whole PNG with `count` empty chunks in front of its pixels."""
    made = pictures.noise(3000)
    return made[:33] + _chunk(b"teSt", b"") * count + made[33:]


def _many_segments(count: int) -> bytes:
    """A JPEG that begins with `count` empty comments."""
    made = pictures.photograph(1)
    return made[:2] + b"\xff\xfe\x00\x02" * count + made[2:]


def _form(parts: int) -> bytes:
    return b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n\r\n' * parts + b"--x--\r\n"


def _posts(*bodies: bytes) -> Request:
    async def post(attack: Attack, user: int) -> int:
        return await attack.send(user, "POST", "image", attack.random.choice(bodies))

    return post


def _uploads(body: bytes) -> Request:
    async def upload(attack: Attack, user: int) -> int:
        return await attack.send(user, "POST", "upload", body, **{"Content-Type": "multipart/form-data; boundary=x"})

    return upload


def _file_form(data: bytes) -> bytes:
    head = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.jpg"\r\n\r\n'
    return head + data + b"\r\n--x--\r\n"


async def _by_address(attack: Attack, user: int) -> int:
    """Fourteen images of a server that announces 20 MB each and sends a byte a second."""
    urls = [f"{attack.slow_server}/{next(attack.numbers)}.png" for _ in range(14)]
    return await attack.send(user, "POST", "image", json.dumps({"images": urls, "prompt": "x"}).encode())


async def _image(attack: Attack, user: int) -> int:
    name = attack.images.get(user)
    return await attack.send(user, "GET", f"images/{name}") if name else await _posts(SMALL)(attack, user)


async def _replay(attack: Attack, user: int) -> int:
    return await attack.send(user, "POST", "image", SMALL, **{"Idempotency-Key": f"replay-{user}"})


async def _history(attack: Attack, user: int) -> int:
    return await attack.send(user, "GET", "generations?limit=100")


BIG = pictures.request("data:image/png;base64," + base64.b64encode(pictures.noise(14_000_000)).decode())

ATTACKS: dict[str, Request] = {
    "millions of values": _posts(
        b'{"images":[' + b"1," * 3_000_000 + b'1],"prompt":"x"}',
        b'{"images":["a"],"prompt":"x","z":[' + b"[]," * 2_000_000 + b"1]}",
    ),
    "data URLs of escapes": _posts(
        pictures.request("data:image/png;base64," + "%" * 6_000_000),
        pictures.request("data:image/png," + "%89" * 2_000_000),
        pictures.request("data:image/png" + ";" * 6_000_000 + "base64,aGk="),
    ),
    "files of many parts": _posts(
        pictures.request(pictures.data_url(_many_chunks(300_000))),
        pictures.request(pictures.data_url(_many_segments(1_000_000), "image/jpeg")),
    ),
    "slow conversions": _posts(pictures.request(pictures.data_url(SLOW_FILE, "image/jpeg"))),
    "slow conversions uploaded": _uploads(_file_form(SLOW_FILE)),
    "forms of many parts": _uploads(_form(100_000)),
    "a slow server": _by_address,
    "19 MB": _posts(BIG),
    "images": _image,
    "replays": _replay,
    "long lists": _history,
}

VICTIMS: dict[str, Request] = {
    "a generation": _posts(SMALL),
    "a generation whose input is converted": _posts(CONVERTED),
    "an image": _image,
    "a list": _history,
}

SHORT = {"an image", "a list", "health"}


@asynccontextmanager
async def slow_server() -> AsyncIterator[str]:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "20000000"})
        try:
            await response.prepare(request)
            while True:
                await response.write(b"x")
                await asyncio.sleep(1)
        except (ConnectionError, RuntimeError):
            return response

    app = web.Application()
    app.router.add_get("/{name}", answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def run(around: Services, subject: Subject, seconds: float) -> Attack:
    """The victim here, the attackers in a process of their own, whose work does not delay the victim's clock."""
    cookies = {str(user): around.cookie(user) for user in (VICTIM, *ATTACKERS)}
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
        attack = Attack(subject.url, cookies, http, "", random.Random(1))  # noqa: S311 - a mix, no secret
        for request in VICTIMS.values():  # everything is loaded
            await request(attack, VICTIM)
        began = time.monotonic()
        calm, end = began + seconds * BASELINE, began + seconds
        await asyncio.gather(attack.victim(calm), attack.health(calm))
        attack.attacking = True
        others = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "benchmarks.attack", "--attack"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        told = {"url": subject.url, "cookies": cookies, "seconds": seconds * (1 - BASELINE)}
        sending = asyncio.create_task(others.communicate(json.dumps(told).encode()))
        await asyncio.gather(attack.victim(end), attack.health(end))
        answers, _ = await sending
        attack.attackers.update({(name, status): count for name, status, count in json.loads(answers)})
        return attack


async def attackers(url: str, cookies: dict[str, str], seconds: float) -> list[tuple[str, int, int]]:
    """Attack for so long: kinds of request, statuses and how many."""
    until = time.monotonic() + seconds
    async with slow_server() as slow, aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
        attack = Attack(url, cookies, http, slow, random.Random(2))  # noqa: S311 - a mix, no secret
        running = [asyncio.create_task(attack.attacker(user, until)) for user in ATTACKERS for _ in range(AT_ONCE)]
        await asyncio.wait(running, timeout=seconds)
        for each in running:
            each.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        return [(name, status, count) for (name, status), count in attack.attackers.items()]


def rows(attack: Attack, samples: list[dict[str, float]]) -> list[Row]:
    found = []
    for name in (*VICTIMS, "health"):
        calm, attacked = attack.seconds[name, False], attack.seconds[name, True]
        found += [
            Row(f"{name}: median without attackers", median(calm) * 1000, "ms"),
            Row(f"{name}: median beside two attackers", median(attacked) * 1000, "ms"),
            Row(f"{name}: longest beside two attackers", max(attacked) * 1000, "ms"),
        ]
        if name in SHORT:
            found[-2] = replace(found[-2], goal=SHORT_MS)
        else:
            found.append(Row(f"{name}: beside attackers / without", median(attacked) / median(calm), "x", SLOWER))
    refused = sum(count for status, count in attack.victims.items() if status != HTTPStatus.OK)
    return [
        *found,
        Row("requests of the victim", attack.victims.total(), ""),
        Row("of them not answered with 200", refused, "", 0),
        Row("requests of the attackers", attack.attackers.total(), ""),
        Row("memory at its highest", max(sample["resident"] for sample in samples) / 1e6, "MB", LIMIT_MB + IDLE_MB),
    ]


def main(seconds: float) -> int:
    samples_file = RESULTS.with_name("attack-samples.jsonl")
    with programs.services(MODEL_SECONDS) as around, programs.watched(around, samples_file) as subject:
        attack = asyncio.run(run(around, subject, seconds))
        samples = [json.loads(line) for line in samples_file.read_text(encoding="utf-8").splitlines()]
    for (name, status), count in sorted(attack.attackers.items()):
        print(f"{count:6} {name}: {status or 'given up'}")
    print(f"the victim: {dict(attack.victims)}")
    found = rows(attack, samples)
    print(shown(found))
    write(found, machine(), RESULTS)
    return 0 if all(row.good for row in found) else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Two attackers and one victim.")
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--attack", action="store_true", help="the attackers' part: what to attack on standard input")
    arguments = parser.parse_args()
    if arguments.attack:
        print(json.dumps(asyncio.run(attackers(**json.load(sys.stdin)))))
        sys.exit(0)
    sys.exit(main(arguments.seconds))
