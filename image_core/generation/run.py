"""One generation, from its record to its end. The story, to be read downwards.

`begin` writes the record before anything is paid for. `resume` is the same procedure for a first run, a retry, the queue
and the recovery; every step of it is safe to repeat, by this process or by another.
"""

import asyncio
import logging
import secrets
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial

from image_core import sniff
from image_core.clock import Clock, iso, milliseconds
from image_core.errors import (
    BlobMissing,
    BudgetExceeded,
    Busy,
    ImageError,
    Internal,
    Interrupted,
    StorageUnavailable,
    TooManyGenerations,
)
from image_core.generation.billing import Bill
from image_core.generation.endings import Endings
from image_core.generation.expected import Expected
from image_core.generation.limits import Limits
from image_core.generation.order import Held, Model, Order
from image_core.generation.outcome import Gone, Leased, Outcome
from image_core.generation.reading import MAX_OUTPUT_BYTES
from image_core.inflight import InflightBytes
from image_core.picture import Picture
from image_core.settings import Settings
from image_core.store.inputs import InputCopies
from image_core.store.ledger import Ledger
from image_core.store.pictures import Pictures
from image_core.store.record import InputCopy, Record
from image_core.store.records import Changed, Records
from image_core.telemetry import where
from image_core.trace import Trace
from image_core.user import User

log = logging.getLogger("image_core.generation")

LAST_WRITES_SECONDS = 5.0
"""Before a lease ends its holder stops writing, so that the next one does not meet it."""

QUEUE_SECONDS = 60.0
"""How long a record that was handed to the queue waits for it before the recovery sends it again."""


