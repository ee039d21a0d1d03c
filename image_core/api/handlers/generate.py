"""`POST /api/image`: begin a generation, wait for it, and answer with its image, or with 202 while it runs."""

import asyncio
from dataclasses import dataclass
from functools import partial

from image_core.api.answers import accepted, failed, succeeded
from image_core.api.handlers.ports import Durations, StoredImages, Submissions
from image_core.api.http import Request, Response, json_response
from image_core.api.prefer import Preference, preference
from image_core.api.response_budget import ResponseBudget
from image_core.api.wire.generations import DryRun
from image_core.api.wire.requests import GenerateRequest
from image_core.auth.user import User
from image_core.errors import ImageError, UnsupportedMediaType
from image_core.generations import submit
from image_core.generations.idempotency import checked_key
from image_core.generations.record import Record, Status
from image_core.generations.result import Result
from image_core.generations.starter import Submitted
from image_core.generations.trace import trace_parent
from image_core.inputs.fit import encoded_length
from image_core.runtime.memory_budget import ANSWER_COPIES, GROWTH_SECONDS, Claim, MemoryBudget
from image_core.runtime.offload import offloaded

JSON_TYPES = {"", "application/json", "text/plain"}
"""`fetch` sends a string as `text/plain`. The origin policy, not the content type, keeps other sites out."""

PARSED_COPIES = 3
"""Bytes in use for each byte of a body until its generation has begun: the strings, their bytes, and the images decoded
from them (three quarters)."""


@dataclass(frozen=True, slots=True)
class _Begun:
    """The parts of a request that are kept after its generation has begun. Its images are released."""

    submitted: Submitted
    prefer: Preference
    base64: bool


class GenerateImage:
    """Begins a generation, or finds the one of the idempotency key, and waits for it within the response budget."""

    def __init__(
        self,
        submission: Submissions,
        reading: StoredImages,
        durations: Durations,
        memory_budget: MemoryBudget,
        budget: ResponseBudget,
        max_images: int,
    ) -> None:
        self._submission = submission
        self._reading = reading
        self._durations = durations
        self._memory_budget = memory_budget
        self._budget = budget
        self._max_images = max_images

    async def handle(self, request: Request, user: User) -> Response:
        """Return 200 with the image, or 202 with the addresses where it will be."""
        with self._memory_budget.claim(user.id, self._budget.for_resources(request)) as claim:
            return await self._handle(request, user, claim)

    async def _handle(self, request: Request, user: User, claim: Claim) -> Response:
        begun = await self._begin(request, user, claim)
        if isinstance(begun, submit.DryRun):
            return json_response(200, DryRun.of(begun).to_wire())
        prefer = begun.prefer
        # A repeated key may find a running generation: a caller that does not want to wait does not wait for it either.
        wait = 0.0 if prefer.at_once else self._budget.left(request, prefer.wait)
        submitted = await self._submission.wait(begun.submitted, wait)
        headers = {} if prefer.applied is None else {"Preference-Applied": prefer.applied}
        if submitted.replayed:
            headers["Idempotency-Replayed"] = "true"
        try:
            async with asyncio.timeout(self._budget.for_reading(request)):
                response = await self._answer(submitted.result, headers, claim, base64=begun.base64)
        except TimeoutError:  # the image is there and cannot be read in time: its address answers later
            response = self._accepted(submitted.result.record, {})
        if submitted.queued:
            record = submitted.result.record
            return Response(response.status, response.body, response.headers, (self._submission.message(record),))
        return response

    async def _begin(self, request: Request, user: User, claim: Claim) -> _Begun | submit.DryRun:
        check_json_type(request)
        await claim.enter(len(request.body) * PARSED_COPIES)
        try:
            parse = partial(GenerateRequest.parse, request.body, self._max_images)
            body = await offloaded(len(request.body), parse)
            wanted = body.to_domain()
            key = checked_key(request.headers.get("idempotency-key"))
            self._submission.check(wanted)
            prefer = preference(request.headers.get("prefer"))
            if body.dry_run:
                return await self._submission.dry_run(user, wanted, key, self._budget.for_resources(request))
            submitted = await self._submission.begin(
                user,
                wanted,
                key,
                queued=prefer.at_once,
                trace_parent=trace_parent(request.headers.get("traceparent")),
                deadline=self._budget.for_resources(request),
            )
        finally:
            claim.release()
        return _Begun(submitted, prefer, body.include_base64)

    def _accepted(self, record: Record, headers: dict[str, str]) -> Response:
        return accepted(record, self._durations.expected(record.options), headers)

    async def _answer(self, result: Result, headers: dict[str, str], claim: Claim, *, base64: bool) -> Response:
        record = result.record
        if record.status in {Status.FAILED, Status.CANCELED}:
            return failed(record)
        if record.status is not Status.SUCCEEDED:
            return self._accepted(record, headers)
        if not base64:
            return await succeeded(self._reading.shown(record), None, headers)
        try:
            image = await self._reading.image(result, claim)
        except ImageError as error:
            error.record_id = record.id  # it exists: the caller can ask for it again
            raise
        # What is answered is paid for: it is counted, and never refused.
        await claim.receive(ANSWER_COPIES * encoded_length(len(image.data)), GROWTH_SECONDS)
        return await succeeded(self._reading.shown(record), image, headers)


def check_json_type(request: Request) -> None:
    """Raise UnsupportedMediaType where `Content-Type` says that the body is something else than JSON."""
    media_type = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if media_type not in JSON_TYPES and not media_type.endswith("+json"):
        raise UnsupportedMediaType("Send the request as application/json")
