"""The domain with storage in memory, a fake clock and a scripted model: one `Process` for each process of the app."""

import asyncio
import itertools
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import PIL.Image

from image_core.auth.user import User
from image_core.billing.admission import Admission
from image_core.billing.budgets import NO_BUDGETS, Budgets, SpendingLimits, UserLimits
from image_core.billing.ledger import Ledger
from image_core.billing.spending import Spending
from image_core.generations.accounting import Accounting
from image_core.generations.background import BackgroundTasks
from image_core.generations.cancellation import Cancellation
from image_core.generations.completion import Completion
from image_core.generations.context import Conversations
from image_core.generations.durations import Durations
from image_core.generations.execution import Execution
from image_core.generations.history import History
from image_core.generations.lease import Leases
from image_core.generations.limits import RunLimits
from image_core.generations.outbox_delivery import OutboxDelivery
from image_core.generations.output_images import OutputImages
from image_core.generations.postprocessing import Postprocessing
from image_core.generations.reading import Reading
from image_core.generations.reconciliation import ImagePlaces, Reconciliation
from image_core.generations.record import MaskedEdit, Record
from image_core.generations.record_codec import from_document, to_document
from image_core.generations.records import Records
from image_core.generations.recovery import Recovery
from image_core.generations.renditions import RenditionMaker
from image_core.generations.request import GenerationRequest
from image_core.generations.request_inputs import RequestInputs
from image_core.generations.retries import StorageRetries
from image_core.generations.run_inputs import RunInputs
from image_core.generations.runner import Runner
from image_core.generations.starter import Starter
from image_core.generations.submit import Submission
from image_core.generations.unended import UnendedRecords
from image_core.images.image import Image, Target
from image_core.images.masked_edit import ComposedEdit, PreparedEdit
from image_core.images.region import Box, Crop, Shapes
from image_core.images.sandbox_scheduler import Convert
from image_core.inputs.loader import LoadedInput
from image_core.inputs.owned_urls import OwnedUrls
from image_core.models.generated import Options
from image_core.runtime.memory_budget import Claim, MemoryBudget
from image_core.storage.backoff import Backoff
from image_core.storage.images import StoredImages
from image_core.storage.input_copies import InputCopies
from image_core.storage.outbox import Outbox
from image_core.storage.pseudonyms import Pseudonyms
from image_core.storage.renditions import Renditions
from image_core.storage.turns import Turns
from tests.support.fakes.blobs import FakeBlobs
from tests.support.fakes.clock import FakeClock
from tests.support.fakes.documents import FakeGenerations, FakeLedger
from tests.support.fakes.model import MODEL, FakeModel
from tests.support.image_files import saved

T = TypeVar("T")

ADA, BOB = User("ada@example.com"), User("bob@example.com")
PUBLIC, PRIVATE = "catafract", "catafract-private"
LIMITS = RunLimits(deadline_seconds=300, lease_seconds=60, max_recoveries=2, invocation_seconds=600)
REQUEST = GenerationRequest(("data:image/png;base64,AAAA",), "a watercolor", Options())


def image(color: int = 0, side: int = 4) -> Image:
    """Return a small image of one gray value."""
    return Image(saved(PIL.Image.new("L", (side, side), color), "PNG"), "image/png", side, side)


@dataclass(frozen=True, slots=True)
class Load:
    """One call of the loader. `claimed_by` and `wait_seconds` are those of its claim."""

    images: tuple[str, ...]
    user: User
    claimed_by: str
    wait_seconds: float
    earlier: str | None
    edit_first: bool


@dataclass(frozen=True, slots=True)
class Preparation:
    """One masked edit that the loader prepared. `claimed_by` is the user of its claim."""

    mask: str
    inputs: int
    shapes: Shapes
    max_side: int
    user: User
    claimed_by: str


