"""A thousand random operations on two instances that crash: at the end billed calls, ledger, records and images agree.

A crash cuts an instance off from database and storage while it works, and a new instance replaces it. Queue messages
are delivered late, repeatedly and to any instance; the change feed is delivered in part and repeatedly. The fake Gemini
counts the billed calls: each has a unique number of input tokens, which identifies its ledger entry.
"""

import asyncio
import itertools
import os
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from io import BytesIO
from random import Random
from typing import Any

import pytest
from PIL import Image

from image_core.app import Application
from image_core.errors import ImageError
from image_core.generations.queue_message import QueueMessage
from local.emulators import COSMOS_KEY, AzuritePorts
from local.gemini.script import Script, Scripted, finished, overloaded
from tests.support.change_feed import Feed, feed
from tests.support.eventually import eventually
from tests.support.faulty_proxy import FaultyProxy, faulty
from tests.support.gemini_responses import part
from tests.support.harness import Harness, data_url, harness

pytestmark = pytest.mark.timeout(900)

OPERATIONS = int(os.environ.get("RANDOM_OPERATIONS", "1000"))
AT_ONCE = 6
KEYS = 6
LEASE = 3
END_SECONDS = 240
"""Seconds within which all generations have ended. A deletion is continued after thirty seconds."""
WEIGHTS = {
    "post": 18,
    "post_with_key": 22,
    "queue": 10,
    "run_a_message": 18,
    "delete": 14,
    "cancel": 10,
    "deliver_the_feed": 6,
    "find_unfinished": 6,
    "read": 5,
    "crash": 1,
}


def small_image() -> bytes:
    data = BytesIO()
    Image.new("RGB", (64, 64), "teal").save(data, "PNG")
    return data.getvalue()


INPUT = data_url(small_image())


class RandomScript(Script):
    """Most calls give an image; some are billed without one, some are refused, some fail and cost nothing."""

    def __init__(self, random: Random, image: bytes) -> None:
        super().__init__()
        self._random = random
        self._image = image
        self._numbers = itertools.count(1000, 8)

    def next(self, model: str, *, replays: bool = False) -> Scripted:
        kind = self._random.choices(("image", "none", "refusal", "overloaded"), (80, 6, 6, 8))[0]
        delay = self._random.uniform(0.01, 0.15)
        usage: dict[str, Any] = {"promptTokenCount": next(self._numbers), "candidatesTokenCount": 1120}
        if kind == "image":
            usage["candidatesTokensDetails"] = [{"modality": "IMAGE", "tokenCount": 1120}]
            reply = finished("STOP", part(self._image), usage=usage)
        elif kind == "none":
            reply = finished("STOP", {"text": "no"}, usage=usage)
        elif kind == "refusal":
            reply = finished("IMAGE_SAFETY", usage=usage)
        else:
            reply = overloaded()
        return replace(reply, delay=delay)


class Host:
    """An instance of the application with its own proxies to database and storage, which a crash disconnects."""

    def __init__(self, product: Harness, stack: AsyncExitStack, proxies: tuple[FaultyProxy, FaultyProxy]) -> None:
        self.harness = product
        self._stack = stack
        self._proxies = proxies
        self.calls: set[asyncio.Task[Any]] = set()

    @classmethod
    async def start(cls, shared: Harness, azurite: AzuritePorts) -> "Host":
        stack = AsyncExitStack()
        cosmos = await stack.enter_async_context(faulty(shared.cosmos.target))
        blobs = await stack.enter_async_context(faulty(shared.blobs.target))
        environment = {
            **shared.environment,
            "AZURE_STORAGE_CONNECTION_STRING": azurite.connection_string(f"{blobs.url}/devstoreaccount1"),
            "AZURE_COSMOS_CONNECTION_STRING": f"AccountEndpoint={cosmos.url}/;AccountKey={COSMOS_KEY}",
        }
        product = Harness(
            Application(environment), shared.fake_gemini, cosmos, blobs, environment, shared.email, shared.blob_base
        )
        return cls(product, stack, (cosmos, blobs))

    async def call(self, work: Awaitable[Any]) -> Any:
        """Return the result of `work`, or None if the host or the storage crashed meanwhile."""
        task = asyncio.ensure_future(work)
        self.calls.add(task)
        try:
            return await task
        except (asyncio.CancelledError, ImageError):
            return None
        finally:
            self.calls.discard(task)

    async def crash(self) -> None:
        """Disconnect the instance and cancel everything that runs."""
        for proxy in self._proxies:
            proxy.unreachable = True
        running = self.harness.app.components.background
        tasks = [*self.calls, *(task for task, _ in running._tasks.values())]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.close()

    async def close(self) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self.harness.app.close(), 30)
        await self._stack.aclose()


