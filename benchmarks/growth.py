"""Whether anything grows with what is there: a user's 10 000th generation, the 1000th image of a day in the ledger, and the recovery
among 100 000 that are finished.

The emulator looks at every item of a partition for a query, where the service follows an index: the time that it takes is not
ours, and what is compared is this process's own time, and what comes back over the wire.
"""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from statistics import median
from typing import Any

import aiohttp
from azure.cosmos.aio import ContainerProxy, CosmosClient

from benchmarks import pictures, programs
from benchmarks.cosmos import Documents
from benchmarks.relay import Relay
from benchmarks.table import Row
from image_core.auth.user import User
from image_core.billing.spending import Budgets
from image_core.clock import Clock, iso
from image_core.components import Components
from image_core.generations.order import Order
from image_core.generations.record import InputCopy, Record
from image_core.generations.record_codec import from_document, to_document
from image_core.images.image import Image
from image_core.models.generated import Attempt, Generated, Options, Usage
from image_core.settings import Settings
from image_core.storage.cosmos import Cosmos
from image_core.storage.ledger import Ledger
from image_core.storage.records import Records
from local.emulators import COSMOS_KEY

THERE = 10_000
FINISHED = 100_000
UNFINISHED = 7
CALLS = 40
PAGE = 20
BUDGETS = Budgets(1000.0, 10_000.0)

OF_A_DAY = 1000
NEW, OLD = User("new@example.com"), User("old@example.com")
COPY = InputCopy("input-" + "0" * 64 + ".png", "image/png", 400, 400, 500_000)
USAGE = Usage(566, 1120, 0.135532, {"TEXT": 6, "IMAGE": 560}, {"IMAGE": 1120})
MADE = Generated(
    Image(b"", "image/png", 1024, 1024), None, "gemini-3-pro-image", USAGE,
    (Attempt("gemini-3-pro-image", "ok", 30_000, USAGE, datetime(2026, 1, 1, tzinfo=UTC)),),
)  # fmt: skip


def finished(user: str, number: int) -> dict[str, Any]:
    """A record of some time ago, as the product leaves it."""
    begun = datetime.now(UTC) - timedelta(days=2, seconds=number)
    record = Record(
        id=f"gen-{number}-{user}",
        user_id=user,
        prompt=pictures.PROMPT,
        input_images=(f"/api/images/{COPY.name}",),
        inputs=(COPY,),
        options=Options(),
        created_at=begun,
        request_hash="0" * 64,
        blob_stem=f"generated-{number}",
    )
    return to_document(record.claimed("owner", begun).succeeded("https://x/y.png", MADE, "owner", begun))


class Bench:
    """The product's parts, over a wire that counts."""

    def __init__(self, components: Components, relay: Relay) -> None:
        self._machinery = components
        self._relay = relay
        self._begun: list[Record] = []
        self._numbers = itertools.count()

    @property
    def ledger(self) -> Ledger:
        return self._machinery.ledger

    async def begin(self, user: User) -> None:
        order = Order(None, pictures.PROMPT, Options(), (None,), "0" * 64, 0.2)
        self._begun.append(await self._machinery.runner.begin(user, order, (COPY,), queued=False))

    async def finish(self, user: User) -> None:
        record = next(each for each in self._begun if each.user_id == user.id)
        self._begun.remove(record)
        now = datetime.now(UTC) - timedelta(days=1)
        await self._machinery.records.replace(replace(record, created_at=now).succeeded("x", MADE, "owner", now))

    async def budget(self, user: User) -> None:
        await self._machinery.spending.of_user(user, BUDGETS)

    async def page(self, user: User) -> None:
        found = await self._machinery.records.page(user, PAGE, None)
        assert len(found.items) == PAGE  # noqa: S101 - what is compared is the same amount

    def billed(self, user: User) -> dict[str, Any]:
        """A record of now with a bill that is not in the ledger."""
        number = next(self._numbers)
        attempt = replace(MADE.attempts[0], id=f"run{number}-0", started_at=datetime.now(UTC))
        return {**finished(user.id, number), "attempts": [attempt.to_dict()]}

    async def enter(self, user: User) -> None:
        """As the process that called the model does."""
        await self._machinery.ledger.write(from_document(self.billed(user)))

    async def deliver(self, user: User) -> None:
        """As the change feed's function does, twice."""
        changed = [self.billed(user)]
        await self._machinery.ledger.apply(changed)
        await self._machinery.ledger.apply(changed)

    async def usage(self, user: User) -> None:
        await self._machinery.spending.report(user)

    async def requests(self, call: Callable[[], Awaitable[object]]) -> tuple[int, int]:
        """Requests to the database, and bytes of its answers."""
        before = self._relay.requests, self._relay.received
        await call()
        return self._relay.requests - before[0], self._relay.received - before[1]

    async def measured(self, call: Callable[[], Awaitable[object]]) -> tuple[float, int]:
        """Milliseconds of this process's own, and bytes over the wire."""
        before, began = self._relay.received, time.process_time()
        await call()
        return (time.process_time() - began) * 1000, self._relay.received - before


