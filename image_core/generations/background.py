"""The generations that this process is running, and waiting for one: here, or in another process."""

import asyncio
import logging
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

from image_core.clock import Clock
from image_core.generations.outcome import Gone, Leased, Outcome
from image_core.generations.record import Record, Status
from image_core.storage.records import Records

log = logging.getLogger("image_core.generations")

LOOK_AGAIN_SECONDS = 1.0
"""Between two looks at a record that another process is working on: one request unit each."""


class Running:
    """One task for each generation of this process: it goes on when the response has left, or its caller has."""

    def __init__(self, records: Records, clock: Clock) -> None:
        self._records = records
        self._clock = clock
        self._tasks: dict[str, tuple[asyncio.Task[Outcome], Record]] = {}

    def start(self, record: Record, work: Coroutine[Any, Any, Outcome]) -> asyncio.Task[Outcome]:
        """Run `work` for `record` to its end, whoever waits for it."""
        task = asyncio.create_task(work, name=record.id)
        self._tasks[record.id] = (task, record)
        task.add_done_callback(lambda done: self._ended(record, done))
        return task

    def _ended(self, record: Record, task: asyncio.Task[Outcome]) -> None:
        if self._tasks.get(record.id, (None,))[0] is task:
            del self._tasks[record.id]
        if not task.cancelled() and (error := task.exception()) is not None and not isinstance(error, Gone | Leased):
            # Somebody may be waiting for it and be told; if nobody is, this line is all there is.
            log.warning("a generation did not end here: %s", type(error).__name__, extra={"generation": record.id})

    async def wait(self, record: Record, seconds: float) -> Outcome:
        """How `record` stands after at most `seconds`, or as soon as it is finished. Raises Gone, StorageUnavailable."""
        deadline = self._clock.deadline(seconds)
        mine = self._tasks.get(record.id)
        if mine is not None:
            done, _ = await asyncio.wait({mine[0]}, timeout=max(0.0, seconds))
            if not done:
                return Outcome(record)
            with suppress(Leased):  # another process has it now, and brings it to its end
                outcome = await mine[0]
                if outcome.finished:
                    return outcome
        while (left := deadline.remaining()) > 0:
            await self._clock.sleep(min(LOOK_AGAIN_SECONDS, left))
            stored = await self._records.read(record.user, record.id)
            if stored is None or stored.status is Status.DELETING:
                raise Gone(record.id)
            if stored.status is not Status.RUNNING:
                return Outcome(stored)
        return Outcome(record)

    async def drain(self) -> None:
        """Wait for all of them: for a host that has the time, and for tests."""
        while self._tasks:
            await asyncio.wait({task for task, _ in self._tasks.values()})