class Operations:
    """The operations of users and the platform, and crashes."""

    def __init__(self, shared: Harness, azurite: AzuritePorts, changes: Feed, random: Random) -> None:
        self.done: Counter[str] = Counter()
        self._shared = shared
        self._azurite = azurite
        self._changes = changes
        self._random = random
        self.hosts: list[Host] = []
        self._messages: list[str] = []
        self._ids: list[str] = []
        self._crashing = asyncio.Lock()

    async def one(self) -> None:
        name = self._random.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
        await getattr(self, name)()
        self.done[name] += 1

    @property
    def _host(self) -> Host:
        return self._random.choice(self.hosts)

    async def _generate(self, headers: dict[str, str]) -> None:
        host = self._host
        answer = await host.call(host.harness.generate(INPUT, headers=headers))
        if answer is not None and (record_id := answer.json.get("id")):
            self._ids.append(record_id)
            self._messages += answer.enqueue

    async def post(self) -> None:
        await self._generate(
            {"Prefer": f"wait={self._random.choice((0, 1, 5))}"} if self._random.random() < 0.3 else {}
        )

    async def post_with_key(self) -> None:
        await self._generate({"Idempotency-Key": f"key-{self._random.randrange(KEYS)}"})

    async def queue(self) -> None:
        key = {"Idempotency-Key": f"key-{self._random.randrange(KEYS)}"} if self._random.random() < 0.5 else {}
        await self._generate({"Prefer": "respond-async", **key})

    async def run_a_message(self) -> None:
        """Deliver any earlier message: the queue delivers at least once, in any order."""
        if self._messages:
            host = self._host
            await host.call(host.harness.app.resume(self._random.choice(self._messages).encode()))

    async def delete(self) -> None:
        if self._ids:
            host = self._host
            path = f"/api/generations/{self._random.choice(self._ids)}"
            await host.call(host.harness.call("DELETE", path))

    async def cancel(self) -> None:
        """Cancel a recent generation: most have ended or are queued, some run."""
        if self._ids:
            host = self._host
            path = f"/api/generations/{self._random.choice(self._ids[-8:])}/cancel"
            await host.call(host.harness.call("POST", path))

    async def read(self) -> None:
        host = self._host
        await host.call(host.harness.call("GET", self._random.choice(("/api/generations", "/api/usage"))))

    async def deliver_the_feed(self) -> None:
        changed = await self._changes.changed()
        host = self._host
        batch = self._random.sample(changed, self._random.randint(0, len(changed)))
        if batch:
            await host.call(host.harness.app.process_changes(batch))

    async def find_unfinished(self) -> None:
        host = self._host
        self._messages += [
            each for each in await host.call(host.harness.app.find_unfinished()) or () if self._shared.email in each
        ]

    async def crash(self) -> None:
        async with self._crashing:
            index = self._random.randrange(len(self.hosts))
            crashed, self.hosts[index] = self.hosts[index], await Host.start(self._shared, self._azurite)
            await crashed.crash()

    async def complete_everything(self) -> None:
        """Run the recovery and deliver messages until all generations have ended."""
        app = self.hosts[0].harness.app
        for host in self.hosts:
            await host.harness.drained()
        unfinished: list[dict[str, Any]] = []

        async def all_ended() -> bool:
            unfinished[:] = [each for each in await self._changes.changed() if "leaseExpiresAt" in each]
            found = [each for each in await app.find_unfinished() if self._shared.email in each]
            # The queue's own messages are delivered, too: the queue does not wait for the recovery.
            queued = [QueueMessage(document["id"], self._shared.email).to_json() for document in unfinished]
            for each in {*found, *queued}:
                with suppress(ImageError):
                    await app.resume(each.encode())
            return not unfinished and not found

        try:
            await eventually(all_ended, END_SECONDS)
        except TimeoutError:
            fields = ("id", "status", "leaseOwner", "leaseExpiresAt", "attemptCount", "lostClaims")
            left = [{name: each.get(name) for name in fields} for each in unfinished]
            raise AssertionError(f"unfinished after {END_SECONDS} s: {left}") from None
        await self._changes.deliver()


