"""`/api/generations`: the caller's own, listed, read, waited for, canceled, deleted."""

from image_core.api.answers import POLL_SECONDS
from image_core.api.http import Request, Response, json_response
from image_core.api.prefer import preference
from image_core.api.response_budget import ResponseBudget
from image_core.api.wire.generations import Generation, GenerationPage, GenerationSummary, status_url
from image_core.auth.user import User
from image_core.errors import InvalidRequest
from image_core.generations.background import BackgroundTasks
from image_core.generations.cancellation import Cancellation
from image_core.generations.history import History
from image_core.generations.reading import Reading
from image_core.generations.record import Status
from image_core.generations.record_codec import from_document
from image_core.runtime.memory_budget import MemoryBudget

LONGEST_WAIT_SECONDS = 40
CANCEL_SECONDS = 10
"""How long a cancellation waits for a run of this process to end: its call is aborted at once, and its record written."""
DEFAULT_LIMIT = 20
MAX_LIMIT = 100

MAX_LISTED_BYTES = 130_000
"""Of one record in a list: its prompt has at most 32 000 characters."""
MAX_RECORD_BYTES = 2_000_000
"""The database's limit for one."""
MAX_PAGE_BYTES = 4_000_000
"""The database's limit for one page of a query."""
LIST_COPIES = 4
"""The database's answer, what is parsed from it, our answer, and the worker's copy of that."""


class GenerationsHandler:
    def __init__(
        self,
        history: History,
        cancellation: Cancellation,
        reading: Reading,
        background: BackgroundTasks,
        memory_budget: MemoryBudget,
        budget: ResponseBudget,
    ) -> None:
        self._history = history
        self._cancellation = cancellation
        self._reading = reading
        self._background = background
        self._memory_budget = memory_budget
        self._budget = budget

    async def list(self, request: Request, user: User) -> Response:
        """Answer a page of them, without the long fields: newest first; with `root` those that descend from it, oldest first."""
        limit = request.query.get("limit", str(DEFAULT_LIMIT))
        if not (
            limit.isascii() and limit.isdigit() and len(limit) <= len(str(MAX_LIMIT)) and 1 <= int(limit) <= MAX_LIMIT
        ):
            raise InvalidRequest(f"A number from 1 to {MAX_LIMIT}", field="limit")
        size = LIST_COPIES * min(int(limit) * MAX_LISTED_BYTES, MAX_PAGE_BYTES)
        async with self._memory_budget.entered(user.id, size, self._budget.for_resources(request)):
            root, continuation = request.query.get("root"), request.query.get("continuation") or None
            if root:
                page = await self._history.tree(user, root, int(limit), continuation)
            else:
                page = await self._history.page(user, int(limit), continuation)
            # Through the record, so that those of the original product have every field too.
            items = [GenerationSummary.of(self._reading.shown(from_document(item))) for item in page.items]
            body = GenerationPage(items=items, continuation=page.continuation)
            return json_response(200, body.to_wire())

    async def get(self, request: Request, user: User, record_id: str) -> Response:
        """One of them, whatever its state; with `Prefer: wait=N` as soon as it is finished, after N seconds at the latest."""
        async with self._memory_budget.entered(
            user.id, LIST_COPIES * MAX_RECORD_BYTES, self._budget.for_resources(request)
        ):
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

    async def cancel(self, request: Request, user: User, record_id: str) -> Response:
        """How the generation stands when it was canceled: 202 while another process is still to stop it."""
        async with self._memory_budget.entered(
            user.id, LIST_COPIES * MAX_RECORD_BYTES, self._budget.for_resources(request)
        ):
            seconds = min(CANCEL_SECONDS, self._budget.following(request))
            record = await self._cancellation.cancel(user, record_id, seconds)
        body = Generation.of(self._reading.shown(record)).to_wire()
        if record.status is Status.RUNNING:
            return json_response(202, body, {"Location": status_url(record.id), "Retry-After": str(POLL_SECONDS)})
        return json_response(200, body)

    async def delete(self, request: Request, user: User, record_id: str) -> Response:  # noqa: ARG002 - as every handler
        """The picture and the record are gone."""
        await self._history.delete(user, record_id)
        return Response(204, b"", {"Cache-Control": "no-store"})
