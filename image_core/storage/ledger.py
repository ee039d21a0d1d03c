"""The ledger: one immutable entry for every call that the service billed, and what they add up to by user, day and month.

An entry has the id of its attempt, which is random and never used again. It lies in its user's partition, and so do the
sums of that user's days and months. One transactional batch creates entries and replaces the sums of their day and month, on the
versions that were read: Cosmos DB applies all of it or nothing. So an entry is in the sums exactly once, however often, late or out of order
its record is delivered, and adding one costs the same whatever is there already.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from http import HTTPStatus
from typing import Any
from weakref import WeakValueDictionary

from azure.cosmos.exceptions import CosmosBatchOperationError, CosmosResourceNotFoundError

from image_core.auth.user import User
from image_core.clock import Clock, iso
from image_core.errors import StorageUnavailable
from image_core.generations.record import Record
from image_core.generations.record_codec import from_document
from image_core.models.generated import Attempt
from image_core.models.prices import budget_usd, expected_usd
from image_core.storage.cosmos import Cosmos

log = logging.getLogger("image_core.ledger")

OLD_SUMS = "*"
"""The partition of the sums that earlier versions wrote. No user has this id: an id is an address, or begins with `sub:`."""
ENTRY_FIELDS = "c.id,c.userId,c.generationId,c.model,c.outcome,c.inputTokens,c.outputTokens,c.usd,c.budgetUsd,c.time"
BATCH = 90
"""Entries of one transactional batch, beside two sums: the service takes 100 operations."""
USERS_AT_ONCE = 8
CONFLICTS = {HTTPStatus.CONFLICT, HTTPStatus.PRECONDITION_FAILED}


@dataclass(frozen=True, slots=True)
class Entry:
    """One call that was billed, or may have been. `usd` is None where the price is not known; budgets count `budget_usd`."""

    id: str
    user_id: str
    generation_id: str
    model: str
    outcome: str
    input_tokens: int | None
    output_tokens: int | None
    usd: float | None
    budget_usd: float
    time: str
    """When the call began: ISO 8601, UTC. Its day is the day that it counts in."""

    @property
    def day(self) -> str:
        return self.time[:10]

    def to_item(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "userId": self.user_id,
            "generationId": self.generation_id,
            "model": self.model,
            "outcome": self.outcome,
            "inputTokens": self.input_tokens,
            "outputTokens": self.output_tokens,
            "usd": self.usd,
            "budgetUsd": self.budget_usd,
            "time": self.time,
        }

    @classmethod
    def from_item(cls, item: Mapping[str, Any]) -> "Entry":
        return cls(
            item["id"],
            item["userId"],
            item["generationId"],
            item["model"],
            item["outcome"],
            item.get("inputTokens"),
            item.get("outputTokens"),
            item.get("usd"),
            item["budgetUsd"],
            item["time"],
        )


@dataclass(slots=True)
class Sum:
    """Entries added up. `usd` is what is known; `unpriced` counts the calls whose price is not, and `estimated_usd` is what
    budgets count for those."""

    images: int = 0
    calls: int = 0
    usd: float = 0.0
    unpriced: int = 0
    estimated_usd: float = 0.0
    models: dict[str, "Sum"] = field(default_factory=dict)

    @property
    def budget_usd(self) -> float:
        """What budgets count."""
        return round(self.usd + self.estimated_usd, 6)

    def add(self, entry: Entry) -> None:
        self.images += entry.outcome == "ok"
        self.calls += 1
        if entry.usd is None:
            self.unpriced += 1
            self.estimated_usd = round(self.estimated_usd + entry.budget_usd, 6)
        else:
            self.usd = round(self.usd + entry.usd, 6)

    def add_by_model(self, entry: Entry) -> None:
        self.add(entry)
        self.models.setdefault(entry.model, Sum()).add(entry)

    def to_item(self) -> dict[str, Any]:
        item: dict[str, Any] = {
            "images": self.images,
            "calls": self.calls,
            "usd": self.usd,
            "unpriced": self.unpriced,
            "estimatedUsd": self.estimated_usd,
        }
        if self.models:
            item["models"] = {model: each.to_item() for model, each in self.models.items()}
        return item

    @classmethod
    def from_item(cls, item: Mapping[str, Any]) -> "Sum":
        return cls(
            item["images"],
            item["calls"],
            item["usd"],
            item["unpriced"],
            item["estimatedUsd"],
            {model: cls.from_item(each) for model, each in item.get("models", {}).items()},
        )


@dataclass(frozen=True, slots=True)
class _Stored:
    """A user's sum of one day (`2026-11-25`) or month (`2026-11`), and the version that was read: None where there was none."""

    period: str
    sum: Sum
    etag: str | None

    def operation(self, user: User, now: str) -> tuple[Any, ...]:
        """Of a transactional batch: write the sum over the version that was read."""
        item: dict[str, Any] = {"id": _sum_id(self.period), "userId": user.id, "period": self.period, "updatedAt": now}
        item |= {"budgetUsd": self.sum.budget_usd, **self.sum.to_item()}
        if self.etag is None:
            return "create", (item,)
        return "replace", (item["id"], item), {"if_match_etag": self.etag}


