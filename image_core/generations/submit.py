"""From a request to a generation: the one it repeats, or a new one that runs or is queued."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from image_core.auth.user import User
from image_core.billing.admission import Limits
from image_core.billing.spending import Spending
from image_core.clock import Clock, Deadline
from image_core.errors import (
    Busy,
    Conflict,
    GeminiKeyMissing,
    IdempotencyMismatch,
    ImageError,
    NotFound,
)
from image_core.generations import context
from image_core.generations.background import Running
from image_core.generations.context import Conversations
from image_core.generations.dry_run import CheckedInput, DryRun
from image_core.generations.history import History
from image_core.generations.idempotency import fingerprint, record_id
from image_core.generations.order import Order
from image_core.generations.outcome import Outcome
from image_core.generations.record import MaskedEdit, Record, Status, StoredTurn
from image_core.generations.recovery import message
from image_core.generations.request import GenerationRequest
from image_core.generations.runner import Runner
from image_core.generations.trace import Trace
from image_core.images.masked_edit import PreparedEdit
from image_core.images.region import Shapes
from image_core.inputs.fit import MAX_INLINE_BYTES
from image_core.inputs.loader import LoadedInput, Loader
from image_core.inputs.owned_urls import is_generation
from image_core.models.generated import Options
from image_core.runtime.memory_budget import Claim, MemoryBudget
from image_core.runtime.offload import offloaded
from image_core.settings import Settings
from image_core.storage.input_copies import InputCopies
from image_core.storage.records import AlreadyThere, Changed, Records

NO_PARENT = "No generation of yours has the id in `from`"
SENT_SIDE = 2048
"""Pixels of the longest side, at most, of the part of an image that a model is asked to edit: it sees an image in 1120 tokens."""
LARGE_SENT_SIDE = 4096
"""The same where an image of 4K is asked for."""


class Models(Protocol):
    """What a request may ask of the chain (`model.chain.ModelChain`)."""

    def check_options(self, options: Options, inputs: int) -> None: ...

    def check_quota(self, options: Options, inputs: int) -> None: ...

    def first(self, options: Options, inputs: int) -> str: ...

    def warnings(self, options: Options, inputs: int) -> tuple[str, ...]: ...

    def context_warning(self, model: str, turns_of: str | None) -> str | None: ...

    def shapes(self, options: Options, inputs: int) -> Shapes: ...


@dataclass(frozen=True, slots=True)
class Submitted:
    """What became of a request. `replayed`: an earlier one with its key had finished. `queued`: the queue is to run it."""

    outcome: Outcome
    replayed: bool = False
    queued: bool = False


class Submission:
    """Takes requests. One for the process."""

    def __init__(
        self,
        runner: Runner,
        running: Running,
        records: Records,
        history: History,
        limits: Limits,
        spending: Spending,
        loader: Loader,
        copies: InputCopies,
        conversations: Conversations,
        models: Models,
        memory_budget: MemoryBudget,
        settings: Settings,
        clock: Clock,
    ) -> None:
        self._runner = runner
        self._running = running
        self._records = records
        self._history = history
        self._limits = limits
        self._spending = spending
        self._loader = loader
        self._copies = copies
        self._conversations = conversations
        self._models = models
        self._memory_budget = memory_budget
        self._settings = settings
        self._clock = clock

    def check(self, request: GenerationRequest) -> None:
        """What can be said of a request without looking at anything. Raises InvalidRequest, GeminiKeyMissing."""
        self._models.check_options(request.options, request.input_count)
        if self._settings.gemini_api_key is None:
            raise GeminiKeyMissing

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
        """Repeat the request's generation, or begin one; neither is waited for.

        Until `deadline` the inputs may wait for memory, and for their turn to be fetched and converted.

        Raises IdempotencyMismatch, TooManyGenerations, BudgetExceeded, RateLimited, Busy, InputError, ImagesTooLarge,
        StorageUnavailable; Gone where it was deleted.
        """
        size = request.size
        request_hash = await offloaded(size, partial(fingerprint, request))
        order_id = None if key is None else record_id(user, key)
        if order_id is not None:
            stored = await self._records.read(user, order_id)
            if stored is not None:
                repeated = await self._repeat(stored, request_hash, queued=queued)
                if repeated is not None:
                    return repeated
        parent = await self._parent(user, request)
        usd = self._expected(request, parent)
        async with self._limits.admitted(user, usd, order_id) as place:
            self._models.check_quota(request.options, request.input_count)
            submitted = await self._begin(
                user, request, parent, order_id, request_hash, usd, trace_parent, deadline, queued=queued
            )
            place.record_id = submitted.outcome.record.id
        return submitted

    async def dry_run(
        self, user: User, request: GenerationRequest, key: str | None, deadline: Deadline | None = None
    ) -> DryRun:
        """Check a request as `begin` does, load its inputs, and begin nothing: no record, no copy, no call, no key used up.

        Raises what `begin` would.
        """
        order_id = None if key is None else record_id(user, key)
        if order_id is not None:
            await self._check_key(user, order_id, request)
        count = request.input_count
        parent = await self._parent(user, request)
        usd = self._expected(request, parent)
        left = await self._limits.check(user, usd, order_id)
        self._models.check_quota(request.options, count)
        with self._memory_budget.claim(user.id, deadline) as claim:
            loaded, edit = await self._load(user, request, parent, claim)
            turns = () if edit is not None else self._turns(request, parent, loaded, claim)
        inputs, crop = tuple(map(CheckedInput.of, loaded)), None if edit is None else edit.inner_crop
        model, warnings = self._models.first(request.options, count), self._models.warnings(request.options, count)
        if parent is not None:
            without = self._models.context_warning(model, turns[-1].model if turns else None)
            warnings += () if without is None else (without,)
        return DryRun(model, usd, inputs, left, warnings, crop)

    def _expected(self, request: GenerationRequest, parent: Record | None) -> float:
        """US dollars that the request is expected to cost at most, with every earlier turn that may be replayed."""
        turns = context.chosen(context.turns_after(parent), len(request.images), 0, MAX_INLINE_BYTES)
        count, characters = request.input_count, len(request.prompt)
        return self._spending.expected(request.options, count, characters, context.size(turns))

    def _turns(
        self, request: GenerationRequest, parent: Record | None, inputs: Sequence[LoadedInput], claim: Claim
    ) -> tuple[StoredTurn, ...]:
        """The earlier turns that fit beside the inputs, which `claim` holds."""
        added = sum(len(each.image.data) for each in inputs[1:])
        return context.chosen(context.turns_after(parent), len(request.images), added, claim.growth)

    async def _parent(self, user: User, request: GenerationRequest) -> Record | None:
        """The generation that the request edits further. Raises NotFound, Conflict."""
        if request.from_id is None:
            return None
        if not is_generation(request.from_id):
            raise NotFound(NO_PARENT, field="from")
        try:
            parent = await self._history.read(user, request.from_id, may_be_new=True)
        except NotFound:
            raise NotFound(NO_PARENT, field="from") from None
        if parent.status is Status.RUNNING:
            raise Conflict("It is still running: wait until it has succeeded")
        if parent.status is not Status.SUCCEEDED:
            raise Conflict(f"Its status is {parent.status}")
        return parent

    async def _check_key(self, user: User, order_id: str, request: GenerationRequest) -> None:
        """Raises IdempotencyMismatch where the key belongs to another request."""
        stored = await self._records.read(user, order_id)
        if stored is not None and stored.status is not Status.DELETING:
            size = request.size
            if stored.request_hash != await offloaded(size, partial(fingerprint, request)):
                raise IdempotencyMismatch

    def message(self, record: Record) -> str:
        """What is put into the queue for a queued generation."""
        return message(record.id, record.user_id, self._records.now())

    async def ended(self, submitted: Submitted, seconds: float) -> Submitted:
        """Wait for what was begun, at most `seconds`. Raises StorageUnavailable; Gone where it was deleted."""
        if submitted.outcome.finished or submitted.queued:
            return submitted
        record = submitted.outcome.record
        try:
            return Submitted(await self._running.wait(record, seconds))
        except ImageError as error:
            error.record_id = record.id  # whoever gets it can ask for the generation later
            raise

    async def _begin(
        self,
        user: User,
        request: GenerationRequest,
        parent: Record | None,
        order_id: str | None,
        request_hash: str,
        expected_usd: float,
        trace_parent: str | None,
        deadline: Deadline | None,
        *,
        queued: bool,
    ) -> Submitted:
        claim, trace = self._memory_budget.claim(user.id, deadline), Trace(self._clock, trace_parent)
        try:
            with trace.step("inputs"):
                inputs, prepared = await self._load(user, request, parent, claim)
            turns = () if prepared is not None else self._turns(request, parent, inputs, claim)
            await claim.grow(context.memory(turns))
            pictures = tuple(loaded.image for loaded in inputs)
            with trace.step("copies"):
                copies = await self._copies.put_all(user, pictures)
                edit = None if prepared is None else await self._keep_edit(user, prepared, inputs[0])
            if prepared is not None:
                pictures = (prepared.sent, *pictures[1:])
            addresses = tuple(loaded.address for loaded in inputs)
            order = Order(
                order_id,
                request.prompt,
                request.options,
                addresses,
                request_hash,
                expected_usd,
                None if parent is None else parent.id,
                None if parent is None else parent.root_id or parent.id,
                turns,
                trace_parent,
                edit,
            )
            while True:
                try:
                    with trace.step("record"):
                        record = await self._runner.begin(user, order, copies, queued=queued)
                    break
                except AlreadyThere as there:  # the same key, at the same moment
                    repeated = await self._repeat(there.stored, request_hash, queued=queued)
                    if repeated is not None:
                        claim.release()
                        return repeated
        except BaseException:
            claim.release()
            raise
        if queued:
            claim.release()
            return Submitted(Outcome(record), queued=True)
        held = self._conversations.hold(record, claim, trace, pictures)
        self._running.start(record, self._runner.run(record, held))
        return Submitted(Outcome(record))

    async def _load(
        self, user: User, request: GenerationRequest, parent: Record | None, claim: Claim
    ) -> tuple[tuple[LoadedInput, ...], PreparedEdit | None]:
        """The inputs, and what a masked edit of the first one begins with; None without a mask, and with one of all of it."""
        earlier, mask = None if parent is None else parent.id, request.mask
        inputs = await self._loader.load_all(request.images, user, claim, earlier, edit_first=mask is not None)
        if mask is None:
            return inputs, None
        shapes = self._models.shapes(request.options, len(inputs))
        max_side = LARGE_SENT_SIDE if request.options.image_size == "4K" else SENT_SIDE
        return inputs, await self._loader.prepare_edit(mask, inputs, shapes, max_side, user, claim)

    async def _keep_edit(self, user: User, prepared: PreparedEdit, first: LoadedInput) -> MaskedEdit:
        """Store what a masked edit is run with, and run again with after a crash."""
        sent, mask = await self._copies.put_all(user, (prepared.sent, prepared.mask))
        original = None if first.original is None else await self._copies.put_original(user, first.original)
        return MaskedEdit(mask, sent, prepared.crop, prepared.size, original, len(first.edited))

    async def _repeat(self, stored: Record, request_hash: str, *, queued: bool) -> Submitted | None:
        """What a key that was seen before means; None where its generation was deleted and the key is free again."""
        while stored.status is not Status.DELETING:
            if stored.request_hash != request_hash:
                raise IdempotencyMismatch
            if stored.status is Status.RUNNING:
                return Submitted(Outcome(stored))
            if stored.failure is None or not stored.failure.retryable:
                return Submitted(Outcome(stored), replayed=stored.status is Status.SUCCEEDED)
            try:
                # It is paid for once more: the limits are for it, too.
                usd = self._spending.expected(
                    stored.options, len(stored.input_images), len(stored.prompt), context.size(stored.context)
                )
                async with self._limits.admitted(stored.user, usd, stored.id):
                    record = await self._runner.reopen(stored, usd, queued=queued)
            except Changed as changed:  # of several at once one runs it, the others wait
                if changed.stored is None:
                    return None
                stored = changed.stored
                continue
            if not queued:
                self._running.start(record, self._runner.again(record))
            return Submitted(Outcome(record), queued=queued)
        if stored.leased(self._records.now()):
            # Its runner may still store a picture, which only this record leads to.
            raise Busy("The generation of this Idempotency-Key is being deleted", retry_after=10)
        await self._history.finish_deleting(stored)
        return None
