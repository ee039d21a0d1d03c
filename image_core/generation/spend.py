"""What has been spent: by a user or by everybody, today and this month, and what is left of a budget.

The ledger is behind by the seconds that its function takes. What a record says was billed, and the ledger does not have yet,
is added for a user, so that nobody's numbers wait for it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from image_core.clock import Clock, iso
from image_core.generated import Options
from image_core.prices import expected_usd
from image_core.settings import Settings
from image_core.store.ledger import COUNTED_FOR, Entry, Ledger, entries
from image_core.store.record import Record
from image_core.store.records import Records
from image_core.user import User

LATE = timedelta(minutes=10)
"""Before the ledger's newest sum: what began since may not be in it."""
NEVER = "9999"


@dataclass(frozen=True, slots=True)
class Spent:
    """US dollars of one day, as budgets count them, and what runs: by record, what it is expected to cost."""

    usd: float
    running: Mapping[str, float]

    @property
    def running_usd(self) -> float:
        return round(sum(self.running.values()), 6)


@dataclass(slots=True)
class Sum:
    """Billed calls added up. `usd` is what is known; `unpriced` counts the calls whose price is not."""

    images: int = 0
    calls: int = 0
    usd: float = 0.0
    unpriced: int = 0
    models: dict[str, "Sum"] = field(default_factory=dict)

    def add(self, entry: Entry) -> None:
        self.images += entry.outcome == "ok"
        self.calls += 1
        self.usd = round(self.usd + (entry.usd or 0.0), 6)
        self.unpriced += entry.usd is None

    def add_by_model(self, entry: Entry) -> None:
        self.add(entry)
        self.models.setdefault(entry.model, Sum()).add(entry)


@dataclass(frozen=True, slots=True)
class Report:
    """A user's own numbers. Times are ISO 8601; `remaining_usd` is None where there is no budget."""

    day: str
    month: str
    today: Sum
    this_month: Sum
    running_usd: float
    daily_usd: float | None
    remaining_usd: float | None
    resets_at: str


class Spending:
    """Raises StorageUnavailable from every method while Cosmos DB does not answer."""

    def __init__(self, records: Records, ledger: Ledger, settings: Settings, clock: Clock) -> None:
        self._records = records
        self._ledger = ledger
        self._settings = settings
        self._clock = clock

    def expected(self, options: Options) -> float:
        """US dollars that a generation with these options is likely to cost."""
        return expected_usd(options.model or self._settings.gemini_models[0], options.image_size)

    def midnight(self) -> datetime:
        """When the day's budgets begin anew: the next midnight, UTC."""
        return self._clock.now().replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)

    async def running(self, user: User) -> Spent:
        """What runs for a user, without the money that was spent: one query."""
        found = await self._records.under_way(user, iso(self._clock.now()), NEVER)
        return Spent(0.0, self._prices(found))

    async def of_user(self, user: User) -> Spent:
        """One user's day: the ledger's sum (a point read), and what began since and is not in it (a query)."""
        now = iso(self._clock.now())
        day = now[:10]
        known = await self._ledger.day_of(user, day)
        since = day if known is None else max(day, self._before(known.updated_at, LATE))
        found = await self._records.under_way(user, now, self._before(since, self._longest))
        counted = frozenset[str]() if known is None else known.counted
        oldest = day if known is None else max(day, self._before(known.updated_at, COUNTED_FOR))
        late = [entry for entry in _billed(found) if entry.id not in counted and entry.time >= oldest]
        usd = round((0.0 if known is None else known.usd) + sum(entry.budget_usd for entry in late), 6)
        running = self._prices([record for record in found if self._runs(record, now)])
        return Spent(usd, running)

    async def of_everybody(self) -> Spent:
        """Everybody's day: the ledger's sums (one partition), and what runs. What ended in the last seconds is not in it."""
        now = iso(self._clock.now())
        usd = await self._ledger.day_of_everybody(now[:10])
        found = await self._records.under_way_of_everybody(now)
        return Spent(usd, self._prices(found))

    async def report(self, user: User) -> Report:
        """What `GET /api/usage` says: every entry of the month, and what is not in the ledger yet."""
        midnight = self.midnight()
        day = iso(midnight - timedelta(days=1))[:10]
        month = f"{day[:7]}-01"
        known = {entry.id: entry async for entry in self._ledger.of_user(user, month, iso(midnight))}
        spent = await self.of_user(user)
        recent = await self._records.under_way(user, iso(self._clock.now()), self._before(day, self._longest))
        known |= {entry.id: entry for entry in _billed(recent) if entry.time >= month}
        today, this_month = Sum(), Sum()
        for entry in known.values():
            this_month.add_by_model(entry)
            if entry.time >= day:
                today.add_by_model(entry)
        daily = self._settings.daily_budget_usd_per_user
        left = None if daily is None else max(0.0, round(daily - spent.usd - spent.running_usd, 6))
        return Report(day, month, today, this_month, spent.running_usd, daily, left, iso(midnight))

    @property
    def _longest(self) -> timedelta:
        """How long before its last call a record may have been written."""
        return timedelta(seconds=self._settings.lease)

    def _before(self, moment: str, span: timedelta) -> str:
        began = datetime.fromisoformat(moment if "T" in moment else f"{moment}T00:00:00+00:00")
        return iso(began - span)

    def _runs(self, record: Record, now: str) -> bool:
        ends = record.lease_expires_at
        return ends is not None and ends > now and (record.status == "running" or record.lease_owner is not None)

    def _prices(self, running: Iterable[Record]) -> dict[str, float]:
        return {record.id: self.expected(record.options) for record in running}


def _billed(found: Iterable[Record]) -> list[Entry]:
    return [entry for record in found for entry in entries(record)]
