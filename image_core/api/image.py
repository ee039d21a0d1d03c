"""`POST /api/image`."""

from image_core.api.answers import accepted, failed, succeeded
from image_core.api.http import Request, Response
from image_core.api.prefer import preference
from image_core.clock import Clock
from image_core.errors import RequestTooLarge, UnsupportedMediaType
from image_core.generation.expected import Expected
from image_core.generation.idempotency import checked_key
from image_core.generation.outcome import Outcome
from image_core.generation.reading import Reading
from image_core.generation.recovery import message
from image_core.generation.submit import Sent, Submission
from image_core.schemas import GenerateRequest
from image_core.settings import Settings
from image_core.trace import trace_parent
from image_core.user import User


class ImageResource:
    def __init__(
        self, submission: Submission, reading: Reading, expected: Expected, settings: Settings, clock: Clock
    ) -> None:
        self._submission = submission
        self._reading = reading
        self._expected = expected
        self._settings = settings
        self._clock = clock

    async def post(self, request: Request, user: User) -> Response:
        """Make one image. Answers within the response budget: finished, or with a place to look."""
        wanted = self._parse(request)
        key = checked_key(request.headers.get("idempotency-key"))
        self._submission.check(wanted)
        prefer = preference(request.headers.get("prefer"))
        budget = self._settings.response_budget_seconds
        if prefer.wait is not None:
            budget = min(budget, prefer.wait)
        submitted = await self._submission.submit(
            user,
            wanted,
            key,
            Sent(len(request.body), trace_parent(request.headers.get("traceparent"))),
            queued=prefer.at_once,
            seconds=max(0.0, budget - (self._clock.monotonic() - request.started)),
        )
        headers = {} if prefer.applied is None else {"Preference-Applied": prefer.applied}
        if submitted.replayed:
            headers["Idempotency-Replayed"] = "true"
        response = await self._answer(submitted.outcome, headers, base64=wanted.include_base64)
        if submitted.queued:
            record = submitted.outcome.record
            return Response(response.status, response.body, response.headers, (message(record.id, record.user_id),))
        return response

    def _parse(self, request: Request) -> GenerateRequest:
        media_type = request.headers.get("content-type", "application/json").split(";")[0].strip().lower()
        if media_type != "application/json" and not (
            media_type.startswith("application/") and media_type.endswith("+json")
        ):
            raise UnsupportedMediaType("Send the request as application/json")
        if len(request.body) > self._settings.max_request_bytes:
            raise RequestTooLarge(f"The limit is {self._settings.max_request_bytes} bytes")
        return GenerateRequest.parse(request.body, self._settings.max_images)

    async def _answer(self, outcome: Outcome, headers: dict[str, str], *, base64: bool) -> Response:
        record = outcome.record
        if record.status == "failed":
            return failed(record)
        if record.status != "succeeded":
            return accepted(record, self._expected.seconds(record.options), headers)
        picture = await self._reading.picture(outcome) if base64 else None
        return await succeeded(record, picture, headers)
