"""The lease: the right of one process to run a generation, renewed for as long as it does.

A process that was killed delays its generations by one lease. A renewal that fails does not stop a run: the record may
be reachable again before another process claims it, and a generated image is kept, regardless of which process has the
lease. Losing the lease to another process does stop it, as long as the model has not answered.
"""

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, Self, TypeVar

from image_core.clock import Clock
from image_core.errors import StorageUnavailable
from image_core.generations.limits import MAX_LOST_CLAIMS, RunLimits
from image_core.generations.record import Record, Status
from image_core.generations.records import Records
from image_core.generations.result import Gone, LeasedElsewhere

log = logging.getLogger("image_core.generations")

T = TypeVar("T")

RENEWALS = 3
"""Renewals in the time of one lease: two may fail."""

QUEUE_SECONDS = 60.0
"""How long a record that was handed to the queue waits for it before the recovery sends it again."""


class LeaseLost(Exception):
    """Another process has the lease, or has ended or removed the generation. `stored` is the record now, if any."""

    def __init__(self, stored: Record | None) -> None:
        super().__init__()
        self.stored = stored


class CancelRequested(Exception):
    """The caller has canceled the generation, and no answer of a model has begun to arrive."""


class Lease:
    """The lease of one run, renewed while its context is open.

    `record` is the newest version that this process knows.
    """

    def __init__(
        self, records: Records, record: Record, seconds: float, clock: Clock, token: Callable[[int], str]
    ) -> None:
        self.record = record
        self._records = records
        self._token = token
        self._seconds = seconds
        self.clock = clock
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
        """Stop the renewals; safe to repeat."""
        renewing, self._renewing = self._renewing, None
        if renewing is not None:
            renewing.cancel()
            with suppress(asyncio.CancelledError):
                await renewing

    async def change(self, change: Callable[[Record], Record | None]) -> Record | None:
        """Change the record (`Records.change`), in turn with the renewals. Raises StorageUnavailable."""
        async with self._writing:
            stored = await self._records.change(self.record, change)
            if stored is not None and self.is_mine(stored):
                self.update(stored)
            return stored

    def update(self, stored: Record) -> None:
        """Replace `record` by a newer version under this lease. A cancellation in it takes effect at once."""
        self.record = stored
        if stored.cancel_requested_at is not None:
            self._canceling.set()

    def check_canceled(self) -> None:
        """Raise CancelRequested where the generation was canceled."""
        if self._canceling.is_set():
            raise CancelRequested

    def is_mine(self, stored: Record) -> bool:
        """Return whether `stored` is this generation, not ended, under this lease."""
        return (
            stored.blob_stem == self.record.blob_stem
            and stored.lease_owner == self.record.lease_owner
            and stored.lease_expires_at is not None
        )

    async def run_under(self, work: Coroutine[Any, Any, T], keeps: Callable[[], bool] = lambda: False) -> T:
        """Return what `work` returns; cancel it when the lease is lost meanwhile, or the generation is canceled.

        A cancellation does not stop it while `keeps` returns that a paid answer is on its way. What `work` returns at
        the same moment counts.

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

    async def start(self) -> Record:
        """Note in the record that a model is about to be called.

        Raises CancelRequested, LeasedElsewhere, Gone, StorageUnavailable.
        """
        run_id, now = self._token(16), self.clock.now()

        def started(stored: Record) -> Record | None:
            mine = stored.status is Status.RUNNING and self.is_mine(stored) and not stored.canceling
            return stored.started(run_id, now) if mine and stored.run_id != run_id else None

        stored = await self.change(started)
        if stored is None or stored.is_gone(self.record):
            raise Gone(self.record.id)
        if stored.run_id != run_id:
            self.check_canceled()
            raise LeasedElsewhere(stored)
        return stored

    async def release(self) -> None:
        """Give the lease back, where it is still this one, so that the next process need not wait for it to expire."""
        await self.stop()
        now = self._records.now()

        def released(stored: Record) -> Record | None:
            return stored.released(now) if stored.status is Status.RUNNING and self.is_mine(stored) else None

        await self.change(released)

    async def try_release(self) -> None:
        """Give the lease back; where the storage is down, it expires."""
        try:
            await self.release()
        except StorageUnavailable:
            log.warning("a lease was not released", extra={"generation": self.record.id})

    async def _renew(self) -> None:
        assert self._lost is not None  # noqa: S101 - the context was entered
        while True:
            await self.clock.sleep(self._seconds / RENEWALS)
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


class Leases:
    """The leases of this process."""

    def __init__(
        self, records: Records, limits: RunLimits, clock: Clock, token: Callable[[int], str] = secrets.token_hex
    ) -> None:
        self._records = records
        self._limits = limits
        self._clock = clock
        self._token = token
        self._open: set[Lease] = set()

    def now(self) -> datetime:
        """Return the database's time, by which leases expire."""
        return self._records.now()

    def token(self, count: int) -> str:
        """Return `count` random bytes in hexadecimal."""
        return self._token(count)

    async def create(self, record: Record, *, queued: bool) -> Record:
        """Write a new record, leased to this process and started, or for the queue to run.

        Raises AlreadyThere, StorageUnavailable.
        """
        if queued:
            record = replace(record, lease_expires_at=self._in(QUEUE_SECONDS))
        else:
            record = record.claimed(self._token(16), self._in(self._limits.lease_seconds))
            record = record.started(self._token(16), record.created_at)
        return await self._records.create(record)

    async def reopen(self, record: Record, expected_usd: float, *, queued: bool) -> Record:
        """Let a generation that failed run again under its id. Raises Changed where another process did first."""
        owner, seconds = (None, QUEUE_SECONDS) if queued else (self._token(16), self._limits.lease_seconds)
        return await self._records.replace(record.reopened(owner, self._in(seconds), expected_usd))

    async def claim(self, record: Record) -> Record:
        """Take the lease; return a generation that has ended as it is.

        Raises LeasedElsewhere, Gone, StorageUnavailable.
        """
        owner = self._token(16)

        def claimed(stored: Record) -> Record | None:
            if stored.status is not Status.RUNNING or stored.leased(self.now()):
                return None
            return stored.claimed(owner, self._in(self._limits.lease_seconds))

        stored = await self._records.change(record, claimed)
        if stored is None or stored.status is Status.DELETING:
            raise Gone(record.id)
        if stored.status is Status.RUNNING and stored.lease_owner != owner:
            raise LeasedElsewhere(stored)
        return stored

    def exhausted(self, record: Record) -> bool:
        """Return whether too many processes have died with a generation to run it again."""
        return record.attempt_count > self._limits.max_recoveries or record.lost_claims > MAX_LOST_CLAIMS

    @asynccontextmanager
    async def hold(self, record: Record) -> AsyncIterator[Lease]:
        """Renew the lease that this process has of `record` while the context is open."""
        async with Lease(self._records, record, self._limits.lease_seconds, self._clock, self._token) as lease:
            self._open.add(lease)
            try:
                yield lease
            finally:
                self._open.discard(lease)

    def cancel(self, stored: Record) -> bool:
        """Stop the run of a generation whose record says that it was canceled; return whether this process runs it."""
        mine = [lease for lease in self._open if lease.record.id == stored.id and lease.is_mine(stored)]
        for lease in mine:
            lease.update(stored)
        return bool(mine)

    async def release_all(self) -> int:
        """Give back every lease, on a shutdown signal; return how many there were."""
        leases = tuple(self._open)
        for released in await asyncio.gather(*(lease.release() for lease in leases), return_exceptions=True):
            if isinstance(released, BaseException):
                log.warning("a lease was not released: %s", type(released).__name__)
        return len(leases)

    def _in(self, seconds: float) -> datetime:
        return self.now() + timedelta(seconds=seconds)
