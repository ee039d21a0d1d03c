"""One run of a generation under a lease: call the model, store the image and complete the record."""

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from image_core.clock import Deadline
from image_core.errors import ImageError, Internal
from image_core.generations.accounting import Accounting
from image_core.generations.billed_calls import BilledCalls
from image_core.generations.completion import Completion
from image_core.generations.held_inputs import HeldInputs
from image_core.generations.lease import CancelRequested, Lease, LeaseLost
from image_core.generations.limits import RunLimits
from image_core.generations.output_images import OutputImages
from image_core.generations.postprocessing import Postprocessing
from image_core.generations.record import LOST, Record
from image_core.generations.result import Gone, Result
from image_core.models.generated import CANCELED, OK, Attempt, Generated, Options
from image_core.models.provider import CallInputs
from image_core.runtime.telemetry import where

log = logging.getLogger("image_core.generations")


class Model(Protocol):
    """The chain of models (`models.chain.ModelChain`)."""

    async def generate(
        self,
        call_inputs: CallInputs,
        prompt: str,
        options: Options,
        deadline: Deadline,
        noted: Callable[[Attempt], None],
    ) -> Generated:
        """Make an image; `noted` gets each call when it has ended. Raises ModelError."""
        ...


class Execution:
    """Runs generations whose inputs are loaded."""

    def __init__(
        self,
        model: Model,
        postprocessing: Postprocessing,
        images: OutputImages,
        completion: Completion,
        accounting: Accounting,
        limits: RunLimits,
    ) -> None:
        self._model = model
        self._postprocessing = postprocessing
        self._images = images
        self._completion = completion
        self._accounting = accounting
        self._limits = limits

    async def start(self, lease: Lease) -> None:
        """Note in the record that a model is about to be called. Raises as `Lease.start` does."""
        stored = await lease.start()
        if stored.attempts and stored.attempts[-1].outcome == LOST:
            await self._accounting.enter_lost(stored, stored.attempts[-1:])

    async def run(self, lease: Lease, held: HeldInputs) -> Result:
        """Bring the generation of `lease`, which was started, to its end.

        An error of the model is written into the record, not raised. Raises Gone, StorageUnavailable.
        """
        calls = BilledCalls(lease, self._accounting)
        try:
            result = await self._run(lease, held, calls)
        except ImageError as error:
            self._accounting.measure(held.trace, lease.record, error.code, calls.made)
            raise
        finally:
            held.release()
        code = OK if result.record.failure is None else result.record.failure.code
        self._accounting.measure(held.trace, result.record, code, calls.made)
        return result

    async def _call(self, lease: Lease, held: HeldInputs, calls: BilledCalls) -> Generated | Result:
        """Call the model. Return its image, or the result if the generation has ended or another process runs it."""
        trace, record = held.trace, lease.record

        def noted(attempt: Attempt) -> None:
            calls.note(attempt)
            if attempt.outcome not in {OK, CANCELED}:
                lease.check_canceled()  # no further call

        deadline = trace.deadline(self._limits.deadline_seconds)
        call = self._model.generate(held, record.prompt, record.model_options, deadline, noted)
        try:
            with trace.step("model"):
                generated = await lease.run_under(call, lambda: held.arriving)
        except CancelRequested:
            calls.cancel(may_be_billed=held.may_be_billed)
            canceled = await self._timed(held, calls)
            return Result(await self._completion.cancel(canceled, calls.made))
        except LeaseLost as lost:
            log.warning("the lease was lost while the model was called", extra={"generation": record.id})
            if lost.stored is None or lost.stored.is_gone(record):
                await self._accounting.log_gone(await calls.settled(), calls.made)
                raise Gone(record.id) from lost
            return Result(lost.stored)
        except ImageError as error:
            return Result(await self._completion.fail(await self._timed(held, calls), error, calls.made))
        except Exception as error:  # noqa: BLE001 - the edge of a generation: a bug must not leave it running forever
            log.error("generation %s: unexpected %s", record.id, where(error))  # noqa: TRY400 - its message may hold what was sent
            unexpected = Internal(type(error).__name__)
            return Result(await self._completion.fail(await self._timed(held, calls), unexpected, calls.made))
        return replace(generated, attempts=calls.made)

    async def _run(self, lease: Lease, held: HeldInputs, calls: BilledCalls) -> Result:
        trace, record = held.trace, lease.record
        generated = await self._call(lease, held, calls)
        if isinstance(generated, Result):
            return generated
        # Replaces the variable: the image before its conversion must not stay in memory.
        generated = await self._postprocessing.apply(record, generated, held)
        with trace.step("picture"):
            if generated.turn is not None:
                held.received(generated.turn.size)
            stored, turn = await self._images.store(record, generated)
        generated = replace(generated, turn=None)  # its memory is needed no longer
        with trace.step("finish"):
            settled = replace(await self._timed(held, calls), turn=turn)
            if stored.waiting:
                await self._completion.postpone(settled, generated, stored)
                await lease.try_release()
                return Result(lease.record)
            completed = await self._completion.succeed(settled, generated, stored)
        mine = stored.mine and completed.output_image_url == stored.url
        return Result(completed, generated.image if mine else None)

    @staticmethod
    async def _timed(held: HeldInputs, calls: BilledCalls) -> Record:
        """Return the newest version of the record with the timings so far."""
        return replace(await calls.settled(), timings=held.trace.timings())
