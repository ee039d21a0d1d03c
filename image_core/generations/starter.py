"""Start a generation: create its record, or find the one that its idempotency key has already, and run it."""

from dataclasses import dataclass

from image_core.auth.user import User
from image_core.billing.admission import Admission, Reservation
from image_core.clock import Clock
from image_core.errors import Busy, IdempotencyMismatch
from image_core.generations import context
from image_core.generations.background import BackgroundTasks
from image_core.generations.held_inputs import HeldInputs
from image_core.generations.history import History
from image_core.generations.lease import Leases
from image_core.generations.queue_message import QueueMessage
from image_core.generations.record import Record, Status
from image_core.generations.records import AlreadyThere, Changed, Records
from image_core.generations.request import GenerationRequest
from image_core.generations.request_inputs import StoredRequest
from image_core.generations.result import Result
from image_core.storage.naming import new_record_id, new_stem


@dataclass(frozen=True, slots=True)
class Submitted:
    """The generation of a request.

    `replayed`: an earlier one with its key had succeeded. `queued`: the queue is to run it.
    """

    result: Result
    replayed: bool = False
    queued: bool = False


@dataclass(frozen=True, slots=True)
class NewGeneration:
    """What the record of a new generation needs beside its inputs. `reservation` has its expected cost.

    The reservation also has the id that its key gives, and without a key gets the one of the record.
    """

    user: User
    request: GenerationRequest
    request_hash: str
    reservation: Reservation
    parent: Record | None = None
    trace_parent: str | None = None


class Starter:
    """Starts generations. One for the process."""

    def __init__(
        self,
        records: Records,
        history: History,
        admission: Admission,
        leases: Leases,
        tasks: BackgroundTasks,
        clock: Clock,
    ) -> None:
        self._records = records
        self._history = history
        self._admission = admission
        self._leases = leases
        self._tasks = tasks
        self._clock = clock

    async def create(self, new: NewGeneration, inputs: StoredRequest, *, queued: bool) -> Record | Submitted:
        """Write the record, leased to this process or for the queue to run. Nothing has been paid for yet.

        Returns the other generation where one was created under the same key at the same moment. Raises as `find` does.
        """
        while True:
            record = self._record(new, inputs)
            new.reservation.record_id = record.id  # once it is written, limits count it once
            try:
                return await self._leases.create(record, queued=queued)
            except AlreadyThere as there:
                repeated = await self.repeat(there.stored, new.request_hash, queued=queued)
                if repeated is not None:
                    return repeated

    def _record(self, new: NewGeneration, inputs: StoredRequest) -> Record:
        now, parent = self._clock.now(), new.parent
        return Record(
            id=new.reservation.record_id or new_record_id(now, self._leases.token(8)),
            user_id=new.user.id,
            prompt=new.request.prompt,
            input_images=inputs.addresses,
            inputs=inputs.copies,
            options=new.request.options,
            created_at=now,
            request_hash=new.request_hash,
            edit=inputs.edit,
            blob_stem=new_stem(now, self._leases.token(16)),
            parent_id=None if parent is None else parent.id,
            root_id=None if parent is None else parent.root_id or parent.id,
            context=inputs.turns,
            trace_parent=new.trace_parent,
            expected_usd=new.reservation.usd,
        )

    def run(self, record: Record, held: HeldInputs) -> None:
        """Run a new generation in the background."""
        self._tasks.run(record, held)

    def message(self, record: Record) -> str:
        """Return the message with which the queue runs a generation."""
        return QueueMessage(record.id, record.user_id, self._leases.now()).to_json()

    async def find(self, user: User, record_id: str, request_hash: str, *, queued: bool) -> Submitted | None:
        """Return the generation of a key, run again where it failed and may succeed; None where the key is free.

        Raises IdempotencyMismatch, TooManyGenerations, BudgetExceeded, Busy, StorageUnavailable.
        """
        stored = await self._records.read(user, record_id)
        return None if stored is None else await self.repeat(stored, request_hash, queued=queued)

    async def check(self, user: User, record_id: str, request_hash: str) -> None:
        """Raise IdempotencyMismatch where the key belongs to another request."""
        stored = await self._records.read(user, record_id)
        if stored is not None and stored.status is not Status.DELETING and stored.request_hash != request_hash:
            raise IdempotencyMismatch

    async def repeat(self, stored: Record, request_hash: str, *, queued: bool) -> Submitted | None:
        """Return what becomes of a request whose key `stored` has; None where the key is free again.

        Raises as `find` does.
        """
        while stored.status is not Status.DELETING:
            if stored.request_hash != request_hash:
                raise IdempotencyMismatch
            if stored.status is Status.RUNNING:
                return Submitted(Result(stored))
            if stored.failure is None or not stored.failure.retryable:
                return Submitted(Result(stored), replayed=stored.status is Status.SUCCEEDED)
            try:
                record = await self._reopen(stored, queued=queued)
            except Changed as changed:  # of several at once one runs it, the others wait
                if changed.stored is None:
                    return None
                stored = changed.stored
                continue
            if not queued:
                self._tasks.rerun(record)
            return Submitted(Result(record), queued=queued)
        if stored.leased(self._leases.now()):
            # Its process may still store an image, to which only this record leads.
            raise Busy("The generation of this Idempotency-Key is being deleted", retry_after=10)
        await self._history.finish_deleting(stored)
        return None

    async def _reopen(self, stored: Record, *, queued: bool) -> Record:
        # It is paid for once more: the limits apply to it as well.
        usd = self._admission.expected_usd(
            stored.options, len(stored.input_images), len(stored.prompt), context.size(stored.context)
        )
        async with self._admission.admitted(stored.user, usd, stored.id):
            return await self._leases.reopen(stored, usd, queued=queued)
