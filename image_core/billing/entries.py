"""The entries of the ledger, one for each call that was billed or may have been, and sums of them."""

from dataclasses import dataclass, field
from datetime import datetime

from image_core.clock import iso
from image_core.models.generated import OK


@dataclass(frozen=True, slots=True)
class Entry:
    """One call that was billed, or may have been.

    `usd` is None where the price is not known; budgets count `budget_usd`. `id` is random: it is that of an attempt,
    and never used again.
    """

    id: str
    user_id: str
    generation_id: str
    model: str
    outcome: str
    input_tokens: int | None
    output_tokens: int | None
    usd: float | None
    budget_usd: float
    time: datetime
    """When the call began. It counts in this day and month, UTC."""

    @property
    def day(self) -> str:
        """The day in which it counts, as `2026-11-25`."""
        return iso(self.time)[: len("2026-11-25")]

    def counts_in(self, period: str) -> bool:
        """Return whether it counts in a day (`2026-11-25`) or a month (`2026-11`)."""
        return self.day.startswith(period)


@dataclass(slots=True)
class Sum:
    """Entries added up.

    `usd` is the sum of known prices. `unpriced` counts the calls without one, and `estimated_usd` is what budgets count
    for those.
    """

    images: int = 0
    calls: int = 0
    usd: float = 0.0
    unpriced: int = 0
    estimated_usd: float = 0.0
    models: dict[str, "Sum"] = field(default_factory=dict)

    @property
    def budget_usd(self) -> float:
        """The US dollars that budgets count."""
        return round(self.usd + self.estimated_usd, 6)

    def add(self, entry: Entry) -> None:
        """Add one entry, without its model."""
        self.images += entry.outcome == OK
        self.calls += 1
        if entry.usd is None:
            self.unpriced += 1
            self.estimated_usd = round(self.estimated_usd + entry.budget_usd, 6)
        else:
            self.usd = round(self.usd + entry.usd, 6)

    def add_by_model(self, entry: Entry) -> None:
        """Add one entry, and add it to the sum of its model."""
        self.add(entry)
        self.models.setdefault(entry.model, Sum()).add(entry)
