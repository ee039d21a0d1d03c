"""`/api/generations`: list, read, wait for, cancel and delete the user's generations."""

from image_core.api.answers import POLL_SECONDS
from image_core.api.handlers.ports import Canceling, Generations, StoredImages, Waiting
from image_core.api.http import Request, Response, json_response
from image_core.api.prefer import preference
from image_core.api.response_budget import ResponseBudget
from image_core.api.wire.generations import Generation, GenerationPage, GenerationSummary, status_url
from image_core.api.wire.requests import MAX_PROMPT_CHARACTERS
from image_core.auth.user import User
from image_core.errors import InvalidRequest
from image_core.generations.record import Status
from image_core.generations.record_codec import from_document
from image_core.runtime.memory_budget import MemoryBudget

LONGEST_WAIT_SECONDS = 40
CANCEL_SECONDS = 10
"""How long a cancellation waits for a run of this process: its call is aborted at once, and its record written."""
DEFAULT_LIMIT = 20
MAX_LIMIT = 100

MAX_LISTED_BYTES = 4 * MAX_PROMPT_CHARACTERS + 2_000
"""The largest record in a list: its prompt in UTF-8, and 2 KB for all other fields."""
MAX_RECORD_BYTES = 2_000_000
"""The largest document of the database."""
MAX_PAGE_BYTES = 4_000_000
"""The largest page of a query of the database."""
LIST_COPIES = 4
"""The database's answer, the parsed documents, the answer, and the worker's copy of that."""


class ListGenerations:
    """Lists the user's generations."""

    def __init__(
        self, history: Generations, reading: StoredImages, memory_budget: MemoryBudget, budget: ResponseBudget
    ) -> None:
        self._history = history
        self._reading = reading
        self._memory_budget = memory_budget
        self._budget = budget

    async def handle(self, request: Request, user: User) -> Response:
        """Return a page without the long fields, newest first; with `root` its descendants, oldest first."""
        limit = _limit(request.query.get("limit", str(DEFAULT_LIMIT)))
        size = LIST_COPIES * min(limit * MAX_LISTED_BYTES, MAX_PAGE_BYTES)
        async with self._memory_budget.entered(user.id, size, self._budget.for_resources(request)):
            root, continuation = request.query.get("root"), request.query.get("continuation") or None
            if root:
                page = await self._history.tree(user, root, limit, continuation)
            else:
                page = await self._history.page(user, limit, continuation)
            # Through the record, so that the original product's have every field too.
            items = [GenerationSummary.of(self._reading.shown(from_document(item))) for item in page.items]
            return json_response(200, GenerationPage(items=items, continuation=page.continuation).to_wire())


class GetGeneration:
    """Reads one generation."""

    def __init__(
        self,
        history: Generations,
        reading: StoredImages,
        background: Waiting,
        memory_budget: MemoryBudget,
        budget: ResponseBudget,
    ) -> None:
        self._history = history
        self._reading = reading
        self._background = background
        self._memory_budget = memory_budget
        self._budget = budget

    async def handle(self, request: Request, user: User, record_id: str) -> Response:
        """Return the generation in whatever state; with `Prefer: wait=N` as soon as it has ended, within N seconds."""
        size = LIST_COPIES * MAX_RECORD_BYTES
        async with self._memory_budget.entered(user.id, size, self._budget.for_resources(request)):
            record = await self._history.read(user, record_id, may_be_new=True)
        headers = {}
        prefer = preference(request.headers.get("prefer"))
        if record.status is Status.RUNNING and prefer.wait:
            seconds = min(prefer.wait, LONGEST_WAIT_SECONDS, int(self._budget.following(request)))
            if seconds:
                record = (await self._background.wait(record, seconds)).record
                headers["Preference-Applied"] = f"wait={seconds}"
        if record.status is Status.RUNNING:
            headers["Retry-After"] = str(POLL_SECONDS)
        return json_response(200, Generation.of(self._reading.shown(record)).to_wire(), headers)


class CancelGeneration:
    """Cancels one generation."""

    def __init__(
        self, cancellation: Canceling, reading: StoredImages, memory_budget: MemoryBudget, budget: ResponseBudget
    ) -> None:
        self._cancellation = cancellation
        self._reading = reading
        self._memory_budget = memory_budget
        self._budget = budget

    async def handle(self, request: Request, user: User, record_id: str) -> Response:
        """Return 200 with the ended generation, or 202 where another process has yet to abort it."""
        size = LIST_COPIES * MAX_RECORD_BYTES
        async with self._memory_budget.entered(user.id, size, self._budget.for_resources(request)):
            seconds = min(CANCEL_SECONDS, self._budget.following(request))
            record = await self._cancellation.cancel(user, record_id, seconds)
        body = Generation.of(self._reading.shown(record)).to_wire()
        if record.status is Status.RUNNING:
            headers = {"Location": status_url(record.id), "Retry-After": str(POLL_SECONDS)}
            return json_response(202, body, headers)
        return json_response(200, body)


class DeleteGeneration:
    """Deletes one generation."""

    def __init__(self, history: Generations) -> None:
        self._history = history

    async def handle(self, request: Request, user: User, record_id: str) -> Response:  # noqa: ARG002 - ItemHandler
        """Return 204 after the image and the record were removed."""
        await self._history.delete(user, record_id)
        return Response(204, b"", {"Cache-Control": "no-store"})


def _limit(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(MAX_LIMIT)) and 1 <= int(text) <= MAX_LIMIT):
        raise InvalidRequest(f"A number from 1 to {MAX_LIMIT}", field="limit")
    return int(text)