def entries(record: Record) -> tuple[Entry, ...]:
    """What a record says was billed, or may have been."""
    found = tuple(
        _entry(record, attempt.id or f"{record.id}-{number}", attempt)
        for number, attempt in enumerate(record.attempts)
        if attempt.usage is not None or attempt.estimated_usd is not None
    )
    recovered = any(warning.startswith("recovered") for warning in record.warnings)
    if recovered and not any(attempt.outcome == "ok" for attempt in record.attempts):
        found += (_unknown(record),)
    return found


def _entry(record: Record, entry_id: str, attempt: Attempt) -> Entry:
    usage = attempt.usage
    return Entry(
        entry_id,
        record.user_id,
        record.id,
        attempt.model,
        attempt.outcome,
        None if usage is None else usage.input_tokens,
        None if usage is None else usage.output_tokens,
        None if usage is None else usage.cost_usd,
        attempt.estimated_usd or 0.0 if usage is None else budget_usd(attempt.model, usage),
        iso(attempt.started_at or record.completed_at or record.created_at),
    )


def _unknown(record: Record) -> Entry:
    """An image that was paid for, whose process died before it could say what: it counts as the dearest of its size."""
    price = expected_usd("unknown", record.options.image_size)
    when = iso(record.completed_at or record.created_at)
    entry_id = f"{record.run_id or record.id}-recovered"
    return Entry(entry_id, record.user_id, record.id, "unknown", "ok", None, None, None, price, when)


