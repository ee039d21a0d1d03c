"""One generation, from its record to its end. The story, to be read downwards.

`begin` writes the record before anything is paid for. `resume` is the same procedure for a first run, a retry, the queue
and the recovery; every step of it is safe to repeat, by this process or by another.
"""

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

from image_core.auth.user import User
from image_core.billing.admission import Limits
from image_core.clock import Clock, milliseconds
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
from image_core.generations.billed_calls import Bill
from image_core.generations.completion import Completion
from image_core.generations.context import Conversations
from image_core.generations.expected import Expected
from image_core.generations.lease import CancelRequested, Lease, LeaseLost
from image_core.generations.order import Held, Model, Order
from image_core.generations.outcome import Gone, Leased, Outcome
from image_core.generations.reading import MAX_OUTPUT_BYTES
from image_core.generations.record import (
    LOST,
    WARNING_MASK_MISALIGNED,
    WARNING_MASK_NOT_APPLIED,
    WARNING_METADATA_LOST,
    InputCopy,
    MaskedEdit,
    Record,
    Status,
    StoredTurn,
)
from image_core.generations.rendering import COMPOSE_SECONDS, CONVERT_SECONDS, Rendering
from image_core.generations.trace import Trace
from image_core.images import probe
from image_core.images.image import DEFAULT_QUALITY, MIME_TYPES, Image, Target
from image_core.images.metadata import has_provenance
from image_core.models.generated import CANCELED, OK, Attempt, Generated
from image_core.runtime.memory_budget import GROWTH_SECONDS, Claim, MemoryBudget
from image_core.runtime.offload import offloaded
from image_core.runtime.telemetry import where
from image_core.settings import FUNCTION_TIMEOUT_SECONDS, Settings
from image_core.storage.images import StoredImage, StoredImages
from image_core.storage.ledger import Ledger
from image_core.storage.records import Records

log = logging.getLogger("image_core.generations")

KEEP_SECONDS = 300.0
"""The longest that an image, or the end of a generation, waits in memory for a storage that is down."""
MARGIN_SECONDS = 10.0
"""Between the last write of an invocation and the host's own timeout."""

MAX_LOST_CLAIMS = 5
"""How often a process may die with a generation before it has called a model for it."""

MOST_ENLARGED = 1.25
"""How much larger the part of an image may be than what the model made for it, before the caller is warned."""

QUEUE_SECONDS = 60.0
"""How long a record that was handed to the queue waits for it before the recovery sends it again."""


