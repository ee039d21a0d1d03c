"""Cancel a generation: from any instance, in every state, once or many times. An image that was stored is kept.

The cancellation is first written into the record. The process that runs the generation then aborts its call: at once if
it is this process, else with its next lease renewal. If no process runs it, this one ends it, as the recovery would.
"""

from dataclasses import replace

from image_core.auth.user import User
from image_core.clock import Clock
from image_core.errors import NotFound
from image_core.generations.background import BackgroundTasks
from image_core.generations.history import History
from image_core.generations.lease import Leases
from image_core.generations.record import Record, Status
from image_core.generations.records import Records


class Cancellation:
    """Cancels generations. One for the process."""

    def __init__(
        self, records: Records, history: History, leases: Leases, tasks: BackgroundTasks, clock: Clock
    ) -> None:
        self._records = records
        self._history = history
        self._leases = leases
        self._tasks = tasks
        self._clock = clock

    async def cancel(self, user: User, record_id: str, seconds: float) -> Record:
        """Cancel a generation and return it: still `running` if another process has to stop it, or after `seconds`.

        One that has ended is returned as it is. Raises NotFound, StorageUnavailable, Busy.
        """
        record = await self._history.read(user, record_id, may_be_new=True)
        if record.status is not Status.RUNNING:
            return record
        now = self._clock.now()

        def requested(stored: Record) -> Record | None:
            wanted = stored.status is Status.RUNNING and stored.cancel_requested_at is None
            return replace(stored, cancel_requested_at=now) if wanted else None

        stored = await self._records.change(record, requested)
        if stored is None or stored.status is Status.DELETING:
            raise NotFound
        if stored.status is not Status.RUNNING:
            return stored
        if not self._leases.cancel(stored):
            if stored.leased(self._records.now()):
                return stored
            self._tasks.resume(stored)
        return (await self._tasks.wait(stored, seconds)).record
