"""What was paid for reaches the record and the ledger at once: a process that dies after the model answered leaves the bill behind.

The writes go beside the image's, which matters more. Where the database does not answer, the end of the record has it all, and the
change feed's function enters it.
"""

import asyncio
import logging
from contextlib import suppress
from dataclasses import replace

from image_core.errors import DeadlineExceeded, StorageUnavailable
from image_core.generations.lease import Lease
from image_core.generations.record import Record
from image_core.models.generated import CANCELED, OK, Attempt
from image_core.runtime.telemetry import where
from image_core.storage.ledger import Ledger

log = logging.getLogger("image_core.generations")

SETTLE_SECONDS = 1.0
"""How long the end waits for the bill: its own write has it all, and the caller's answer waits behind both."""

BILL_UNKNOWN = frozenset({DeadlineExceeded.code, OK})
"""Outcomes of calls that may be billed without a word of it: those that we gave up, and images whose answer counts nothing."""


class Bill:
    """The attempts of one run."""

    def __init__(self, lease: Lease, ledger: Ledger) -> None:
        self._lease = lease
        self._ledger = ledger
        self.made: tuple[Attempt, ...] = ()
        self._aborted: Attempt | None = None
        self._writing: asyncio.Task[None] | None = None

    def note(self, attempt: Attempt) -> None:
        """One call has ended. It is written where the service billed it, or may have, with those before it that it did not bill.

        One that was aborted waits for `canceled`: where another process has the generation now, that one entered it as lost.
        """
        if attempt.outcome == CANCELED:
            self._aborted = attempt
        else:
            self._add(attempt, may_be_billed=attempt.outcome in BILL_UNKNOWN)

    def canceled(self, *, sent: bool) -> None:
        """The generation was canceled: note the call that was aborted, at the expected price where its request was `sent`."""
        aborted, self._aborted = self._aborted, None
        if aborted is not None:
            self._add(aborted, may_be_billed=sent)

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
            # Another stem is another generation under the same key. One that is being deleted keeps its bill.
            known = {attempt.id for attempt in stored.attempts}
            new = stored.blob_stem == record.blob_stem and not {attempt.id for attempt in made} <= known
            return stored.billed(made) if new else None

        try:
            await self._lease.change(billed)
            await self._ledger.write(replace(record, attempts=made, warnings=()))
        except StorageUnavailable:
            log.warning("the bill waits for the end", extra={"generation": record.id})
        except Exception as error:  # noqa: BLE001 - a bug here must not end a generation: its end writes the bill, too
            log.error("the bill was not written: %s", where(error), extra={"generation": record.id})  # noqa: TRY400 - the message may hold what was sent

    async def settled(self) -> Record:
        """The newest version of the record, once the bill is written. A write that takes too long is given up."""
        if self._writing is not None:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._writing, SETTLE_SECONDS)
        return self._lease.record
