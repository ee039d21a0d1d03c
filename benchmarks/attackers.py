"""Two users whose requests are made to exhaust the process, for `attack`.

`python -m benchmarks.attackers` reads a JSON object (`url`, `cookies` by user, `seconds`) from standard input,
attacks for so long and writes a list of kind, status and number of requests to standard output.
"""

import asyncio
import itertools
import json
import random
import struct
import sys
import time
import zlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus

import aiohttp
from aiohttp import web

from benchmarks import images

ATTACKERS = (1, 2)
"""The numbers of the users that attack."""
CONCURRENT_REQUESTS = 12
"""Number of concurrent requests of each attacker."""
TIMEOUT_SECONDS = 120.0


def command() -> list[str]:
    """Return the command line of this program."""
    return [sys.executable, "-m", __name__]


@dataclass(slots=True)
class Client:
    """Sends requests for several users."""

    url: str
    cookies: dict[str, str]
    """Sessions by the user's number."""
    http: aiohttp.ClientSession
    slow_server: str = ""
    rng: random.Random = field(default_factory=lambda: random.Random(2))  # noqa: S311 - a mix of requests, no secret
    images: dict[int, str] = field(default_factory=dict)
    """The name of an image that each user has generated."""
    numbers: "itertools.count[int]" = field(default_factory=itertools.count)

    async def send(self, user: int, method: str, path: str, body: bytes | None = None, **headers: str) -> int:
        """Return the status; 0 without an answer."""
        given = {"Cookie": self.cookies[str(user)], "Content-Type": "application/json", **headers}
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
        try:
            async with self.http.request(
                method, f"{self.url}/api/{path}", data=body, headers=given, timeout=timeout
            ) as answer:
                content = await answer.read()
        except (TimeoutError, aiohttp.ClientError):
            return 0
        if method == "POST" and path == "image" and answer.status == HTTPStatus.OK and user not in self.images:
            self.images[user] = json.loads(content)["imageUrl"].rsplit("/", 1)[-1]
        return answer.status


Request = Callable[[Client, int], Awaitable[int]]
"""Sends a request for a user and returns the status."""


def generation(*bodies: bytes) -> Request:
    """Return a request for an image, with one of the bodies."""

    async def post(client: Client, user: int) -> int:
        return await client.send(user, "POST", "image", client.rng.choice(bodies))

    return post


SMALL = images.request(images.data_url(images.noise(images.INPUT_BYTES)))


async def stored_image(client: Client, user: int) -> int:
    """Fetch an image that the user has generated; generate one first."""
    name = client.images.get(user)
    return await client.send(user, "GET", f"images/{name}") if name else await generation(SMALL)(client, user)


async def history(client: Client, user: int) -> int:
    """List 100 generations."""
    return await client.send(user, "GET", "generations?limit=100")


def _upload(body: bytes) -> Request:
    async def upload(client: Client, user: int) -> int:
        return await client.send(user, "POST", "upload", body, **{"Content-Type": "multipart/form-data; boundary=x"})

    return upload


async def _slow_inputs(client: Client, user: int) -> int:
    """Name 14 images of a server that announces 20 MB each and sends a byte per second."""
    urls = [f"{client.slow_server}/{next(client.numbers)}.png" for _ in range(14)]
    return await client.send(user, "POST", "image", json.dumps({"images": urls, "prompt": "x"}).encode())


async def _replay(client: Client, user: int) -> int:
    return await client.send(user, "POST", "image", SMALL, **{"Idempotency-Key": f"replay-{user}"})


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _many_chunks(count: int) -> bytes:
    """Return a valid PNG with `count` empty chunks before its pixels."""
    image = images.noise(3000)
    return image[:33] + _chunk(b"teSt", b"") * count + image[33:]


def _many_segments(count: int) -> bytes:
    """Return a JPEG that begins with `count` empty comments."""
    image = images.photograph(1)
    return image[:2] + b"\xff\xfe\x00\x02" * count + image[2:]


def _form(parts: int) -> bytes:
    return b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n\r\n' * parts + b"--x--\r\n"


def _file_form(data: bytes) -> bytes:
    head = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.jpg"\r\n\r\n'
    return head + data + b"\r\n--x--\r\n"


LARGE = images.request(images.data_url(images.noise(14_000_000)))
SLOW_FILE = images.photograph(36)

ATTACKS: dict[str, Request] = {
    "millions of values": generation(
        b'{"images":[' + b"1," * 3_000_000 + b'1],"prompt":"x"}',
        b'{"images":["a"],"prompt":"x","z":[' + b"[]," * 2_000_000 + b"1]}",
    ),
    "data URLs of escapes": generation(
        images.request("data:image/png;base64," + "%" * 6_000_000),
        images.request("data:image/png," + "%89" * 2_000_000),
        images.request("data:image/png" + ";" * 6_000_000 + "base64,aGk="),
    ),
    "files of many parts": generation(
        images.request(images.data_url(_many_chunks(300_000))),
        images.request(images.data_url(_many_segments(1_000_000), "image/jpeg")),
    ),
    "slow conversions": generation(images.request(images.data_url(SLOW_FILE, "image/jpeg"))),
    "slow conversions uploaded": _upload(_file_form(SLOW_FILE)),
    "forms of many parts": _upload(_form(100_000)),
    "a slow server": _slow_inputs,
    "19 MB": generation(LARGE),
    "images": stored_image,
    "replays": _replay,
    "long lists": history,
}


@asynccontextmanager
async def slow_server() -> AsyncIterator[str]:
    """Serve images of 20 MB at a byte per second; yield the address."""

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


async def attack(url: str, cookies: dict[str, str], seconds: float) -> list[tuple[str, int, int]]:
    """Attack for `seconds`; return kinds, statuses and numbers of requests."""
    deadline = time.monotonic() + seconds
    counts: Counter[tuple[str, int]] = Counter()

    async def run(client: Client, user: int) -> None:
        while time.monotonic() < deadline:
            name = client.rng.choice(tuple(ATTACKS))
            counts[name, await ATTACKS[name](client, user)] += 1

    async with slow_server() as slow, aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
        client = Client(url, cookies, http, slow)
        running = [asyncio.create_task(run(client, user)) for user in ATTACKERS for _ in range(CONCURRENT_REQUESTS)]
        await asyncio.wait(running, timeout=seconds)
        for each in running:
            each.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        return [(name, status, count) for (name, status), count in counts.items()]


if __name__ == "__main__":
    print(json.dumps(asyncio.run(attack(**json.load(sys.stdin)))))
