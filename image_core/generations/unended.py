"""The generations that have not ended, as budgets count them."""

from image_core.auth.user import User
from image_core.billing.admission import Queued
from image_core.billing.spending import Unended
from image_core.generations.ledger_entries import entries
from image_core.generations.record import Record
from image_core.generations.records import Records
from image_core.models.generated import OK
from image_core.models.prices import expected_usd


class UnendedRecords:
    """Implements `billing.spending.UnendedGenerations`. `default_model` is the first that is configured."""

    def __init__(self, records: Records, default_model: str) -> None:
        self._records = records
        self._default_model = default_model

    async def of_user(self, user: User) -> tuple[Unended, ...]:
        """Return one user's. Raises StorageUnavailable."""
        return tuple(map(self._counted, await self._records.under_way(user)))

    async def of_all_users(self) -> tuple[Unended, ...]:
        """Return those of all users. Raises StorageUnavailable."""
        return tuple(map(self._counted, await self._records.under_way_of_all_users()))

    def _counted(self, record: Record) -> Unended:
        return Unended(
            record.id, record.created_at, self._left_to_pay(record), record.attempt_count > 0, entries(record)
        )

    def _left_to_pay(self, record: Record) -> float:
        """Return what a generation is still expected to cost: nothing once its image was billed."""
        if any(attempt.outcome == OK for attempt in record.attempts_of_run()):
            return 0.0
        if record.expected_usd is not None:
            return record.expected_usd
        # Of an earlier version, which did not store it.
        return expected_usd(record.options.model or self._default_model, record.options.image_size)


def queued(record: Record) -> Queued:
    """Return a record that was queued as the admission checks it."""
    return Queued(record.id, record.user, record.created_at, record.expected_usd or 0.0)
