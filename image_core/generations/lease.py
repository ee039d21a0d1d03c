"""The lease: the right of one process to run a generation, renewed for as long as it does.

A process that was killed delays its generations by one lease. A renewal that fails is no reason to stop: the record may be reachable
again before another process claims it, and a generated image is kept, regardless of which process has the lease. Losing it to another is one, as long as the model has not answered.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, Self, TypeVar

from image_core.clock import Clock
from image_core.errors import StorageUnavailable
from image_core.generations.record import Record
from image_core.storage.records import Records

log = logging.getLogger("image_core.generations")

T = TypeVar("T")

RENEWALS = 3
"""In the time of one lease: two may fail."""


class LeaseLost(Exception):
    """Another process has the generation, or has ended or removed it; `stored` is what is there now."""

    def __init__(self, stored: Record | None) -> None:
        super().__init__()
        self.stored = stored


class CancelRequested(Exception):
    """The caller has canceled the generation, and no answer of a model has begun to arrive."""


class Lease:
    """The lease of one run: use it as an async context manager, in which it is renewed.

    `record` is the newest version that this process knows.
    """

    def __init__(self, records: Records, record: Record, seconds: float, clock: Clock) -> None:
        self.record = record
        self._records = records
        self._seconds = seconds
        self._clock = clock
        self._writing = asyncio.Lock()
        self._lost: asyncio.Future[Record | None] | None = None
        self._canceling = asyncio.Event()
        self._renewing: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._lost = asyncio.get_running_loop().create_future()
        self._renewing = asyncio.create_task(self._renew())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def stop(self) -> None:
        """Renew it no longer; safe to repeat."""
        renewing, self._renewing = self._renewing, None
        if renewing is not None:
            renewing.cancel()
            with suppress(asyncio.CancelledError):
                await renewing

    async def change(self, change: Callable[[Record], Record | None]) -> Record | None:
        """`Records.change` of the record, in turn with the renewals. Raises StorageUnavailable."""
        async with self._writing:
            stored = await self._records.change(self.record, change)
            if stored is not None and self.is_mine(stored):
                self.saw(stored)
            return stored

    def saw(self, stored: Record) -> None:
        """Take a newer version of this generation, unfinished, under this lease. A cancellation in it takes effect at once."""
        self.record = stored
        if stored.cancel_requested_at is not None:
            self._canceling.set()

    def check_canceled(self) -> None:
        """Raises CancelRequested where the generation was canceled."""
        if self._canceling.is_set():
            raise CancelRequested

    def is_mine(self, stored: Record) -> bool:
        """Whether `stored` is this generation, unfinished, under this lease."""
        return (
            stored.blob_stem == self.record.blob_stem
            and stored.lease_owner == self.record.lease_owner
            and stored.lease_expires_at is not None
        )

    async def while_held(self, work: Coroutine[Any, Any, T], keeps: Callable[[], bool] = lambda: False) -> T:
        """What `work` returns. It is stopped when the lease is lost meanwhile, or the generation is canceled.

        A cancellation does not stop it while `keeps` says that a paid answer is on its way. What it returns all the same counts.

        Raises LeaseLost, CancelRequested.
        """
        assert self._lost is not None  # noqa: S101 - the context was entered
        task, canceling = asyncio.ensure_future(work), asyncio.ensure_future(self._canceling.wait())
        stops: set[asyncio.Future[Any]] = {task, self._lost}
        try:
            await asyncio.wait({*stops, canceling}, return_when=asyncio.FIRST_COMPLETED)
            if not task.done() and not self._lost.done() and keeps():
                await asyncio.wait(stops, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return task.result()
        finally:
            canceling.cancel()
            if not task.done():
                task.cancel()
                with suppress(asyncio.CancelledError, Exception):
                    await task
        if not task.cancelled() and task.exception() is None:
            return task.result()  # it came at the same moment
        if self._lost.done():
            raise LeaseLost(self._lost.result())
        raise CancelRequested

    async def _renew(self) -> None:
        assert self._lost is not None  # noqa: S101 - the context was entered
        while True:
            await self._clock.sleep(self._seconds / RENEWALS)
            until = self._records.now() + timedelta(seconds=self._seconds)

            def renewed(stored: Record, until: datetime = until) -> Record | None:
                return replace(stored, lease_expires_at=until) if self.is_mine(stored) else None

            try:
                stored = await self.change(renewed)
            except StorageUnavailable:
                log.warning("a lease was not renewed", extra={"generation": self.record.id})
                continue
            if stored is None or not self.is_mine(stored):
                if not self._lost.done():
                    self._lost.set_result(stored)
                return