class FakeLoader:
    """Loads every input as the same small image, or raises `error`. `edit` is the prepared edit of every mask."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.edit: PreparedEdit | None = None
        self.original: bytes | None = b"the file"
        self.loaded: list[Load] = []
        self.prepared: list[Preparation] = []

    async def load_all(
        self, images: Sequence[str], user: User, claim: Claim, earlier: str | None = None, *, edit_first: bool = False
    ) -> tuple[LoadedInput, ...]:
        """Load `earlier` and `images`."""
        self.loaded.append(Load(tuple(images), user, claim.user_id, claim.wait_seconds(), earlier, edit_first))
        if self.error is not None:
            raise self.error
        first = () if earlier is None else (LoadedInput(image(1), f"/api/images/{earlier}"),)
        others = (
            LoadedInput(
                image(2), each if each.startswith("http") else None, original=self.original if edit_first else None
            )
            for each in images
        )
        loaded = (*first, *others)
        claim.take(sum(len(each.image.data) for each in loaded))
        return loaded

    async def prepare_edit(
        self, mask: str, inputs: Sequence[LoadedInput], shapes: Shapes, max_side: int, user: User, claim: Claim
    ) -> PreparedEdit | None:
        """Return `edit`."""
        self.prepared.append(Preparation(mask, len(inputs), shapes, max_side, user, claim.user_id))
        return self.edit


@dataclass(frozen=True, slots=True)
class Conversion:
    """One call of the converter. `held` are the bytes of the memory budget then."""

    of: Record | User
    image: Image
    target: Target
    held: int
    seconds: float | None = None


class FakeConverter:
    """Changes only the type. `fails` makes it return None; `aligned` is whether a masked edit was aligned."""

    def __init__(self, memory: MemoryBudget) -> None:
        self.fails = False
        self.aligned = True
        self.kept_type: str | None = None
        self.calls: list[Conversion] = []
        self._memory = memory

    async def convert(self, user: User, image: Image, target: Target) -> Image | None:
        """Return an image of another type."""
        self.calls.append(Conversion(user, image, target, self._memory.held))
        return None if self.fails else Image(b"converted", f"image/{target.format}", image.width, image.height)

    async def compose(
        self, record: Record, edit: MaskedEdit, answer: Image, target: Target, seconds: float
    ) -> ComposedEdit | None:
        """Return an image of the first input's size."""
        self.calls.append(Conversion(record, answer, target, self._memory.held, seconds))
        if self.fails:
            return None
        kind = self.kept_type or f"image/{target.format}"
        return ComposedEdit(Image(b"composed", kind, *edit.size), self.aligned)


class InlineSandboxes:
    """Runs every job as `job` in this process: it gets the file and returns the job's result."""

    def __init__(self, job: Callable[[bytes], object]) -> None:
        self.job = job
        self.runs = 0
        self.asked: list[tuple[str, float]] = []
        """The user of each job, and how long it may wait for its turn."""
        self.gate = asyncio.Event()
        """Each job waits until it is set."""
        self.gate.set()

    async def run(self, data: bytes, user: str, wait_seconds: Callable[[], float], convert: Convert[T]) -> T:
        """Run `job`."""
        self.runs += 1
        self.asked.append((user, wait_seconds()))
        await self.gate.wait()
        return self.job(data)  # type: ignore[return-value] # the test's job returns the type of the caller's


@dataclass(slots=True)
class Store:
    """The storage that all processes share. A test may change `limits` and `all_users` at any time."""

    clock: FakeClock = field(default_factory=FakeClock)
    limits: UserLimits = field(default_factory=lambda: UserLimits(10, NO_BUDGETS))
    all_users: Budgets = NO_BUDGETS
    generations: FakeGenerations = field(init=False)
    entries: FakeLedger = field(init=False)
    blobs: FakeBlobs = field(init=False)
    tokens: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    def __post_init__(self) -> None:
        """Create the containers."""
        self.generations = FakeGenerations(self.clock.clock)
        self.entries = FakeLedger(self.clock.clock)
        self.blobs = FakeBlobs(PUBLIC, PRIVATE, clock=self.clock.clock)

    def token(self, count: int) -> str:
        """Return a token that is used once."""
        return f"{next(self.tokens):0{2 * count}x}"

    def record(self, record_id: str, user: User = ADA) -> Record | None:
        """Return the stored record with an id, or None."""
        found = [each for each in self.generations.all if (each["userId"], each["id"]) == (user.id, record_id)]
        return from_document(found[0]) if found else None

    async def write(self, record: Record) -> Record:
        """Create or replace a record, as another process does."""
        document = to_document(record)
        stored = await self.generations.read(record.user_id, record.id)
        if stored is None:
            await self.generations.create(document)
        else:
            await self.generations.replace(document, stored["_etag"])
        written = self.record(record.id, record.user)
        assert written is not None
        return written

    async def remove(self, record: Record) -> None:
        """Remove a record, as another process does at the end of a deletion."""
        await self.generations.delete(record.user_id, record.id)

    def images(self) -> list[str]:
        """Return the names of all images."""
        return self.blobs.names(PUBLIC)

    def outbox(self) -> list[str]:
        """Return the names of the entries and the images that wait in the outbox."""
        return [name for name in self.blobs.names(PRIVATE) if name.startswith(("finished/", "images/"))]

    def billed(self) -> list[tuple[str, float]]:
        """Return the outcome and the counted price of every ledger entry, in the order of their times."""
        found = [each for each in self.entries.all if "time" in each]
        return [(each["outcome"], each["budgetUsd"]) for each in sorted(found, key=lambda each: str(each["time"]))]


