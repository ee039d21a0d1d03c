"""Write each billed call into the record and the ledger as soon as it has ended, in case the process dies afterwards.

The image, which matters more, is uploaded at the same time. Where the database does not answer, the completed record
contains the calls, and the change feed's function enters them into the ledger.
"""

import asyncio
import logging
from dataclasses import replace

from image_core.errors import DeadlineExceeded, StorageUnavailable
from image_core.generations.accounting import Accounting
from image_core.generations.lease import Lease
from image_core.generations.record import Record
from image_core.models.generated import CANCELED, OK, Attempt
from image_core.runtime.telemetry import where

log = logging.getLogger("image_core.generations")

SETTLE_SECONDS = 1.0
"""How long completing the record waits for these writes. It contains the calls too, and the caller waits for both."""

MAY_BE_BILLED = frozenset({DeadlineExceeded.code, OK})
"""Outcomes of calls that may be billed although they report no usage: given up, or an image without counts."""


class BilledCalls:
    """The attempts of one run, written into its record and the ledger as far as they were billed."""

    def __init__(self, lease: Lease, accounting: Accounting) -> None:
        self._lease = lease
        self._accounting = accounting
        self.made: tuple[Attempt, ...] = ()
        self._aborted: Attempt | None = None
        self._writing: asyncio.Task[None] | None = None

    def note(self, attempt: Attempt) -> None:
        """Note a call that has ended, and write it where the service billed it, or may have.

        A call that was aborted is only written by `cancel`. Where the lease was lost instead, the process that took it
        has entered the call as lost.
        """
        if attempt.outcome == CANCELED:
            self._aborted = attempt
        else:
            self._add(attempt, may_be_billed=attempt.outcome in MAY_BE_BILLED)

    def cancel(self, *, may_be_billed: bool) -> None:
        """Note the call that a cancellation aborted, at the expected price where it may be billed."""
        aborted, self._aborted = self._aborted, None
        if aborted is not None:
            self._add(aborted, may_be_billed=may_be_billed)

    def _add(self, attempt: Attempt, *, may_be_billed: bool) -> None:
        record = self._lease.record
        estimated = record.expected_usd if attempt.usage is None and may_be_billed else None
        attempt_id = f"{record.run_id}-{len(self.made)}"
        self.made = (*self.made, replace(attempt, id=attempt_id, estimated_usd=estimated))
        if attempt.usage is not None or estimated is not None:
            self._writing = asyncio.create_task(self._write(self.made, self._writing))

    async def _write(self, made: tuple[Attempt, ...], before: "asyncio.Task[None] | None") -> None:
        if before is not None:
            await before

        record = self._lease.record

        def billed(stored: Record) -> Record | None:
            # Another stem is another generation under the same key. One that is being deleted is billed, too.
            return stored.billed(made) if stored.blob_stem == record.blob_stem else None

        try:
            await self._lease.change(billed)
            await self._accounting.enter(replace(record, attempts=made))
        except StorageUnavailable:
            log.warning("the calls of a generation are written when it ends", extra={"generation": record.id})
        except Exception as error:  # noqa: BLE001 - a bug here must not end a generation: completing it writes the same
            log.error("the calls of a generation were not written: %s", where(error), extra={"generation": record.id})  # noqa: TRY400 - the message may hold what was sent

    async def settled(self) -> Record:
        """Return the newest version of the record once the calls are written, or after SETTLE_SECONDS."""
        if self._writing is not None and not await self._lease.clock.wait(self._writing, SETTLE_SECONDS):
            self._writing.cancel()
            await asyncio.wait({self._writing})
        return self._lease.record
