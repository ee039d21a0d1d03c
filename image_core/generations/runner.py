"""Bring a generation from its record to its end.

`resume` is the same procedure for a retry, the queue and the recovery; every step of it is safe to repeat, by this
process or by another.
"""

from image_core.billing.admission import Admission
from image_core.errors import BudgetExceeded, Busy, Internal, StorageUnavailable, TooManyGenerations
from image_core.generations.completion import Completion
from image_core.generations.execution import Execution
from image_core.generations.held_inputs import HeldInputs
from image_core.generations.lease import CancelRequested, Lease, LeaseLost, Leases
from image_core.generations.outbox_delivery import OutboxDelivery
from image_core.generations.record import Record, Status
from image_core.generations.result import Gone, LeasedElsewhere, Result
from image_core.generations.run_inputs import RunInputs
from image_core.generations.unended import queued


class Runner:
    """Runs generations. One for the process."""

    def __init__(
        self,
        leases: Leases,
        inputs: RunInputs,
        admission: Admission,
        execution: Execution,
        completion: Completion,
        delivery: OutboxDelivery,
    ) -> None:
        self._leases = leases
        self._inputs = inputs
        self._admission = admission
        self._execution = execution
        self._completion = completion
        self._delivery = delivery

    async def run(self, record: Record, held: HeldInputs) -> Result:
        """Run a generation whose inputs are in memory, under a lease that this process has just taken.

        An error of the model is written into the record, not raised. Raises Gone, StorageUnavailable.
        """
        async with self._leases.hold(record) as lease:
            return await self._execution.run(lease, held)

    async def resume(self, record: Record) -> Result:
        """Bring a generation to its end, whichever process began it. Safe to repeat.

        Raises LeasedElsewhere while another process runs it, Gone where it was deleted, StorageUnavailable, Busy.
        """
        if record.status is Status.DELETING:
            raise Gone(record.id)
        if record.status is not Status.RUNNING:
            return Result(record)
        completed = await self._delivery.completed(record)
        if completed is not None:
            return Result(completed)
        record = await self._leases.claim(record)
        if record.status is not Status.RUNNING:
            return Result(record)
        return await self.rerun(record)

    async def rerun(self, record: Record) -> Result:
        """Run a generation whose inputs are no longer in memory, under a lease that this process has just taken.

        Raises LeasedElsewhere where another process took the lease meanwhile, Gone, StorageUnavailable, Busy.
        """
        async with self._leases.hold(record) as lease:
            held = self._inputs.stored(record)
            try:
                ended = await self._prepare(lease, held)
            except (Busy, StorageUnavailable):
                await lease.try_release()  # nothing was paid for: the next process need not wait
                raise
            except CancelRequested:
                return Result(await self._completion.cancel_unstarted(lease.record))
            except LeaseLost as lost:
                return _elsewhere(lost, record)
            except (Internal, TooManyGenerations, BudgetExceeded) as error:
                return Result(await self._completion.fail(lease.record, error))
            return ended or await self._execution.run(lease, held)

    async def _prepare(self, lease: Lease, held: HeldInputs) -> Result | None:
        """Return the result where there is one already, else load the inputs and start the run."""
        record = lease.record
        recovered = await self._delivery.recovered(record)
        if recovered is not None:
            return recovered
        if record.canceling:
            raise CancelRequested
        if self._leases.exhausted(record):
            return Result(await self._completion.interrupt(record))
        if record.attempt_count == 0:
            await self._admission.check_start(queued(record))
        try:
            with held.trace.step("inputs"):
                await lease.run_under(held.load())
            await self._execution.start(lease)
        except BaseException:
            held.release()
            raise
        return None


def _elsewhere(lost: LeaseLost, record: Record) -> Result:
    """Return what another process has made of `record`. Raises Gone, LeasedElsewhere."""
    if lost.stored is None or lost.stored.is_gone(record):
        raise Gone(record.id) from lost
    if lost.stored.status is Status.RUNNING:
        raise LeasedElsewhere(lost.stored) from lost
    return Result(lost.stored)