class Process:
    """One process of the application, without HTTP and SDKs."""

    def __init__(
        self,
        store: Store | None = None,
        limits: RunLimits = LIMITS,
        *,
        private: bool = False,
        memory_bytes: int = 100_000_000,
    ) -> None:
        self.store = store or Store()
        self.fake_clock = self.store.clock
        clock, blobs = self.fake_clock.clock, self.store.blobs
        backoff = Backoff(clock, random.Random(7))
        self.records = Records(self.store.generations, backoff)
        self.ledger = Ledger(self.store.entries, backoff, clock)
        self.pseudonyms = Pseudonyms(blobs, PRIVATE, lambda count: b"k" * count)
        renditions, turns = Renditions(blobs, PRIVATE), Turns(blobs, PRIVATE)
        owned = self.locations = OwnedUrls("https://account.example", PUBLIC, PRIVATE, private=private)
        self.stored_images = StoredImages(blobs, owned, self.pseudonyms, renditions, turns)
        self.copies = InputCopies(blobs, PRIVATE)
        self.outbox = Outbox(blobs, PRIVATE)
        self.conversations = Conversations(turns, self.copies)
        self.memory = MemoryBudget(memory_bytes)
        self.model = FakeModel(image(9), clock)
        self.loader = FakeLoader()
        self.converter = FakeConverter(self.memory)
        self.sandboxes = InlineSandboxes(lambda _: Image(b"rendition", "image/webp", 2, 2))
        self.durations = Durations(self.model.first)
        self.accounting = Accounting(self.ledger, self.pseudonyms, self.durations, clock)
        self.retries = StorageRetries(clock, limits.keep_seconds)
        self.images = OutputImages(self.stored_images, self.outbox, self.conversations, self.retries)
        self.completion = Completion(self.records, self.images, self.outbox, self.accounting, self.retries, clock)
        self.delivery = OutboxDelivery(self.records, self.images, self.outbox, self.accounting, self.completion)
        unended = UnendedRecords(self.records, MODEL)
        limits_of_all = SpendingLimits(lambda _: self.store.limits, self.store.all_users)
        self.spending = Spending(unended, self.ledger, limits_of_all, [MODEL], clock)
        self.admission = Admission(self.spending, clock)
        self.leases = Leases(self.records, limits, clock, self.store.token)
        postprocessing = Postprocessing(self.converter, limits)
        self.execution = Execution(self.model, postprocessing, self.images, self.completion, self.accounting, limits)
        self.run_inputs = RunInputs(self.conversations, self.memory, clock)
        self.runner = Runner(
            self.leases, self.run_inputs, self.admission, self.execution, self.completion, self.delivery
        )
        self.background = BackgroundTasks(self.records, self.runner, clock)
        self.history = History(self.records, self.stored_images, self.outbox, self.accounting, clock)
        self.cancellation = Cancellation(self.records, self.history, self.leases, self.background, clock)
        self.recovery = Recovery(self.records, self.delivery, self.history, self.runner)
        self.reconciliation = Reconciliation(
            self.records,
            blobs,
            self.outbox,
            self.delivery,
            self.recovery,
            ImagePlaces(PUBLIC, PRIVATE, not private, 60),
        )
        self.starter = Starter(self.records, self.history, self.admission, self.leases, self.background, clock)
        inputs = RequestInputs(self.history, self.loader, self.copies, self.model)
        self.submission = Submission(self.starter, inputs, self.run_inputs, self.admission, self.model, self.background)
        self.reading = Reading(blobs, self.stored_images, renditions, self.records, owned)
        self.rendition_maker = RenditionMaker(blobs, renditions, self.sandboxes, self.memory, clock)

    async def begin(
        self, request: GenerationRequest = REQUEST, key: str | None = None, *, queued: bool = False
    ) -> Record:
        """Begin a generation for Ada and return its record."""
        submitted = await self.submission.begin(ADA, request, key, queued=queued)
        return submitted.result.record

    async def make(self, request: GenerationRequest = REQUEST, key: str | None = None) -> Record:
        """Run a generation for Ada to its end and return its record."""
        submitted = await self.submission.begin(ADA, request, key, queued=False)
        waited = await self.fake_clock.run(self.submission.wait(submitted, 10_000))
        return waited.result.record

    async def ended(self, record: Record) -> Record | None:
        """Wait for everything that runs in this process and return the stored version of `record`."""
        await self.fake_clock.run(self.background.drain())
        return self.store.record(record.id, record.user)


def masked_edit() -> PreparedEdit:
    """Return the prepared edit of a mask of a part of the first input."""
    return PreparedEdit((8, 8), Crop(Box(0, 0, 6, 6), "1:1"), image(3), image(5))
