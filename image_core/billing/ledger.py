"""The ledger: one immutable entry for every call that the service billed, and their sums by user, day and month.

An entry is in its user's partition, and so are the sums of that user's days and months. One transactional batch creates
entries and replaces the sums of their day and month, on the versions that were read: the database applies all of it
or nothing. So an entry is in the sums exactly once, however often, late or out of order it is delivered, and adding one
costs the same however many there are.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Iterable
from dataclasses import dataclass
from datetime import date
from weakref import WeakValueDictionary

from image_core.auth.user import User
from image_core.billing.entries import Entry, Sum
from image_core.billing.ledger_codec import ENTRY_FIELDS, entry_document, sum_document, sum_id, to_entry, to_sum
from image_core.clock import Clock, iso
from image_core.storage.backoff import Backoff
from image_core.storage.documents import MAX_BATCH, Create, LedgerDocuments, Replace, WriteConflict

ENTRIES_AT_ONCE = MAX_BATCH - 10
"""Entries of one transactional batch, beside two sums."""
USERS_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class _StoredSum:
    """A user's sum of one period, and the version that was read: None where there was none."""

    period: str
    sum: Sum
    etag: str | None

    def write(self, user: User, now: str) -> Create | Replace:
        """Return the write of the sum over the version that was read."""
        document = sum_document(user.id, self.period, self.sum, now)
        return Create(document) if self.etag is None else Replace(document, self.etag)


class Ledger:
    """Entries and sums. A period is a day (`2026-11-25`) or a month (`2026-11`), UTC.

    Raises StorageUnavailable from every method while the database does not answer.
    """

    def __init__(self, documents: LedgerDocuments, backoff: Backoff, clock: Clock) -> None:
        self._documents = documents
        self._backoff = backoff
        self._clock = clock
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        """A lock for each user: the writes of one process then conflict only with those of other processes."""

    async def enter(self, user: User, entries: Collection[Entry]) -> None:
        """Enter a user's new entries. Those that are in the ledger already change nothing."""
        await self._enter(user, entries, expected_new=True)

    async def enter_delivered(self, entries: Iterable[Entry]) -> None:
        """Enter the entries of any users, most of which are likely to be in the ledger already."""
        by_user: dict[str, dict[str, Entry]] = defaultdict(dict)
        for entry in entries:
            by_user[entry.user_id][entry.id] = entry
        users = asyncio.Semaphore(USERS_AT_ONCE)

        async def enter(user_id: str, of_user: Collection[Entry]) -> None:
            async with users:
                await self._enter(User(user_id), of_user, expected_new=False)

        entering = (enter(user_id, of_user.values()) for user_id, of_user in by_user.items())
        # All of them end before the first failure is raised: the feed delivers the batch again.
        for result in await asyncio.gather(*entering, return_exceptions=True):
            if isinstance(result, BaseException):
                raise result

    async def _enter(self, user: User, entries: Collection[Entry], *, expected_new: bool) -> None:
        by_day: dict[str, list[Entry]] = defaultdict(list)
        for entry in entries:
            by_day[entry.day].append(entry)
        if not by_day:
            return
        async with self._locks.setdefault(user.id, asyncio.Lock()):
            for day, of_day in sorted(by_day.items()):
                for start in range(0, len(of_day), ENTRIES_AT_ONCE):
                    batch = of_day[start : start + ENTRIES_AT_ONCE]
                    await self._enter_day(user, day, batch, expected_new=expected_new)

    async def _enter_day(self, user: User, day: str, entries: Collection[Entry], *, expected_new: bool) -> None:
        """Create those of `entries` that are missing, together with the sums that they are in.

        With `expected_new` the first try omits the reads that find the missing ones.
        """
        known: frozenset[str] | None = frozenset() if expected_new else None
        tries = self._backoff.start()
        while True:
            if known is None:
                known = await self.there(user, entries)
            missing = [entry for entry in entries if entry.id not in known]
            if not missing:
                return
            sums = await asyncio.gather(*(self._stored_sum(user, period) for period in (day, day[:7])))
            for each in sums:
                for entry in missing:
                    each.sum.add_by_model(entry)
            now = iso(self._clock.now())
            creates = [Create(entry_document(entry)) for entry in missing]
            try:
                await self._documents.write_batch(user.id, [*creates, *(each.write(user, now) for each in sums)])
            except WriteConflict:
                known = None
            else:
                return
            await tries.pause()

    async def there(self, user: User, entries: Iterable[Entry]) -> frozenset[str]:
        """Return the ids of those of `entries` that are in the ledger: a point read each."""
        ids = [entry.id for entry in entries]
        found = await asyncio.gather(*(self._documents.read(user.id, entry_id) for entry_id in ids))
        return frozenset(entry_id for entry_id, document in zip(ids, found, strict=True) if document is not None)

    async def sum_of(self, user: User, period: str) -> Sum:
        """Return what a user spent in a period: a point read."""
        return (await self._stored_sum(user, period)).sum

    async def _stored_sum(self, user: User, period: str) -> _StoredSum:
        document = await self._documents.read(user.id, sum_id(period))
        if document is not None:
            return _StoredSum(period, to_sum(document), document["_etag"])
        # Before the first entry of a period, and after an upgrade: earlier versions stored no such sums.
        added = Sum()
        async for entry in self.of_user(user, *_span(period)):
            added.add_by_model(entry)
        return _StoredSum(period, added, None)

    async def of_all_users(self, period: str) -> float:
        """Return the US dollars of all users in a period, as budgets count them: one number is read for each user."""
        return round(sum(await self._documents.spent_by_users(period)), 6)

    async def of_user(self, user: User, since: str, until: str) -> AsyncIterator[Entry]:
        """Iterate over a user's entries from `since` on and before `until`: ISO 8601, or a day of it."""
        async for document in self._documents.entries(user.id, ENTRY_FIELDS, since, until):
            yield to_entry(document)

    async def entries_of_all_users(self, since: str, until: str) -> AsyncIterator[Entry]:
        """Iterate over all users' entries of a time: a scan, for operators."""
        async for document in self._documents.entries_of_all_users(ENTRY_FIELDS, since, until):
            yield to_entry(document)


def _span(period: str) -> tuple[str, str]:
    """Return the first day of a period, and the first day after it."""
    if len(period) == len("2026-11-25"):
        day = date.fromisoformat(period)
        return period, date.fromordinal(day.toordinal() + 1).isoformat()
    first = date.fromisoformat(f"{period}-01")
    following = first.replace(year=first.year + first.month // 12, month=first.month % 12 + 1)
    return first.isoformat(), following.isoformat()
