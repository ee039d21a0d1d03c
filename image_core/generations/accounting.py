"""Write what is kept of a generation outside of its record: ledger entries, log line, metrics and durations."""

from contextlib import suppress
from dataclasses import replace

from image_core.billing.ledger import Ledger
from image_core.clock import Clock
from image_core.errors import StorageUnavailable
from image_core.generations.durations import Durations
from image_core.generations.ledger_entries import entries
from image_core.generations.log_line import log_generation
from image_core.generations.record import Record, Status
from image_core.generations.trace import Trace
from image_core.models.generated import OK, Attempt, merged
from image_core.storage.pseudonyms import Pseudonyms

RUN_STEPS = frozenset({"model", "convert", "compose", "picture", "finish"})
"""The steps of a trace that come after the inputs: responses say how long they are likely to take.

`picture` is the upload of the image and `finish` the completion of the record; stored records have these names.
"""


class Accounting:
    """Writes ledger entries, log lines and measurements. One for the process."""

    def __init__(self, ledger: Ledger, pseudonyms: Pseudonyms, durations: Durations, clock: Clock) -> None:
        self._ledger = ledger
        self._pseudonyms = pseudonyms
        self._durations = durations
        self._clock = clock

    async def enter(self, record: Record) -> None:
        """Enter what a record says was billed in the ledger. Raises StorageUnavailable."""
        await self._ledger.enter(record.user, entries(record))

    async def enter_lost(self, record: Record, lost: tuple[Attempt, ...]) -> None:
        """Enter the call of a process that died, if there was one.

        While the database does not answer, the change feed's function is left to enter it.
        """
        if lost:
            with suppress(StorageUnavailable):
                await self._ledger.enter(record.user, entries(replace(record, attempts=lost)))

    async def close(self, record: Record) -> None:
        """Enter what was billed and write the log line, before a record is removed: the feed does not show it."""
        await self.enter(record)
        await self.log(record)

    async def log(self, record: Record) -> None:
        """Write the log line of a generation whose record is removed."""
        await self._pseudonyms.prepare_log()
        log_generation(record, self._clock.now(), self._pseudonyms)

    async def log_gone(self, record: Record, made: tuple[Attempt, ...]) -> None:
        """Write the log line of a generation whose record was removed while it ran and made the calls `made`."""
        await self.log(replace(record, status=Status.DELETING, attempts=merged(record.attempts, made)))

    def measure(self, trace: Trace, record: Record, code: str, made: tuple[Attempt, ...]) -> None:
        """Record the metrics of a run that ended with `code` (`ok` or an error code) and made the calls `made`."""
        trace.ended(code, record.model, made)
        if code == OK and record.model is not None and "finish" in trace.steps:  # else another process made the image
            seconds = sum(seconds for step, seconds in trace.steps.items() if step in RUN_STEPS)
            self._durations.add(record.model, record.options.image_size, seconds)