class Ledger:
    """Raises StorageUnavailable from every method while Cosmos DB does not answer."""

    def __init__(self, cosmos: Cosmos, container: str, clock: Clock) -> None:
        self._cosmos = cosmos
        self._container = container
        self._clock = clock
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        """By user: those of one process take turns, so that only other processes can come in between."""

    async def apply(self, changed: Iterable[Mapping[str, Any]]) -> None:
        """Enter what records that changed say was billed, as far as it is not there yet.

        A document that is no record any more is named in the log and passed over: it must not stop the others.
        """
        by_user: dict[str, dict[str, Entry]] = defaultdict(dict)
        for document in changed:
            try:
                found = entries(from_document(document))
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                log.error("%s is no record: %s", document.get("id"), type(error).__name__)  # noqa: TRY400 - a person's edit
                continue
            for entry in found:
                by_user[entry.user_id][entry.id] = entry
        turns = asyncio.Semaphore(USERS_AT_ONCE)

        async def enter(user_id: str, made: Collection[Entry]) -> None:
            async with turns:
                await self._enter(User(user_id), made, expected_new=False)

        entering = (enter(user_id, made.values()) for user_id, made in by_user.items())
        for ended in await asyncio.gather(*entering, return_exceptions=True):
            if isinstance(ended, BaseException):
                raise ended

    async def write(self, record: Record) -> None:
        """Enter what one record says was billed, now: when a call has ended, and before a record is removed."""
        await self._enter(record.user, entries(record), expected_new=True)

    async def _enter(self, user: User, made: Collection[Entry], *, expected_new: bool) -> None:
        by_day: dict[str, list[Entry]] = defaultdict(list)
        for entry in made:
            by_day[entry.day].append(entry)
        if not by_day:
            return
        async with self._turns.setdefault(user.id, asyncio.Lock()):
            for day, of_day in sorted(by_day.items()):
                for start in range(0, len(of_day), BATCH):
                    await self._enter_day(user, day, of_day[start : start + BATCH], expected_new=expected_new)

    async def _enter_day(self, user: User, day: str, made: Collection[Entry], *, expected_new: bool) -> None:
        """Create those of `made` that are not there, together with the sums that they are in.

        With `expected_new` the first try does without looking for them.
        """
        tries = 0
        while True:
            there = frozenset[str]() if expected_new and tries == 0 else await self.there(user, made)
            missing = [entry for entry in made if entry.id not in there]
            if not missing:
                return
            sums = await asyncio.gather(*(self._stored_sum(user, period) for period in (day, day[:7])))
            for each in sums:
                for entry in missing:
                    each.sum.add_by_model(entry)
            now = iso(self._clock.now())
            operations = [("create", (entry.to_item(),)) for entry in missing]
            if await self._apply(user, [*operations, *(each.operation(user, now) for each in sums)]):
                return
            tries += 1
            await self._cosmos.pause(tries)

    async def _apply(self, user: User, operations: list[tuple[Any, ...]]) -> bool:
        """Write a transactional batch. False where what it was made from has changed since."""
        async with self._cosmos.container(name=self._container) as container:
            try:
                await container.execute_item_batch(operations, user.id)
            except CosmosBatchOperationError as error:
                if error.status_code in CONFLICTS:
                    return False
                log.warning("cosmos answered %s to a batch of the ledger", error.status_code)
                raise StorageUnavailable from error
        return True

    async def there(self, user: User, made: Iterable[Entry]) -> frozenset[str]:
        """The ids of those of `made` that are in the ledger: a point read each."""

        async def is_there(entry_id: str) -> bool:
            try:
                async with self._cosmos.container(name=self._container) as container:
                    await container.read_item(entry_id, user.id)
            except CosmosResourceNotFoundError:
                return False
            return True

        ids = [entry.id for entry in made]
        found = await asyncio.gather(*map(is_there, ids))
        return frozenset(entry_id for entry_id, known in zip(ids, found, strict=True) if known)

    async def sum_of(self, user: User, period: str) -> Sum:
        """What a user spent in a day (`2026-11-25`) or a month (`2026-11`): a point read."""
        return (await self._stored_sum(user, period)).sum

    async def _stored_sum(self, user: User, period: str) -> _Stored:
        try:
            async with self._cosmos.container(name=self._container) as container:
                item = await container.read_item(_sum_id(period), user.id)
        except CosmosResourceNotFoundError:
            # Before the first entry of a period, and after an upgrade: earlier versions kept no such sums.
            made = Sum()
            async for entry in self.of_user(user, *_span(period)):
                made.add_by_model(entry)
            return _Stored(period, made, None)
        return _Stored(period, Sum.from_item(item), item["_etag"])

    async def of_all_users(self, period: str) -> float:
        """US dollars of a day or a month as budgets count them, of all users together: an item for each who spent something."""
        async with self._cosmos.container(name=self._container) as container:
            found = container.query_items(
                "SELECT VALUE c.budgetUsd FROM c WHERE c.period = @period",
                parameters=_parameters(period=period),
            )
            return round(sum([float(str(usd)) async for usd in found]), 6)

    async def of_user(self, user: User, since: str, until: str) -> AsyncIterator[Entry]:
        """A user's entries from `since` on and before `until`: ISO 8601, or a day of it."""
        query = f"SELECT {ENTRY_FIELDS} FROM c WHERE c.userId = @user AND c.time >= @since AND c.time < @until"  # noqa: S608 - the fields are ours
        async with self._cosmos.container(name=self._container) as container:
            found = container.query_items(
                query, parameters=_parameters(user=user.id, since=since, until=until), partition_key=user.id
            )
            async for item in found:
                yield Entry.from_item(item)

    async def of_everybody(self, since: str, until: str) -> AsyncIterator[Entry]:
        """All users' entries of a time: for an operator, from all partitions."""
        query = f"SELECT {ENTRY_FIELDS} FROM c WHERE c.userId != @user AND c.time >= @since AND c.time < @until"  # noqa: S608 - the fields are ours
        async with self._cosmos.container(seconds=None, name=self._container) as container:
            async for item in container.query_items(
                query, parameters=_parameters(user=OLD_SUMS, since=since, until=until)
            ):
                yield Entry.from_item(item)


def _sum_id(period: str) -> str:
    return f"sum-{period}"


def _span(period: str) -> tuple[str, str]:
    """The first day of a period, and the first after it."""
    if len(period) == len("2026-11-25"):
        day = date.fromisoformat(period)
        return period, date.fromordinal(day.toordinal() + 1).isoformat()
    first = date.fromisoformat(f"{period}-01")
    following = first.replace(year=first.year + first.month // 12, month=first.month % 12 + 1)
    return first.isoformat(), following.isoformat()


def _parameters(**values: str) -> list[dict[str, object]]:
    return [{"name": f"@{name}", "value": value} for name, value in values.items()]
