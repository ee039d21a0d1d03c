"""Protocols of the parts of the domain that handlers call."""

from typing import Protocol

from image_core.auth.user import User
from image_core.billing.spending import Report
from image_core.clock import Deadline
from image_core.generations.reading import Opened
from image_core.generations.record import Record
from image_core.generations.records import Page
from image_core.generations.request import GenerationRequest
from image_core.generations.result import Result
from image_core.generations.starter import Submitted
from image_core.generations.submit import DryRun
from image_core.images.image import Image, Target
from image_core.models.generated import Options
from image_core.runtime.memory_budget import Claim


class Submissions(Protocol):
    """Begins generations (`generations.submit.Submission`)."""

    def check(self, request: GenerationRequest, /) -> None:
        """Check a request as far as that needs no service. Raises InvalidRequest, GeminiKeyMissing."""

    async def begin(
        self,
        user: User,
        request: GenerationRequest,
        key: str | None,
        /,
        *,
        queued: bool,
        trace_parent: str | None,
        deadline: Deadline,
    ) -> Submitted:
        """Begin a generation or repeat the one of the key, without waiting for it. Raises ImageError."""
        ...

    async def dry_run(self, user: User, request: GenerationRequest, key: str | None, deadline: Deadline, /) -> DryRun:
        """Check everything, and begin nothing. Raises ImageError."""
        ...

    async def wait(self, submitted: Submitted, seconds: float, /) -> Submitted:
        """Wait for the result. Raises ImageError."""
        ...

    def message(self, record: Record, /) -> str:
        """Return the queue message that runs a queued generation."""
        ...


class Durations(Protocol):
    """Knows how long generations take (`generations.durations.Durations`)."""

    def expected(self, options: Options, /) -> int:
        """Return the seconds that a generation with these options is expected to take."""
        ...

    def expected_of(self, model: str, /) -> int:
        """Return the seconds that a generation by this model is expected to take."""
        ...


class Generations(Protocol):
    """The user's generations (`generations.history.History`)."""

    async def read(self, user: User, record_id: str, /, *, may_be_new: bool = False) -> Record:
        """Return a record. Raises NotFound."""
        ...

    async def page(self, user: User, limit: int, continuation: str | None, /) -> Page:
        """Return a page of them, newest first. Raises InvalidRequest."""
        ...

    async def tree(self, user: User, root_id: str, limit: int, continuation: str | None, /) -> Page:
        """Return a page of those that descend from one, oldest first. Raises InvalidRequest."""
        ...

    async def delete(self, user: User, record_id: str, /) -> None:
        """Remove one. Raises NotFound."""


class Waiting(Protocol):
    """Waits for generations (`generations.background.BackgroundTasks`)."""

    async def wait(self, record: Record, seconds: float, /) -> Result:
        """Return the result once there is one, or the latest state after `seconds`."""
        ...


class Canceling(Protocol):
    """Cancels generations (`generations.cancellation.Cancellation`)."""

    async def cancel(self, user: User, record_id: str, seconds: float, /) -> Record:
        """Cancel one and wait `seconds` for its end. Raises NotFound."""
        ...


class StoredImages(Protocol):
    """The images that a user may read (`generations.reading.Reading`)."""

    def shown(self, record: Record, /) -> Record:
        """Return `record` with addresses that can be read now."""
        ...

    async def image(self, result: Result, claim: Claim, /) -> Image:
        """Return the image of a generation that succeeded. Raises StorageUnavailable, Busy."""
        ...

    async def open(self, user: User, name: str, /) -> Opened:
        """Find an image by its name. Raises NotFound."""
        ...

    async def open_result(self, record: Record, /) -> Opened:
        """Find the image of a generation that succeeded. Raises NotFound."""
        ...

    async def read(self, opened: Opened, offset: int, length: int, /) -> bytes:
        """Return bytes of an image. Raises NotFound."""
        ...

    async def delete(self, user: User, name: str, /) -> None:
        """Remove an image. Raises NotFound."""


class Renditions(Protocol):
    """Makes renditions (`generations.renditions.RenditionMaker`)."""

    async def open(self, user: User, name: str, image: Opened, target: Target, deadline: Deadline, /) -> Opened:
        """Find a rendition, or make it. Raises Busy, NotFound, InputError."""
        ...


class UploadChecks(Protocol):
    """Checks and prepares uploads (`inputs.loader.Loader`)."""

    async def load_upload(self, data: bytes, claim: Claim, /) -> Image:
        """Return the image in a file. Raises InputError, Busy."""
        ...


class Uploads(Protocol):
    """Stores uploads (`storage.images.StoredImages`)."""

    async def put_upload(self, user: User, name: str, image: Image, /) -> str:
        """Store an image under a new name, and return its address."""
        ...


class SpendingReports(Protocol):
    """Sums up what was spent (`billing.spending.Spending`)."""

    async def report(self, user: User, /) -> Report:
        """Return the user's sums of today and this month."""
        ...


class Chain(Protocol):
    """The chain of models (`models.chain.ModelChain`)."""

    def models(self) -> tuple[str, ...]:
        """Return the names, in the order in which they are asked."""
        ...

    def available(self, model: str, /) -> bool:
        """Return whether a model can be asked now."""
        ...
