"""Turn a request into a generation: the one that it repeats, or a new one that runs or is queued."""

from dataclasses import dataclass
from functools import partial
from typing import Protocol

from image_core.auth.user import User
from image_core.billing.admission import Admission
from image_core.clock import Deadline
from image_core.errors import ImageError
from image_core.generations import context
from image_core.generations.background import BackgroundTasks
from image_core.generations.idempotency import fingerprint, record_id
from image_core.generations.record import Record
from image_core.generations.request import GenerationRequest
from image_core.generations.request_inputs import RequestInputs
from image_core.generations.result import Result
from image_core.generations.run_inputs import RunInputs
from image_core.generations.starter import NewGeneration, Starter, Submitted
from image_core.images.region import Crop
from image_core.inputs.fit import MAX_INLINE_BYTES
from image_core.inputs.loader import LoadedInput
from image_core.models.generated import Options
from image_core.runtime.offload import offloaded


class Models(Protocol):
    """Answers questions about models before a generation exists. Implemented by `models.chain.ModelChain`."""

    def check_key(self) -> None:
        """Raise GeminiKeyMissing where no model can be called."""
        ...

    def check_options(self, options: Options, inputs: int) -> None:
        """Raise InvalidRequest if no model can serve the request."""
        ...

    def check_quota(self, options: Options, inputs: int) -> None:
        """Raise RateLimited where the quota of every model is used up."""
        ...

    def first(self, options: Options, inputs: int) -> str:
        """Return the model that is called first."""
        ...

    def warnings(self, options: Options, inputs: int) -> tuple[str, ...]:
        """Return the warnings about the models for the caller."""
        ...

    def context_warning(self, model: str, turns_of: str | None) -> str | None:
        """Return the warning for an edit that `model` makes without the earlier turns, which are of `turns_of`."""
        ...


@dataclass(frozen=True, slots=True)
class CheckedInput:
    """An input as the model would get it."""

    mime_type: str
    width: int
    height: int
    converted: bool

    @classmethod
    def of(cls, loaded: LoadedInput) -> "CheckedInput":
        """Return what a dry run says of an input."""
        image = loaded.image
        return cls(image.mime_type, image.width, image.height, loaded.converted)


@dataclass(frozen=True, slots=True)
class DryRun:
    """What a request would do and cost. `left_usd` is what the caller may still spend now, None without a budget."""

    model: str
    estimated_usd: float
    inputs: tuple[CheckedInput, ...]
    left_usd: float | None
    warnings: tuple[str, ...]
    crop: Crop | None = None
    """The part of the first image that the model would be asked to edit; None without a mask."""


class Submission:
    """Checks requests and begins their generations. One for the process."""

    def __init__(
        self,
        starter: Starter,
        inputs: RequestInputs,
        runs: RunInputs,
        admission: Admission,
        models: Models,
        tasks: BackgroundTasks,
    ) -> None:
        self._starter = starter
        self._inputs = inputs
        self._runs = runs
        self._admission = admission
        self._models = models
        self._tasks = tasks

    def check(self, request: GenerationRequest) -> None:
        """Check a request as far as that needs nothing else. Raises InvalidRequest, GeminiKeyMissing."""
        self._models.check_options(request.options, request.input_count)
        self._models.check_key()

    async def begin(
        self,
        user: User,
        request: GenerationRequest,
        key: str | None,
        *,
        queued: bool,
        trace_parent: str | None = None,
        deadline: Deadline | None = None,
    ) -> Submitted:
        """Repeat the generation of the request, or begin one; neither is waited for.

        Until `deadline` the inputs may wait for memory, and for their turn to be fetched and converted.

        Raises IdempotencyMismatch, TooManyGenerations, BudgetExceeded, RateLimited, Busy, InputError, ImagesTooLarge,
        StorageUnavailable; Gone where it was deleted.
        """
        request_hash = await _hash(request)
        key_id = None if key is None else record_id(user, key)
        if key_id is not None:
            repeated = await self._starter.find(user, key_id, request_hash, queued=queued)
            if repeated is not None:
                return repeated
        parent = await self._inputs.parent(user, request)
        usd = self._expected_usd(request, parent)
        async with self._admission.admitted(user, usd, key_id) as reservation:
            self._models.check_quota(request.options, request.input_count)
            new = NewGeneration(user, request, request_hash, reservation, parent, trace_parent)
            return await self._begin(new, deadline, queued=queued)

    async def _begin(self, new: NewGeneration, deadline: Deadline | None, *, queued: bool) -> Submitted:
        """Load and keep the inputs, write the record, and run it unless it is queued."""
        claim, trace = self._runs.claim(new.user.id, deadline), self._runs.trace()
        try:
            with trace.step("inputs"):
                loaded = await self._inputs.load(new.user, new.request, new.parent, claim)
            if loaded.turns:
                await claim.grow(context.memory(loaded.turns))
            with trace.step("copies"):
                stored = await self._inputs.keep(new.user, loaded)
            with trace.step("record"):
                created = await self._starter.create(new, stored, queued=queued)
        except BaseException:
            claim.release()
            raise
        if isinstance(created, Submitted):
            claim.release()
            return created
        if queued:
            claim.release()
            return Submitted(Result(created), queued=True)
        self._starter.run(created, self._runs.loaded(created, claim, trace, loaded.images))
        return Submitted(Result(created))

    async def dry_run(
        self, user: User, request: GenerationRequest, key: str | None, deadline: Deadline | None = None
    ) -> DryRun:
        """Check a request as `begin` does and load its inputs; no record, no copy, no call, and the key is not used up.

        Raises what `begin` would.
        """
        key_id = None if key is None else record_id(user, key)
        if key_id is not None:
            await self._starter.check(user, key_id, await _hash(request))
        count, options = request.input_count, request.options
        parent = await self._inputs.parent(user, request)
        usd = self._expected_usd(request, parent)
        left = await self._admission.check(user, usd, key_id)
        self._models.check_quota(options, count)
        with self._runs.claim(user.id, deadline) as claim:
            loaded = await self._inputs.load(user, request, parent, claim)
        inputs, turns = tuple(map(CheckedInput.of, loaded.inputs)), loaded.turns
        model, warnings = self._models.first(options, count), self._models.warnings(options, count)
        if parent is not None:
            without = self._models.context_warning(model, turns[-1].model if turns else None)
            warnings += () if without is None else (without,)
        return DryRun(model, usd, inputs, left, warnings, loaded.crop)

    def message(self, record: Record) -> str:
        """Return the message with which the queue runs a queued generation."""
        return self._starter.message(record)

    async def wait(self, submitted: Submitted, seconds: float) -> Submitted:
        """Wait at most `seconds` for what was begun, unless it is queued.

        Raises StorageUnavailable; Gone where it was deleted.
        """
        record = submitted.result.record
        if record.status.ended or submitted.queued:
            return submitted
        try:
            return Submitted(await self._tasks.wait(record, seconds))
        except ImageError as error:
            error.record_id = record.id  # its caller can ask for the generation later
            raise

    def _expected_usd(self, request: GenerationRequest, parent: Record | None) -> float:
        """Return the highest expected cost, with every earlier turn that may be replayed."""
        turns = context.fitting(context.turns_after(parent), len(request.images), 0, MAX_INLINE_BYTES)
        count, characters = request.input_count, len(request.prompt)
        return self._admission.expected_usd(request.options, count, characters, context.size(turns))


async def _hash(request: GenerationRequest) -> str:
    return await offloaded(request.size, partial(fingerprint, request))
