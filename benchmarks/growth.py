"""Growth of an operation's cost with the amount of stored data.

- `begin`, `finish`, `budget`, `page`: by a user with 10 000 generations. Floor: the same by a user with 20.
- `enter`, `deliver`, `budget`, `usage`: for a user's 1000th image of a day. Floor: the first images of a day.
- The recovery's query among 100 000 completed generations. Floor: among 10 000.

Compared are this process's CPU time (goal: 1.2 times), and the requests to the database and the bytes of its answers
(1.05 times), counted by a relay. The emulator's time is not measured: it reads every item of a partition for a query,
where the service uses an index.
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

import aiohttp
from azure.cosmos.aio import ContainerProxy, CosmosClient

from benchmarks import images, programs
from benchmarks.cosmos import Documents
from benchmarks.relay import Relay
from benchmarks.table import Row
from image_core.auth.user import User
from image_core.billing.admission import Reservation
from image_core.billing.budgets import Budgets
from image_core.billing.ledger import Ledger
from image_core.clock import Clock, iso
from image_core.components import Components
from image_core.generations.ledger_entries import delivered_entries, entries
from image_core.generations.record import Record
from image_core.generations.record_codec import to_document
from image_core.generations.records import Records
from image_core.generations.request import GenerationRequest
from image_core.generations.request_inputs import StoredRequest
from image_core.generations.starter import NewGeneration
from image_core.images.image import Image
from image_core.models.generated import Attempt, Generated, Options, Usage
from image_core.settings import Settings
from image_core.storage.backoff import Backoff
from image_core.storage.cosmos import Cosmos
from image_core.storage.cosmos_documents import CosmosGenerations
from image_core.storage.input_copies import InputCopy
from local.emulators import COSMOS_KEY

STORED = 10_000
COMPLETED = 100_000
UNFINISHED = 7
CALLS = 40
PAGE = 20
BUDGETS = Budgets(1000.0, 10_000.0)

IMAGES_OF_A_DAY = 1000
NEW, OLD = User("new@example.com"), User("old@example.com")
COPY = InputCopy("input-" + "0" * 64 + ".png", "image/png", 400, 400, 500_000)
USAGE = Usage(566, 1120, 0.135532, {"TEXT": 6, "IMAGE": 560}, {"IMAGE": 1120})
MADE = Generated(
    Image(b"", "image/png", 1024, 1024), None, "gemini-3-pro-image", USAGE,
    (Attempt("gemini-3-pro-image", "ok", 30_000, USAGE, datetime(2026, 1, 1, tzinfo=UTC)),),
)  # fmt: skip


def completed(user: str, number: int) -> Record:
    """Return a generation that was completed two days ago."""
    begun = datetime.now(UTC) - timedelta(days=2, seconds=number)
    record = Record(
        id=f"gen-{number}-{user}",
        user_id=user,
        prompt=images.PROMPT,
        input_images=(f"/api/images/{COPY.name}",),
        inputs=(COPY,),
        options=Options(),
        created_at=begun,
        request_hash="0" * 64,
        blob_stem=f"generated-{number}",
    )
    return record.claimed("owner", begun).succeeded("https://x/y.png", MADE, "owner", begun)


class Operations:
    """The product's components, with a relay that counts before the database."""

    def __init__(self, components: Components, relay: Relay) -> None:
        self._components = components
        self._relay = relay
        self._begun: list[Record] = []
        self._numbers = itertools.count()

    @property
    def ledger(self) -> Ledger:
        """The product's ledger."""
        return self._components.ledger

    async def begin(self, user: User) -> None:
        """Begin a generation."""
        request = GenerationRequest((), images.PROMPT, Options())
        inputs = StoredRequest((COPY,), (f"/api/images/{COPY.name}",))
        created = await self._components.starter.create(
            NewGeneration(user, request, "0" * 64, Reservation(user.id, 0.2)), inputs, queued=False
        )
        assert isinstance(created, Record)  # noqa: S101 - without a key it is always new
        self._begun.append(created)

    async def finish(self, user: User) -> None:
        """Complete one of the generations that were begun."""
        record = next(each for each in self._begun if each.user_id == user.id)
        self._begun.remove(record)
        now = datetime.now(UTC) - timedelta(days=1)
        await self._components.records.replace(replace(record, created_at=now).succeeded("x", MADE, "owner", now))

    async def budget(self, user: User) -> None:
        """Read what a user has spent, as admission does."""
        await self._components.spending.of_user(user, BUDGETS)

    async def page(self, user: User) -> None:
        """Read a page of the history."""
        found = await self._components.records.page(user, PAGE, None)
        assert len(found.items) == PAGE  # noqa: S101 - pages of different sizes cannot be compared

    def billed(self, user: User) -> Record:
        """Return a new generation that is not in the ledger."""
        number = next(self._numbers)
        attempt = replace(MADE.attempts[0], id=f"run{number}-0", started_at=datetime.now(UTC))
        return replace(completed(user.id, number), attempts=(attempt,))

    async def enter(self, user: User) -> None:
        """Write to the ledger as the process that called the model does."""
        await self._components.ledger.enter(user, entries(self.billed(user)))

    async def deliver(self, user: User) -> None:
        """Write to the ledger as the change feed's function does, twice: deliveries repeat."""
        changed = [to_document(self.billed(user))]
        await self._components.ledger.enter_delivered(delivered_entries(changed))
        await self._components.ledger.enter_delivered(delivered_entries(changed))

    async def usage(self, user: User) -> None:
        """Sum up a user's usage."""
        await self._components.spending.report(user)

    async def requests(self, call: Callable[[], Awaitable[object]]) -> tuple[int, int]:
        """Return the requests to the database, and the bytes of its answers."""
        before = self._relay.requests, self._relay.received
        await call()
        return self._relay.requests - before[0], self._relay.received - before[1]

    async def measured(self, call: Callable[[], Awaitable[object]]) -> tuple[float, int]:
        """Return the milliseconds of this process's CPU time, and the bytes of the database's answers."""
        before, began = self._relay.received, time.process_time()
        await call()
        return (time.process_time() - began) * 1000, self._relay.received - before