class Runner:
    """Begins generations and brings them to their end. One for the process."""

    def __init__(
        self,
        records: Records,
        ledger: Ledger,
        pictures: Pictures,
        copies: InputCopies,
        endings: Endings,
        limits: Limits,
        model: Model,
        inflight: InflightBytes,
        expected: Expected,
        settings: Settings,
        clock: Clock,
        token: Callable[[int], str] = secrets.token_hex,
    ) -> None:
        self._records = records
        self._ledger = ledger
        self._pictures = pictures
        self._copies = copies
        self._endings = endings
        self._limits = limits
        self._model = model
        self._inflight = inflight
        self._expected = expected
        self._settings = settings
        self._clock = clock
        self._token = token
        self._held: dict[str, Record] = {}

    def _now(self) -> str:
        return iso(self._clock.now())

    def _in(self, seconds: float) -> str:
        """A time of the database, for leases."""
        return iso(self._records.now() + timedelta(seconds=seconds))

    def new_owner(self) -> str:
        """The name of one claim: whoever finds it in a record knows whose lease that is."""
        return self._token(16)

    async def begin(self, user: User, order: Order, copies: Sequence[InputCopy], *, queued: bool) -> Record:
        """Write the record, `running` and leased to this process, or to nobody where the queue is to run it.

        Raises AlreadyThere, StorageUnavailable. Nothing has been paid for yet.
        """
        now = self._clock.now()
        record = Record(
            id=order.id or f"gen-{milliseconds(now)}-{self._token(8)}",
            user_id=user.id,
            prompt=order.prompt,
            input_images=tuple(
                address or f"/api/images/{copy.name}" for address, copy in zip(order.addresses, copies, strict=True)
            ),
            inputs=tuple(copies),
            options=order.options,
            created_at=iso(now),
            request_hash=order.request_hash,
            blob_stem=f"generated-{milliseconds(now)}-{self._token(16)}",
            trace_parent=order.trace_parent,
            expected_usd=order.expected_usd,
        )
        if queued:
            record = replace(record, lease_expires_at=self._in(QUEUE_SECONDS))
        else:
            record = record.claimed(self.new_owner(), self._in(self._settings.lease_seconds))
            record = record.started(self._token(16), iso(now))
        return await self._records.create(record)

    async def reopen(self, record: Record, expected_usd: float, *, queued: bool) -> Record:
        """Let a failed generation run again under its id. Raises Changed where somebody else did first."""
        owner, seconds = (None, QUEUE_SECONDS) if queued else (self.new_owner(), self._settings.lease_seconds)
        return await self._records.replace(record.reopened(owner, self._in(seconds), expected_usd))

    async def resume(self, record: Record) -> Outcome:
        """Bring a generation to its end, whoever began it. Safe to repeat.

        Raises Leased while another process holds it, Gone where it was deleted, StorageUnavailable, Busy.
        """
        outcome = await self._ended_already(record)
        if outcome is not None:
            return outcome
        record = await self._claim(record)
        if record.status != "running":
            return Outcome(record)
        return await self.again(record)

    async def again(self, record: Record) -> Outcome:
        """Bring a generation to its end whose inputs are no longer in memory, under a lease that was just taken."""
        recovered = await self._picture_there(record)
        if recovered is not None:
            return recovered
        if record.attempt_count > self._settings.max_recoveries:
            return Outcome(
                await self._endings.fail(record, Interrupted(), self._last_writes(), record.lost(self._now()))
            )
        claim, trace = self._inflight.claim(record.user), Trace(self._clock, record.trace_parent)
        size = sum(copy.size for copy in record.inputs)
        held = Held(claim, trace, size, partial(self._copies.read_all, record.user, record.inputs))
        try:
            if record.attempt_count == 0:
                await self._limits.check_start(record)
            with trace.step("inputs"):
                await claim.enter(size)
                await held.pictures()
            record = await self._start(record)
        except (Busy, StorageUnavailable):
            held.release()
            await self.release(record)  # nothing was paid for: let whoever is next try at once
            raise
        except (Internal, TooManyGenerations, BudgetExceeded) as error:
            held.release()
            return Outcome(await self._endings.fail(record, error, self._last_writes()))
        except BaseException:
            held.release()
            raise
        return await self.run(record, held)

    async def _start(self, record: Record) -> Record:
        """Note in the record that a model is about to be called. Raises Leased, Gone, StorageUnavailable."""
        run_id, now = self._token(16), self._now()

        def started(stored: Record) -> Record | None:
            mine = stored.status == "running" and stored.lease_owner == record.lease_owner
            return stored.started(run_id, now) if mine and stored.run_id != run_id else None

        stored = await self._records.change(record, started)
        if stored is None or stored.status == "deleting":
            raise Gone(record.id)
        if stored.run_id != run_id:
            raise Leased(stored)
        return stored

    async def run(self, record: Record, held: Held) -> Outcome:
        """From the inputs to the end, under a lease that this process has just taken.

        An error of the model is written into the record, not raised. Raises Gone, StorageUnavailable.
        """
        self._held[record.id] = record
        bill = Bill(self._records, self._ledger, record)
        try:
            outcome = await self._run(record, held, bill)
        except ImageError as error:
            held.trace.ended(error.code, record.model, bill.made)
            raise
        finally:
            held.release()
            del self._held[record.id]
        held.trace.ended((outcome.record.error or {}).get("code", "ok"), outcome.record.model, bill.made)
        return outcome

    async def _run(self, record: Record, held: Held, bill: Bill) -> Outcome:
        began, trace = self._clock.monotonic(), held.trace
        lease = self._clock.deadline(self._last_writes())
        deadline = self._clock.deadline(self._settings.generation_deadline_seconds)
        try:
            with trace.step("model"):
                generated = await self._model.generate(held, record.prompt, record.options, deadline, bill.note)
        except ImageError as error:
            failing = replace(await bill.settled(), timings=trace.timings())
            return Outcome(await self._endings.fail(failing, error, lease.remaining(), bill.made))
        except Exception as error:  # noqa: BLE001 - the edge of a generation: a bug must not leave it running for ever
            log.error("generation %s broke: %s", record.id, where(error))  # noqa: TRY400 - its message may hold what was sent
            broken = Internal(type(error).__name__)
            failing = replace(await bill.settled(), timings=trace.timings())
            return Outcome(await self._endings.fail(failing, broken, lease.remaining(), bill.made))
        generated = replace(generated, attempts=bill.made)
        with trace.step("picture"):
            stored = await self._endings.store(record, generated.picture, lease.remaining())
        with trace.step("finish"):
            with_picture = replace(await bill.settled(), timings=trace.timings())
            finished = await self._endings.succeed(with_picture, generated, stored, lease.remaining())
        self._expected.saw(generated.model, record.options.image_size, self._clock.monotonic() - began)
        mine = stored.mine and finished.output_image_url == stored.url
        return Outcome(finished, generated.picture if mine else None)

    def _last_writes(self) -> float:
        return max(1.0, self._settings.lease_seconds - LAST_WRITES_SECONDS)

    async def _ended_already(self, record: Record) -> Outcome | None:
        if record.status == "deleting":
            raise Gone(record.id)
        if record.status != "running":
            return Outcome(record)
        finished = await self._endings.from_outbox(record)
        return None if finished is None else Outcome(finished)

    async def _claim(self, record: Record) -> Record:
        """Take the lease. Returns a finished record as it is; raises Leased, Gone."""
        owner = self.new_owner()
        while record.status == "running":
            if record.leased(iso(self._records.now())):
                raise Leased(record)
            try:
                return await self._records.replace(record.claimed(owner, self._in(self._settings.lease_seconds)))
            except Changed as changed:
                if changed.stored is None:
                    raise Gone(record.id) from changed
                record = changed.stored
        if record.status == "deleting":
            raise Gone(record.id)
        return record

    async def _picture_there(self, record: Record) -> Outcome | None:
        """The end of a generation whose process died between storing the picture and writing so."""
        name = await self._pictures.find(record.user, record.blob_stem)
        if name is None:
            return None
        try:
            data = await self._pictures.read(record.user, name, MAX_OUTPUT_BYTES)
        except BlobMissing:
            return None
        header = await asyncio.to_thread(sniff.sniff, data)
        if header is None:
            raise StorageUnavailable("The stored picture cannot be read")
        picture = Picture(data, header.mime_type, header.width, header.height)
        finished = await self._endings.recover(record, name, picture, self._last_writes())
        return Outcome(finished, picture)

    async def release(self, record: Record) -> None:
        """Give the lease back, where it is still this one, so that the recovery need not wait for it to end."""
        now = iso(self._records.now())

        def released(stored: Record) -> Record | None:
            mine = stored.status == "running" and stored.lease_owner == record.lease_owner
            return stored.released(now) if mine else None

        await self._records.change(record, released)

    async def release_all(self) -> int:
        """On a stop signal: give back every lease of this process. How many there were."""
        held = tuple(self._held.values())
        for released in await asyncio.gather(*map(self.release, held), return_exceptions=True):
            if isinstance(released, BaseException):
                log.warning("a lease was not released: %s", type(released).__name__)
        return len(held)