class Runner:
    """Begins generations and brings them to their end. One for the process."""

    def __init__(
        self,
        records: Records,
        ledger: Ledger,
        pictures: StoredImages,
        conversations: Conversations,
        completion: Completion,
        limits: Limits,
        model: Model,
        memory_budget: MemoryBudget,
        expected: Expected,
        rendering: Rendering,
        settings: Settings,
        clock: Clock,
        token: Callable[[int], str] = secrets.token_hex,
    ) -> None:
        self._records = records
        self._ledger = ledger
        self._pictures = pictures
        self._conversations = conversations
        self._completion = completion
        self._limits = limits
        self._model = model
        self._memory_budget = memory_budget
        self._expected = expected
        self._rendering = rendering
        self._settings = settings
        self._clock = clock
        self._token = token
        self._held: set[Lease] = set()

    def _in(self, seconds: float) -> datetime:
        """A time of the database, for leases."""
        return self._records.now() + timedelta(seconds=seconds)

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
            created_at=now,
            request_hash=order.request_hash,
            edit=order.edit,
            blob_stem=f"generated-{milliseconds(now)}-{self._token(16)}",
            parent_id=order.parent_id,
            root_id=order.root_id,
            context=order.context,
            trace_parent=order.trace_parent,
            expected_usd=order.expected_usd,
        )
        if queued:
            record = replace(record, lease_expires_at=self._in(QUEUE_SECONDS))
        else:
            record = record.claimed(self.new_owner(), self._in(self._settings.lease_seconds))
            record = record.started(self._token(16), now)
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
        if record.status is not Status.RUNNING:
            return Outcome(record)
        return await self.again(record)

    async def again(self, record: Record) -> Outcome:
        """Bring a generation to its end whose inputs are no longer in memory, under a lease that was just taken.

        Raises Leased where another process took the lease meanwhile, Gone, StorageUnavailable, Busy.
        """
        async with self._leased(record) as lease:
            claim, trace = self._memory_budget.claim(record.user_id), Trace(self._clock, record.trace_parent)
            held = self._conversations.hold(record, claim, trace)
            try:
                ended = await self._prepare(lease, held, claim)
            except (Busy, StorageUnavailable):
                held.release()
                await self._give_back(lease)  # nothing was paid for: the next process need not wait
                raise
            except CancelRequested:
                held.release()
                return await self._cancel(lease)
            except LeaseLost as lost:
                held.release()
                if lost.stored is None or _is_gone(lost.stored, record):
                    raise Gone(record.id) from lost
                if lost.stored.status is Status.RUNNING:
                    raise Leased(lost.stored) from lost
                return Outcome(lost.stored)
            except (Internal, TooManyGenerations, BudgetExceeded) as error:
                held.release()
                return Outcome(await self._completion.fail(lease.record, error, self._keep_seconds))
            except BaseException:
                held.release()
                raise
            return ended or await self._run(lease, held)

    async def _prepare(self, lease: Lease, held: Held, claim: Claim) -> Outcome | None:
        """What comes before a run: the end where there is one already, else the inputs in memory and the start in the record."""
        record = lease.record
        recovered = await self._image_there(record)
        if recovered is not None:
            return recovered
        if record.canceling:
            raise CancelRequested
        if record.attempt_count > self._settings.max_recoveries or record.lost_claims > MAX_LOST_CLAIMS:
            lost = record.lost(self._clock.now())
            return Outcome(await self._completion.fail(record, Interrupted(), self._keep_seconds, lost))
        if record.attempt_count == 0:
            await self._limits.check_start(record)
        with held.trace.step("inputs"):
            await lease.while_held(_loaded(held, claim))
        await self._start(lease)
        return None

    async def _cancel(self, lease: Lease) -> Outcome:
        """End a generation that was canceled before this process called a model for it. An earlier one may have."""
        record = lease.record
        lost = record.lost(self._clock.now())
        if lost:
            with suppress(StorageUnavailable):  # the change feed's function enters it, too
                await self._ledger.write(replace(record, attempts=lost))
        return Outcome(await self._completion.cancel(record, self._keep_seconds, lost))

    def cancel(self, stored: Record) -> bool:
        """Stop the run of a generation whose record says that it was canceled. Whether this process runs it."""
        mine = [lease for lease in self._held if lease.record.id == stored.id and lease.is_mine(stored)]
        for lease in mine:
            lease.saw(stored)
        return bool(mine)

    async def _start(self, lease: Lease) -> None:
        """Note in the record that a model is about to be called. Raises Leased, Gone, StorageUnavailable."""
        run_id, now = self._token(16), self._clock.now()

        def started(stored: Record) -> Record | None:
            mine = stored.status is Status.RUNNING and lease.is_mine(stored) and not stored.canceling
            return stored.started(run_id, now) if mine and stored.run_id != run_id else None

        stored = await lease.change(started)
        if stored is None or _is_gone(stored, lease.record):
            raise Gone(lease.record.id)
        if stored.run_id != run_id:
            lease.check_canceled()
            raise Leased(stored)
        if stored.attempts and stored.attempts[-1].outcome == LOST:
            with suppress(StorageUnavailable):  # the change feed's function enters it, too
                await self._ledger.write(replace(stored, attempts=stored.attempts[-1:]))

    async def run(self, record: Record, held: Held) -> Outcome:
        """From the inputs to the end, under a lease that this process has just taken.

        An error of the model is written into the record, not raised. Raises Gone, StorageUnavailable.
        """
        async with self._leased(record) as lease:
            return await self._run(lease, held)

    @asynccontextmanager
    async def _leased(self, record: Record) -> AsyncIterator[Lease]:
        """The lease of `record`, renewed, and given back on a stop signal."""
        async with Lease(self._records, record, self._settings.lease_seconds, self._clock) as lease:
            self._held.add(lease)
            try:
                yield lease
            finally:
                self._held.discard(lease)

    async def _run(self, lease: Lease, held: Held) -> Outcome:
        bill = Bill(lease, self._ledger)
        try:
            outcome = await self._run_to_the_end(lease, held, bill)
        except ImageError as error:
            held.trace.ended(error.code, lease.record.model, bill.made)
            raise
        finally:
            held.release()
        held.trace.ended(
            OK if outcome.record.failure is None else outcome.record.failure.code, outcome.record.model, bill.made
        )
        return outcome

    async def _run_to_the_end(self, lease: Lease, held: Held, bill: Bill) -> Outcome:
        began, trace, record = self._clock.monotonic(), held.trace, lease.record
        deadline = self._clock.deadline(self._settings.generation_deadline_seconds)

        def noted(attempt: Attempt) -> None:
            bill.note(attempt)
            if attempt.outcome not in {OK, CANCELED}:
                lease.check_canceled()  # no further call

        call = self._model.generate(held, record.prompt, record.model_options, deadline, noted)
        try:
            with trace.step("model"):
                generated = await lease.while_held(call, lambda: held.arriving)
        except CancelRequested:
            bill.canceled(sent=held.left)
            canceling = replace(await bill.settled(), timings=trace.timings())
            return Outcome(await self._completion.cancel(canceling, self._keep_seconds, bill.made))
        except LeaseLost as lost:
            log.warning("the lease was lost while the model was called", extra={"generation": record.id})
            if lost.stored is None or _is_gone(lost.stored, record):
                await self._completion.log_gone(await bill.settled(), bill.made)
                raise Gone(record.id) from lost
            return Outcome(lost.stored)
        except ImageError as error:
            failing = replace(await bill.settled(), timings=trace.timings())
            return Outcome(await self._completion.fail(failing, error, self._keep_seconds, bill.made))
        except Exception as error:  # noqa: BLE001 - the edge of a generation: a bug must not leave it running for ever
            log.error("generation %s broke: %s", record.id, where(error))  # noqa: TRY400 - its message may hold what was sent
            broken = Internal(type(error).__name__)
            failing = replace(await bill.settled(), timings=trace.timings())
            return Outcome(await self._completion.fail(failing, broken, self._keep_seconds, bill.made))
        generated = await self._in_format(record, replace(generated, attempts=bill.made), held)
        with trace.step("picture"):
            stored, turn = await self._store(record, generated, held)
        generated = replace(generated, turn=None)
        with trace.step("finish"):
            with_image = replace(await bill.settled(), timings=trace.timings(), turn=turn)
            if stored.waiting:
                await self._completion.postpone(with_image, generated, stored, self._keep_seconds)
                await self._give_back(lease)
                return Outcome(lease.record)
            finished = await self._completion.succeed(with_image, generated, stored, self._keep_seconds)
        self._expected.saw(generated.model, record.options.image_size, self._clock.monotonic() - began)
        mine = stored.mine and finished.output_image_url == stored.url
        return Outcome(finished, generated.picture if mine else None)

    async def _store(self, record: Record, generated: Generated, held: Held) -> tuple[StoredImage, StoredTurn | None]:
        """Store the image and, beside it, the model's turn. Raises StorageUnavailable where the image cannot be stored."""
        if generated.turn is not None:
            held.received(generated.turn.size)
        keeping = asyncio.create_task(self._conversations.keep(record, generated.model, generated.turn))
        try:
            stored = await self._completion.store(record, generated.picture, self._keep_seconds)
            turn = await keeping
        finally:
            keeping.cancel()
        return stored, turn if stored.mine else None  # another process's image counts, which this turn does not show

    async def _in_format(self, record: Record, generated: Generated, held: Held) -> Generated:
        """The image in the format that the request asked for; as the model made it where it cannot be converted."""
        if record.edit is not None:
            return await self._composed(record, record.edit, generated, held)
        made, wanted = generated.picture, record.options.output_format
        if wanted is None or made.mime_type == MIME_TYPES[wanted]:
            return generated
        with held.trace.step("convert"):
            target = Target(None, wanted, record.options.output_quality or DEFAULT_QUALITY)
            converted = await self._rendering.convert(record.user, made, target)
            if converted is None:
                kept = f"format_kept: the image could not be converted to {wanted}, and is {made.mime_type}"
                return replace(generated, warnings=(*generated.warnings, kept))
            held.received(len(converted.data))
            lost = await offloaded(len(made.data), partial(has_provenance, made.data, made.mime_type))
        warnings = (*generated.warnings, WARNING_METADATA_LOST) if lost else generated.warnings
        return replace(generated, picture=converted, warnings=warnings)

    async def _composed(self, record: Record, edit: MaskedEdit, generated: Generated, held: Held) -> Generated:
        """The first input with what the model made in the place of its mask; as the model made it where that fails."""
        made, options = generated.picture, record.options
        target = Target(None, options.output_format or "png", options.output_quality or DEFAULT_QUALITY)
        with held.trace.step("compose"):
            await held.receiving(edit.edited_bytes + edit.mask.size, GROWTH_SECONDS)
            composed = await self._rendering.compose(record, edit, made, target, self._compose_seconds)
            if composed is None:
                return replace(generated, warnings=(*generated.warnings, WARNING_MASK_NOT_APPLIED))
            held.received(len(composed.image.data))
            lost = await offloaded(len(made.data), partial(has_provenance, made.data, made.mime_type))
        warnings = list(generated.warnings)
        if edit.crop.box.width > MOST_ENLARGED * made.width:
            enlarged = (
                f"enlarged from {made.width} x {made.height} pixels to {edit.crop.box.width} x {edit.crop.box.height}"
            )
            warnings.append(f"size_reduced: the edited part was {enlarged}; a larger imageSize has more detail")
        if composed.image.mime_type != MIME_TYPES[target.format]:
            warnings.append(
                f"format_changed: as a PNG the image is too large to be kept; it is {composed.image.mime_type}"
            )
        if not composed.aligned:
            warnings.append(WARNING_MASK_MISALIGNED)
        if lost:
            warnings.append(WARNING_METADATA_LOST)
        return replace(generated, picture=composed.image, warnings=tuple(warnings))

    @property
    def _keep_seconds(self) -> float:
        """How long an image, and the end of a generation, wait in memory for a storage that is down."""
        return min(KEEP_SECONDS, self._seconds_after_model - max(CONVERT_SECONDS, self._compose_seconds))

    @property
    def _compose_seconds(self) -> float:
        return min(COMPOSE_SECONDS, self._seconds_after_model / 2)

    @property
    def _seconds_after_model(self) -> float:
        """What an invocation has left when the generation's deadline has passed."""
        return FUNCTION_TIMEOUT_SECONDS - self._settings.generation_deadline_seconds - MARGIN_SECONDS

    async def _ended_already(self, record: Record) -> Outcome | None:
        if record.status is Status.DELETING:
            raise Gone(record.id)
        if record.status is not Status.RUNNING:
            return Outcome(record)
        finished = await self._completion.from_outbox(record)
        return None if finished is None else Outcome(finished)

    async def _claim(self, record: Record) -> Record:
        """Take the lease. Returns a finished record as it is; raises Leased, Gone, StorageUnavailable."""
        owner = self.new_owner()

        def claimed(stored: Record) -> Record | None:
            if stored.status is not Status.RUNNING or stored.leased(self._records.now()):
                return None
            return stored.claimed(owner, self._in(self._settings.lease_seconds))

        stored = await self._records.change(record, claimed)
        if stored is None or stored.status is Status.DELETING:
            raise Gone(record.id)
        if stored.status is Status.RUNNING and stored.lease_owner != owner:
            raise Leased(stored)
        return stored

    async def _image_there(self, record: Record) -> Outcome | None:
        """The end of a generation whose process died between storing the picture and writing so."""
        name = await self._pictures.find(record.user, record.blob_stem) or await self._completion.image_from_outbox(
            record
        )
        if name is None:
            return None
        try:
            data = await self._pictures.read(record.user, name, MAX_OUTPUT_BYTES)
        except BlobMissing:
            return None
        header = await asyncio.to_thread(probe.read_header, data)
        if header is None:
            raise StorageUnavailable("The stored picture cannot be read")
        picture = Image(data, header.mime_type, header.width, header.height)
        finished = await self._completion.recover(record, name, picture, self._keep_seconds)
        return Outcome(finished, picture)

    async def release(self, lease: Lease) -> None:
        """Give a lease back, where it is still this one, so that the next process need not wait for it to end."""
        await lease.stop()
        now = self._records.now()

        def released(stored: Record) -> Record | None:
            return stored.released(now) if stored.status is Status.RUNNING and lease.is_mine(stored) else None

        await lease.change(released)

    async def _give_back(self, lease: Lease) -> None:
        try:
            await self.release(lease)
        except StorageUnavailable:
            log.warning("a lease was not released", extra={"generation": lease.record.id})

    async def release_all(self) -> int:
        """On a stop signal: give back every lease of this process. How many there were."""
        held = tuple(self._held)
        for released in await asyncio.gather(*map(self.release, held), return_exceptions=True):
            if isinstance(released, BaseException):
                log.warning("a lease was not released: %s", type(released).__name__)
        return len(held)


async def _loaded(held: Held, claim: Claim) -> None:
    """Wait for memory for the inputs of `held`, and read them."""
    await claim.enter(held.size)
    await held.pictures()


def _is_gone(stored: Record, mine: Record) -> bool:
    """Whether what was begun as `mine` was deleted. Another stem is another generation: its key was free again."""
    return stored.status is Status.DELETING or stored.blob_stem != mine.blob_stem
