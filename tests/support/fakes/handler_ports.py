"""The ports of the handlers (`api.handlers.ports`), in memory."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from image_core.auth.user import User
from image_core.billing.budgets import Budgets
from image_core.billing.entries import Sum
from image_core.billing.spending import Report
from image_core.clock import Deadline
from image_core.errors import ImageError, NotFound
from image_core.generations.reading import Opened, stored_name
from image_core.generations.record import Record, Status
from image_core.generations.record_codec import to_document
from image_core.generations.records import Page
from image_core.generations.request import GenerationRequest
from image_core.generations.result import Result
from image_core.generations.starter import Submitted
from image_core.generations.submit import DryRun
from image_core.images.image import Image, Target
from image_core.models.generated import Options
from image_core.runtime.memory_budget import Claim
from image_core.storage.blobs import Blob

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class FakeGenerations:
    """Implements `Generations`, `Waiting` and `Canceling`. `ends` are the ended records by id."""

    records: dict[str, Record] = field(default_factory=dict)
    ends: dict[str, Record] = field(default_factory=dict)
    waits: list[float] = field(default_factory=list)
    pages: list[tuple[str | None, int, str | None]] = field(default_factory=list)

    def add(self, record: Record, end: Record | None = None) -> Record:
        """Store a record, and the record that a wait for it returns."""
        self.records[record.id] = record
        if end is not None:
            self.ends[record.id] = end
        return record

    async def read(self, user: User, record_id: str, *, may_be_new: bool = False) -> Record:
        """Return a record of the user."""
        record = self.records.get(record_id)
        if record is None or record.user_id != user.id:
            raise NotFound
        return record

    async def page(self, user: User, limit: int, continuation: str | None) -> Page:
        """Return all records of the user."""
        self.pages.append((None, limit, continuation))
        return Page(tuple(to_document(each) for each in self.records.values() if each.user_id == user.id), "next")

    async def tree(self, user: User, root_id: str, limit: int, continuation: str | None) -> Page:
        """Return the records that descend from one."""
        self.pages.append((root_id, limit, continuation))
        found = [each for each in self.records.values() if each.root_id == root_id]
        return Page(tuple(map(to_document, found)), None)

    async def delete(self, user: User, record_id: str) -> None:
        """Remove a record of the user."""
        await self.read(user, record_id)
        del self.records[record_id]

    async def wait(self, record: Record, seconds: float) -> Result:
        """Return the ended record at once."""
        self.waits.append(seconds)
        return Result(self.ends.get(record.id, record))

    async def cancel(self, user: User, record_id: str, seconds: float) -> Record:
        """Return the ended record."""
        return (await self.wait(await self.read(user, record_id), seconds)).record


@dataclass
class FakeImages:
    """Implements `StoredImages`, `Renditions` and `Uploads`."""

    images: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    """Content type and bytes by name."""
    targets: list[Target] = field(default_factory=list)
    fails: list[Exception] = field(default_factory=list)
    """Raised by the next reads, one each."""

    def shown(self, record: Record) -> Record:
        """Return the record as it is."""
        return record

    async def image(self, result: Result, claim: Claim) -> Image:
        """Return the image of a record."""
        self._fail()
        if result.image is not None:
            return result.image
        kind, data = self.images[stored_name(result.record)]
        return Image(data, kind, 1, 1)

    async def open(self, *arguments: object) -> Opened:
        """Find an image by its name, or a rendition."""
        name = str(arguments[1])
        self._fail()
        if len(arguments) > 2:
            target = arguments[3]
            assert isinstance(target, Target)
            self.targets.append(target)
            self.images[f"{name}.rendition"] = ("image/webp", b"rendition")
            name = f"{name}.rendition"
        return self._opened(name)

    async def open_result(self, record: Record) -> Opened:
        """Find the image of a record."""
        return self._opened(stored_name(record))

    async def read(self, opened: Opened, offset: int, length: int) -> bytes:
        """Return bytes of an image."""
        return self.images[opened.blob.name][1][offset : offset + length]

    async def delete(self, user: User, name: str) -> None:
        """Remove an image."""
        self._opened(name)
        del self.images[name]

    async def put_upload(self, user: User, name: str, image: Image) -> str:
        """Store an upload."""
        self.images[name] = (image.mime_type, image.data)
        return f"https://account.example/catafract/{name}"

    async def load_upload(self, data: bytes, claim: Claim) -> Image:
        """Return any file as a PNG."""
        self._fail()
        return Image(data, "image/png", 1, 1)

    def _opened(self, name: str) -> Opened:
        if name not in self.images:
            raise NotFound
        kind, data = self.images[name]
        return Opened("catafract", Blob(name, len(data), NOW, '"etag"', kind))

    def _fail(self) -> None:
        if self.fails:
            raise self.fails.pop(0)


@dataclass
class FakeSubmissions:
    """Implements `Submissions`. `begins` is the record of the next request, and `end` the ended record."""

    begins: Record
    end: Record | None = None
    image: Image | None = None
    replayed: bool = False
    refuses: ImageError | None = None
    requests: list[tuple[GenerationRequest, str | None]] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)

    def check(self, request: GenerationRequest) -> None:
        """Raise `refuses`, if it is set."""
        if self.refuses is not None:
            raise self.refuses

    async def begin(
        self,
        user: User,
        request: GenerationRequest,
        key: str | None,
        *,
        queued: bool,
        trace_parent: str | None,
        deadline: Deadline,
    ) -> Submitted:
        """Return `begins`."""
        self.requests.append((request, key))
        return Submitted(Result(self.begins), self.replayed, queued)

    async def dry_run(self, user: User, request: GenerationRequest, key: str | None, deadline: Deadline) -> DryRun:
        """Return an answer without a budget."""
        return DryRun("model-a", 0.1, (), None, ("model_skipped: x",), None)

    async def wait(self, submitted: Submitted, seconds: float) -> Submitted:
        """Return the ended record at once, or a queued one unchanged."""
        self.waits.append(seconds)
        if submitted.queued or self.end is None:
            return submitted
        return replace(submitted, result=Result(self.end, self.image))

    def message(self, record: Record) -> str:
        """Return the id."""
        return record.id


class FakeDurations:
    """Implements `Durations`."""

    def expected(self, options: Options) -> int:
        """Return 22."""
        return 22

    def expected_of(self, model: str) -> int:
        """Return 23."""
        return 23


@dataclass
class FakeChain:
    """Implements `Chain`; the names in `used_up` are not available."""

    names: tuple[str, ...]
    used_up: frozenset[str] = frozenset()

    def models(self) -> tuple[str, ...]:
        """Return the names."""
        return self.names

    def available(self, model: str) -> bool:
        """Return whether the name is not in `used_up`."""
        return model not in self.used_up


@dataclass
class FakeSpending:
    """Implements `SpendingReports`."""

    budgets: Budgets

    async def report(self, user: User) -> Report:
        """Return one call today and two this month."""
        today = Sum(1, 1, 0.5, models={"m": Sum(1, 1, 0.5)})
        month = Sum(2, 3, 1.5, 1, 0.25, models={"n": Sum(1, 2, 1.0, 1, 0.25), "m": Sum(1, 1, 0.5)})
        ends = datetime(2026, 1, 3, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC)
        return Report("2026-01-02", "2026-01-01", today, month, 0.25, self.budgets, *ends)


def succeeded(record: Record, name: str = "generated-1-1.png") -> Record:
    """Return a record with an image."""
    url = f"https://account.example/catafract/{name}"
    changes = {"model": "m", "mime_type": "image/png", "width": 1, "height": 1, "completed_at": NOW}
    return replace(record, status=Status.SUCCEEDED, output_image_url=url, **changes)  # type: ignore[arg-type] # by name
