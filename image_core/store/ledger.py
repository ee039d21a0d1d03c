"""The ledger: one immutable item for every call that the service billed, and what they add up to for each user and day.

An entry lies in its user's partition; its id is the generation's and the number of the call, so that writing it twice changes
nothing. A day's sum lies in one partition for everybody (`*`), one small item for each user: a budget is checked by reading
one item, or by adding up one partition, whatever is in the ledger. Sums are always made anew from the entries.
"""

import logging
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from azure.cosmos.exceptions import CosmosResourceNotFoundError

from image_core.clock import Clock, iso
from image_core.generated import Attempt
from image_core.prices import budget_usd, expected_usd
from image_core.store.cosmos import Cosmos
from image_core.store.record import Record
from image_core.user import User

log = logging.getLogger("image_core.ledger")

EVERYBODY = "*"
"""The partition of the sums. No user has this id: an id is an address, or begins with `sub:`."""
COUNTED_FOR = timedelta(hours=2)
"""How long a sum names the entries that are in it: a generation may run for an hour."""
ENTRY_FIELDS = "c.id,c.userId,c.generationId,c.model,c.outcome,c.inputTokens,c.outputTokens,c.usd,c.budgetUsd,c.time"


@dataclass(frozen=True, slots=True)
class Entry:
    """One billed call. `usd` is None where the price is not known; `budget_usd` is what it counts as in a budget."""

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


@dataclass(frozen=True, slots=True)
class DaySum:
    """What one user has spent in one day, as far as the ledger has it."""

    usd: float
    counted: frozenset[str]
    """The ids of the newest entries in it."""
    updated_at: str


def entries(record: Record) -> tuple[Entry, ...]:
    """What a record says was billed. The number of a call is its place: attempts are only ever added."""
    found = tuple(
        _entry(record, str(number), attempt)
        for number, attempt in enumerate(record.attempts)
        if attempt.usage is not None
    )
    recovered = any(warning.startswith("recovered") for warning in record.warnings)
    if recovered and not any(attempt.outcome == "ok" for attempt in record.attempts):
        found += (_unknown(record),)
    return found


def _entry(record: Record, number: str, attempt: Attempt) -> Entry:
    usage = attempt.usage
    assert usage is not None  # noqa: S101 - for the type checker: only billed attempts come here
    return Entry(
        f"{record.id}-{number}",
        record.user_id,
        record.id,
        attempt.model,
        attempt.outcome,
        usage.input_tokens,
        usage.output_tokens,
        usage.cost_usd,
        budget_usd(attempt.model, usage),
        attempt.started_at or record.completed_at or record.created_at,
    )


def _unknown(record: Record) -> Entry:
    """A picture that somebody paid for, whose process died before it could say what: it counts as the dearest of its size."""
    price = expected_usd("unknown", record.options.image_size)
    when = record.completed_at or record.created_at
    return Entry(f"{record.id}-recovered", record.user_id, record.id, "unknown", "ok", None, None, None, price, when)


class Ledger:
    """Raises StorageUnavailable from every method while Cosmos DB does not answer."""

    def __init__(self, cosmos: Cosmos, container: str, clock: Clock) -> None:
        self._cosmos = cosmos
        self._container = container
        self._clock = clock

    async def documents(self, changed: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """What is to be written for records that changed: their entries, and the sums of the days that those are in.

        A document that is no record any more is named in the log and passed over: it must not stop the others.
        """
        made: dict[str, Entry] = {}
        for document in changed:
            try:
                found = entries(Record.from_item(dict(document)))
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                log.error("%s is no record: %s", document.get("id"), type(error).__name__)  # noqa: TRY400 - a person's edit
                continue
            made |= {entry.id: entry for entry in found}
        days = {(entry.user_id, entry.day) for entry in made.values()}
        sums = [await self._summed(user_id, day, made.values()) for user_id, day in sorted(days)]
        return [*(entry.to_item() for entry in made.values()), *sums]

    async def write(self, record: Record) -> None:
        """Write what a record says was billed, now: for one that is about to be removed."""
        documents = await self.documents([record.to_item()])
        async with self._cosmos.container(name=self._container) as container:
            for document in documents:
                await container.upsert_item(document)

    async def _summed(self, user_id: str, day: str, new: Iterable[Entry]) -> dict[str, Any]:
        until = (datetime.fromisoformat(f"{day}T00:00:00+00:00") + timedelta(days=1)).isoformat()
        known = {entry.id: entry async for entry in self.of_user(User(user_id), day, until[:10])}
        known |= {entry.id: entry for entry in new if (entry.user_id, entry.day) == (user_id, day)}
        now = self._clock.now()
        recent = iso(now - COUNTED_FOR)
        return {
            "id": _sum_id(User(user_id), day),
            "userId": EVERYBODY,
            "time": day,
            "usd": round(sum(entry.budget_usd for entry in known.values()), 6),
            "counted": sorted(entry.id for entry in known.values() if entry.time >= recent),
            "updatedAt": iso(now),
        }

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
        """Everybody's entries of a time: for an operator, from all partitions."""
        query = f"SELECT {ENTRY_FIELDS} FROM c WHERE c.userId != @user AND c.time >= @since AND c.time < @until"  # noqa: S608 - the fields are ours
        async with self._cosmos.container(seconds=None, name=self._container) as container:
            async for item in container.query_items(
                query, parameters=_parameters(user=EVERYBODY, since=since, until=until)
            ):
                yield Entry.from_item(item)

    async def day_of(self, user: User, day: str) -> DaySum | None:
        """One user's sum of a day: a point read. None before the first entry."""
        try:
            async with self._cosmos.container(name=self._container) as container:
                item = await container.read_item(_sum_id(user, day), EVERYBODY)
        except CosmosResourceNotFoundError:
            return None
        return DaySum(item["usd"], frozenset(item["counted"]), item["updatedAt"])

    async def day_of_everybody(self, day: str) -> float:
        """US dollars of a day, of all users together: one partition, an item for each user who spent something."""
        async with self._cosmos.container(name=self._container) as container:
            found = container.query_items(
                "SELECT VALUE c.usd FROM c WHERE c.userId = @user AND c.time = @day",
                parameters=_parameters(user=EVERYBODY, day=day),
                partition_key=EVERYBODY,
            )
            return round(sum([float(str(usd)) async for usd in found]), 6)


def _sum_id(user: User, day: str) -> str:
    return f"{day}-{user.folder}"


def _parameters(**values: str) -> list[dict[str, object]]:
    return [{"name": f"@{name}", "value": value} for name, value in values.items()]
