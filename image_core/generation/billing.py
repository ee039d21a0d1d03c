"""What was paid for reaches the record at once: a process that dies after the model answered leaves the bill behind.

The write goes beside the picture's, which matters more; where the database does not answer, the end of the record has it all.
"""

import asyncio
import logging
from contextlib import suppress

from image_core.errors import StorageUnavailable
from image_core.generated import Attempt
from image_core.store.record import Record
from image_core.store.records import Records

log = logging.getLogger("image_core.generation")

SETTLE_SECONDS = 1.0
"""How long the end waits for the bill: its own write has it all, and the caller's answer waits behind both."""


class Bill:
    """The attempts of one run. `record` is the newest version that this run has written."""

    def __init__(self, records: Records, record: Record) -> None:
        self._records = records
        self.record = record
        self.made: tuple[Attempt, ...] = ()
        self._writing: asyncio.Task[None] | None = None

    def note(self, attempt: Attempt) -> None:
        """One call has ended. It is written where the service billed it, with those before it that it did not bill."""
        self.made = (*self.made, attempt)
        if attempt.usage is not None:
            self._writing = asyncio.create_task(self._write(self.made, self._writing))

    async def _write(self, made: tuple[Attempt, ...], before: "asyncio.Task[None] | None") -> None:
        if before is not None:
            await before

        def billed(stored: Record) -> Record | None:
            # Another stem is another generation under the same key. One that is being deleted keeps its bill.
            new = stored.blob_stem == self.record.blob_stem and not set(map(str, made)) <= set(
                map(str, stored.attempts)
            )
            return stored.billed(made) if new else None

        try:
            written = await self._records.change(self.record, billed)
        except StorageUnavailable:
            log.warning("the bill waits for the end", extra={"generation": self.record.id})
            return
        # A version that is not running any more is nobody's to end: the end meets it, and does as the rules say.
        if written is not None and written.status == "running" and written.lease_owner == self.record.lease_owner:
            self.record = written

    async def settled(self) -> Record:
        """The newest version, once the bill is written. One that takes too long is given up: the end meets it by its etag."""
        if self._writing is not None:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._writing, SETTLE_SECONDS)
        return self.record