@asynccontextmanager
async def operations(shared: Harness, azurite: AzuritePorts, random: Random) -> AsyncIterator[Operations]:
    async with feed(shared) as changes:
        made = Operations(shared, azurite, changes, random)
        made.hosts = [await Host.start(shared, azurite) for _ in range(2)]
        try:
            yield made
        finally:
            for host in made.hosts:
                await host.close()


@pytest.mark.parametrize("seed", [int(os.environ.get("RANDOM_SEED", "19"))])
async def test_costs_and_images_agree_after_a_thousand_random_operations(
    seed: int, azurite_ports: AzuritePorts, cosmos_url: str
) -> None:
    settings = {
        "LEASE_SECONDS": str(LEASE),
        "IMAGE_ACCESS": "private",
        "MAX_CONCURRENT_PER_USER": "1000",
        # A request with the key of a queued generation waits for it, and no other operation may deliver its message.
        "RESPONSE_BUDGET_SECONDS": "3",
    }
    async with harness(azurite_ports, cosmos_url, **settings) as shared:
        random = Random(seed)
        shared.fake_gemini.script = RandomScript(random, small_image())
        async with operations(shared, azurite_ports, random) as made:
            await run_concurrently(OPERATIONS, made.one)
            await made.complete_everything()
            await assert_costs_and_images_agree(shared, made)


async def run_concurrently(count: int, work: Callable[[], Awaitable[None]]) -> None:
    left = iter(range(count))

    async def worker() -> None:
        for _ in left:
            await work()

    await asyncio.gather(*(worker() for _ in range(AT_ONCE)))


async def assert_costs_and_images_agree(shared: Harness, made: Operations) -> None:
    async with feed(shared) as changes:
        entries, documents = await changes.entries(), await changes.changed()
    billed = Counter(call.billed_usd for call in shared.fake_gemini.calls if call.billed_usd)
    assert max(billed.values()) == 1, "each call has a unique number of tokens"
    known = Counter(entry["usd"] for entry in entries if entry["usd"] is not None)
    lost = [entry for entry in entries if entry["usd"] is None]
    assert known <= billed, "each entry is one billed call"
    missing = billed - known
    assert missing.total() <= len(lost), "each call that was aborted or lost in a crash is estimated"
    assert sum(missing.elements()) <= sum(entry["budgetUsd"] for entry in lost)
    assert bool(lost) <= bool(made.done["crash"] + made.done["cancel"]), (
        "only crashes and cancellations leave estimates"
    )

    today = (await made.hosts[0].harness.call("GET", "/api/usage")).json["today"]
    assert today["calls"] == len(entries)
    assert today["costUsd"] == pytest.approx(sum(known.elements()), abs=1e-4)
    assert today["estimatedUsd"] == pytest.approx(sum(entry["budgetUsd"] for entry in lost), abs=1e-4)

    assert {document["status"] for document in documents} <= {"succeeded", "failed", "canceled"}
    images = {document["outputImageUrl"].rsplit("/", 1)[-1] for document in documents if document["outputImageUrl"]}
    user = await shared.app.sessions.user({"cookie": shared.cookie})
    stored = {name.rsplit("/", 1)[-1] for name in await shared.blob_names("catafract", user.folder)}
    assert stored == images, "exactly the images that records name"
    outbox = [
        name for prefix in ("finished/", "images/") for name in await shared.blob_names("catafract-private", prefix)
    ]
    ids = {document["id"] for document in documents} | {document["blobStem"] for document in documents}
    assert [name for name in outbox if any(each in name for each in ids)] == []