class WithoutTimeouts(Cosmos):
    """Access to the database without the product's timeouts: the emulator is slow with so many items."""

    def __init__(self, client: CosmosClient) -> None:
        self._clock = Clock()
        self._container = client.get_database_client("catafract").get_container_client("generations")

    def now(self) -> datetime:
        """Return the time of this machine."""
        return datetime.now(UTC)

    @asynccontextmanager
    async def container(self, *_: object) -> AsyncIterator[ContainerProxy]:
        """Yield the container of records."""
        yield self._container


async def _compared(operations: Operations) -> AsyncIterator[Row]:
    """Compare the users' costs of each operation; their calls take turns."""
    for name in ("begin", "finish", "budget", "page"):
        call = getattr(operations, name)
        own: dict[User, list[float]] = {NEW: [], OLD: []}
        wire: dict[User, list[int]] = {NEW: [], OLD: []}
        for _ in range(CALLS):
            for user in (NEW, OLD):
                milliseconds, received = await operations.measured(partial(call, user))
                own[user].append(milliseconds)
                wire[user].append(received)
        yield Row(f"{name}, 10 000th / first: CPU time", median(own[OLD]) / median(own[NEW]), "x", 1.2)
        yield Row(f"{name}, 10 000th / first: bytes read", median(wire[OLD]) / median(wire[NEW]), "x", 1.05)


async def _of_one_day(operations: Operations) -> AsyncIterator[Row]:
    """Compare the ledger's costs of the 1000th image of a day with those of the first."""
    first, thousandth = User("first@example.com"), User("thousandth@example.com")
    for _ in range(IMAGES_OF_A_DAY // 100):
        await operations.ledger.enter_delivered(
            delivered_entries([to_document(operations.billed(thousandth)) for _ in range(100)])
        )
    for name in ("enter", "deliver", "budget", "usage"):
        call = getattr(operations, name)
        counts: dict[User, list[int]] = {first: [], thousandth: []}
        wire: dict[User, list[int]] = {first: [], thousandth: []}
        await call(first)  # opens the connection
        for _ in range(CALLS):
            for user in (first, thousandth):
                requests, received = await operations.requests(partial(call, user))
                counts[user].append(requests)
                wire[user].append(received)
        yield Row(f"{name}, 1000th image of a day: requests", median(counts[thousandth]), "", median(counts[first]))
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
        operations = Operations(components, relay)
        try:
            await documents.create_all(to_document(completed(NEW.id, number)) for number in range(PAGE))
            await documents.create_all(to_document(completed(OLD.id, number)) for number in range(STORED))
            rows = [row async for row in _of_one_day(operations)]
            rows += [row async for row in _compared(operations)]
            async with CosmosClient(url, COSMOS_KEY, connection_timeout=60, read_timeout=60) as client:
                rows += [
                    row
                    async for row in _recovery(
                        operations,
                        Records(CosmosGenerations(WithoutTimeouts(client), "generations"), Backoff(Clock())),
                        documents,
                    )
                ]
        finally:
            await components.close()
    return rows


async def _recovery(operations: Operations, records: Records, documents: Documents) -> AsyncIterator[Row]:
    now = iso(datetime.now(UTC))
    await documents.create_all(
        {**to_document(completed(f"lost-{n}@example.com", n)), "status": "running", "leaseExpiresAt": now}
        for n in range(UNFINISHED)
    )
    await records.unfinished()  # opens the connection
    _, before = await operations.measured(records.unfinished)
    await documents.create_all(to_document(completed(f"user-{n % 500}@example.com", n)) for n in range(COMPLETED))
    _, after = await operations.measured(records.unfinished)
    lost = [each for each in await records.unfinished() if each.user_id.startswith("lost-")]
    yield Row(f"recovery among {COMPLETED:,} completed: unfinished found", len(lost), "", UNFINISHED, at_least=True)
    yield Row(f"recovery among {COMPLETED:,} completed / 10,000: bytes read", after / before, "x", 1.05)


def rows() -> list[Row]:
    """Measure everything, on empty emulators."""
    with programs.services() as around:
        return asyncio.run(_measure(around))
