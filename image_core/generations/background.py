"""The generations that run in this process, and waiting for one, which may run in another."""

import asyncio
import logging
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

from image_core.clock import Clock
from image_core.generations.held_inputs import HeldInputs
from image_core.generations.record import Record, Status
from image_core.generations.records import Records
from image_core.generations.result import Gone, LeasedElsewhere, Result
from image_core.generations.runner import Runner

log = logging.getLogger("image_core.generations")

POLL_SECONDS = 1.0
"""The pause between two reads of a record that another process is working on. A read costs one request unit."""


class BackgroundTasks:
    """One task for each generation of this process: it continues after the response, and after its caller has gone."""

    def __init__(self, records: Records, runner: Runner, clock: Clock) -> None:
        self._records = records
        self._runner = runner
        self._clock = clock
        self._tasks: dict[str, tuple[asyncio.Task[Result], Record]] = {}

    def run(self, record: Record, held: HeldInputs) -> None:
        """Run a new generation (`Runner.run`)."""
        self._start(record, self._runner.run(record, held))

    def rerun(self, record: Record) -> None:
        """Run a generation again whose lease this process has just taken (`Runner.rerun`)."""
        self._start(record, self._runner.rerun(record))

    def resume(self, record: Record) -> None:
        """Bring a generation to its end that no process runs (`Runner.resume`)."""
        self._start(record, self._runner.resume(record))

    def _start(self, record: Record, work: Coroutine[Any, Any, Result]) -> None:
        task = asyncio.create_task(work)
        self._tasks[record.id] = (task, record)
        task.add_done_callback(lambda done: self._ended(record, done))

    def _ended(self, record: Record, task: asyncio.Task[Result]) -> None:
        if self._tasks.get(record.id, (None,))[0] is task:
            del self._tasks[record.id]
        expected = (Gone, LeasedElsewhere)
        if not task.cancelled() and (error := task.exception()) is not None and not isinstance(error, expected):
            # A caller may be waiting for it and get the error; if none is, this line is all there is.
            log.warning("a generation did not end here: %s", type(error).__name__, extra={"generation": record.id})

    async def wait(self, record: Record, seconds: float) -> Result:
        """Wait until `record` has ended, at most `seconds`, and return its state. Raises Gone, StorageUnavailable."""
        deadline = self._clock.deadline(seconds)
        mine = self._tasks.get(record.id)
        if mine is not None:
            if not await self._clock.wait(mine[0], seconds):
                return Result(record)
            with suppress(LeasedElsewhere):  # another process has it now, and brings it to its end
                result = await mine[0]
                if result.record.status.ended:
                    return result
        while (left := deadline.remaining()) > 0:
            await self._clock.sleep(min(POLL_SECONDS, left))
            stored = await self._records.read(record.user, record.id)
            if stored is None or stored.status is Status.DELETING:
                raise Gone(record.id)
            if stored.status is not Status.RUNNING:
                return Result(stored)
        return Result(record)

    async def drain(self) -> None:
        """Wait for all tasks: before connections are closed, and in tests."""
        while self._tasks:
            await asyncio.wait({task for task, _ in self._tasks.values()})