class Patient(Cosmos):
    """The way to the database for as long as it takes: among so many items the emulator needs longer than we would wait."""

    def __init__(self, client: CosmosClient) -> None:
        self._container = client.get_database_client("catafract").get_container_client("generations")

    def now(self) -> datetime:
        return datetime.now(UTC)

    @asynccontextmanager
    async def container(self, *_: object) -> AsyncIterator[ContainerProxy]:
        yield self._container


async def _compared(bench: Bench) -> AsyncIterator[Row]:
    """Of each operation: the old user's cost as a multiple of the new one's, the calls taking turns."""
    for name in ("begin", "finish", "budget", "page"):
        call = getattr(bench, name)
        own: dict[User, list[float]] = {NEW: [], OLD: []}
        wire: dict[User, list[int]] = {NEW: [], OLD: []}
        for _ in range(CALLS):
            for user in (NEW, OLD):
                milliseconds, received = await bench.measured(partial(call, user))
                own[user].append(milliseconds)
                wire[user].append(received)
        yield Row(f"{name}, 10 000th / first: own time", median(own[OLD]) / median(own[NEW]), "x", 1.2)
        yield Row(f"{name}, 10 000th / first: bytes read", median(wire[OLD]) / median(wire[NEW]), "x", 1.05)


async def _of_a_day(bench: Bench) -> AsyncIterator[Row]:
    """What the ledger costs for a user's 1000th image of a day, and what it costs for the first ones."""
    first, thousandth = User("first@example.com"), User("thousandth@example.com")
    for _ in range(OF_A_DAY // 100):
        await bench.ledger.apply([bench.billed(thousandth) for _ in range(100)])
    for name in ("enter", "deliver", "budget", "usage"):
        call = getattr(bench, name)
        asked: dict[User, list[int]] = {first: [], thousandth: []}
        wire: dict[User, list[int]] = {first: [], thousandth: []}
        await call(first)  # the connection is made
        for _ in range(CALLS):
            for user in (first, thousandth):
                requests, received = await bench.requests(partial(call, user))
                asked[user].append(requests)
                wire[user].append(received)
        yield Row(f"{name}, 1000th image of a day: requests", median(asked[thousandth]), "", median(asked[first]))
        yield Row(
            f"{name}, 1000th / first of a day: bytes read", median(wire[thousandth]) / median(wire[first]), "x", 1.05
        )


async def _measure(around: programs.Services) -> list[Row]:
    port = around.configuration.ports["COSMOS_PORT"]
    async with Relay(port).listening() as relay, aiohttp.ClientSession() as http:
        url = f"http://127.0.0.1:{relay.port}/"
        documents = Documents(http, f"http://127.0.0.1:{port}", COSMOS_KEY)
        environment = {
            **around.configuration.environment,
            "AZURE_COSMOS_CONNECTION_STRING": f"AccountEndpoint={url};AccountKey={COSMOS_KEY}",
            "DAILY_BUDGET_USD_PER_USER": "1000",
        }
        components = Components(Settings.read(environment), Clock())
        bench = Bench(components, relay)
        try:
            await documents.create_all(finished(NEW.id, number) for number in range(PAGE))
            await documents.create_all(finished(OLD.id, number) for number in range(THERE))
            rows = [row async for row in _of_a_day(bench)]
            rows += [row async for row in _compared(bench)]
            async with CosmosClient(url, COSMOS_KEY, connection_timeout=60, read_timeout=60) as client:
                rows += [row async for row in _recovery(bench, Records(Patient(client)), documents)]
        finally:
            await components.close()
    return rows


async def _recovery(bench: Bench, records: Records, documents: Documents) -> AsyncIterator[Row]:
    now = iso(datetime.now(UTC))
    await documents.create_all(
        {**finished(f"lost-{n}@example.com", n), "status": "running", "leaseExpiresAt": now} for n in range(UNFINISHED)
    )
    await records.unfinished()  # the connection is made
    _, before = await bench.measured(records.unfinished)
    await documents.create_all(finished(f"user-{n % 500}@example.com", n) for n in range(FINISHED))
    _, after = await bench.measured(records.unfinished)
    lost = [each for each in await records.unfinished() if each.user_id.startswith("lost-")]
    yield Row(f"recovery among {FINISHED:,} finished: unfinished found", len(lost), "", UNFINISHED, least=True)
    yield Row(f"recovery among {FINISHED:,} finished / 10,000: bytes read", after / before, "x", 1.05)


def rows() -> list[Row]:
    with programs.services() as around:
        return asyncio.run(_measure(around))
