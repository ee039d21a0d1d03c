"""`POST /api/image`: every response of its handler, compared with the document."""

import base64
import json
from typing import Any

import pytest

from image_core.api.handlers.generate import PARSED_COPIES, GenerateImage, check_json_type
from image_core.api.http import Request, Response
from image_core.api.response_budget import ResponseBudget
from image_core.clock import Clock
from image_core.errors import (
    Canceled,
    GeminiKeyMissing,
    InvalidJson,
    InvalidRequest,
    ModelUnavailable,
    NoImage,
    NoPrompt,
    StorageUnavailable,
    UnsupportedMediaType,
)
from image_core.generations.failure import Failure
from image_core.generations.record import Record, Status
from image_core.generations.starter import Submitted
from image_core.images.image import Image
from image_core.models.generated import Options
from image_core.runtime.memory_budget import MemoryBudget
from tests.support.contract import violations
from tests.support.fakes.application import ADA
from tests.support.fakes.handler_ports import NOW, FakeDurations, FakeImages, FakeSubmissions, succeeded
from tests.support.records import make

BUDGET = ResponseBudget(None, Clock(monotonic=lambda: 10.0))
IMAGE = Image(b"the bytes", "image/png", 1, 1)
URL = "data:image/png;base64," + base64.b64encode(IMAGE.data).decode()


FROM: dict[str, Any] = {"from": "gen-0"}


def posted(headers: dict[str, str] | None = None, **fields: Any) -> Request:
    body = {"images": ["a"], "prompt": "x", **fields}
    return Request("POST", "image", headers=headers or {}, body=json.dumps(body).encode(), started=10.0)


def handler(submissions: FakeSubmissions, images: FakeImages | None = None, bytes_: int = 1_000_000) -> GenerateImage:
    return GenerateImage(submissions, images or FakeImages(), FakeDurations(), MemoryBudget(bytes_), BUDGET, 3)


def content(response: Response) -> dict[str, Any]:
    """Return the body, after it was compared with the document."""
    assert violations("POST", "image", response.status, response.headers, response.body) == []
    found: dict[str, Any] = json.loads(response.body)
    return found


async def test_successful_generation_is_200_with_the_image_first() -> None:
    submissions = FakeSubmissions(make(ADA), succeeded(make(ADA)), IMAGE)
    response = await handler(submissions).handle(posted(imageSize="2K", mask="m", **FROM), ADA)
    body = content(response)
    assert response.status == 200
    assert list(body)[:3] == ["imageBase64", "imageUrl", "text"]
    assert body["imageBase64"] == URL
    ((request, key),) = submissions.requests
    assert (request.images, request.prompt, request.mask, request.from_id, key) == (("a",), "x", "m", "gen-0", None)
    assert request.options == Options(image_size="2K")
    assert "Preference-Applied" not in response.headers


async def test_without_base64_the_image_is_not_read() -> None:
    submissions = FakeSubmissions(make(ADA), succeeded(make(ADA)))
    response = await handler(submissions).handle(posted(includeBase64=False), ADA)
    assert content(response)["imageBase64"] is None


async def test_image_of_a_repeated_key_is_read_from_storage() -> None:
    submissions = FakeSubmissions(succeeded(make(ADA)), replayed=True)
    images = FakeImages({"generated-1-1.png": ("image/png", IMAGE.data)})
    response = await handler(submissions, images).handle(posted({"idempotency-key": " k "}), ADA)
    assert content(response)["imageBase64"] == URL
    assert response.headers["Idempotency-Replayed"] == "true"
    assert submissions.requests[0][1] == "k"


async def test_generation_that_still_runs_is_202_with_its_urls() -> None:
    response = await handler(FakeSubmissions(make(ADA))).handle(posted({"prefer": "wait=3"}), ADA)
    assert response.status == 202
    assert content(response) == {
        "id": "gen-1",
        "status": "running",
        "statusUrl": "/api/generations/gen-1",
        "imageUrl": "/api/images/gen-1",
        "createdAt": "2026-01-01T00:00:01.000Z",
        "expectedSeconds": 22,
    }
    assert response.headers["Location"] == "/api/generations/gen-1"
    assert response.headers["Preference-Applied"] == "wait=3"
    assert response.enqueue == ()


@pytest.mark.parametrize(("prefer", "seconds"), [("", 95), ("wait=3", 3), ("wait=500", 95)])
async def test_wait_is_at_most_the_response_budget(prefer: str, seconds: float) -> None:
    submissions = FakeSubmissions(make(ADA))
    await handler(submissions).handle(posted({"prefer": prefer}), ADA)
    assert submissions.waits == [seconds]


async def test_asynchronous_request_is_queued() -> None:
    submissions = FakeSubmissions(make(ADA), succeeded(make(ADA)))
    response = await handler(submissions).handle(posted({"prefer": "respond-async"}), ADA)
    assert (response.status, content(response)["status"]) == (202, "running")
    assert response.enqueue == ("gen-1",)
    assert response.headers["Preference-Applied"] == "respond-async"
    assert submissions.waits == [0.0]


@pytest.mark.parametrize(
    ("record", "status", "code", "retry_after"),
    [
        (
            make(ADA, status=Status.FAILED, failure=Failure.of(NoImage(text="no", finish_reason="STOP"))),
            500,
            "no_image",
            None,
        ),
        (
            make(ADA, status=Status.FAILED, failure=Failure.of(ModelUnavailable(retry_after=9))),
            503,
            "model_unavailable",
            "9",
        ),
        (make(ADA).canceled(Failure.of(Canceled()), (), NOW), 409, "canceled", None),
        (make(ADA, status=Status.FAILED), 500, "internal", None),
    ],
)
async def test_failed_generation_is_its_error_with_the_id(
    record: Record, status: int, code: str, retry_after: str | None
) -> None:
    response = await handler(FakeSubmissions(make(ADA), record)).handle(posted(), ADA)
    body = content(response)
    assert (response.status, body["code"], body["id"]) == (status, code, "gen-1")
    assert response.headers.get("Retry-After") == retry_after


async def test_dry_run_begins_no_generation() -> None:
    submissions = FakeSubmissions(make(ADA))
    response = await handler(submissions).handle(posted(dryRun=True), ADA)
    assert content(response) == {
        "dryRun": True,
        "model": "model-a",
        "estimatedCostUsd": 0.1,
        "inputs": [],
        "budget": {"leftUsd": None},
        "warnings": ["model_skipped: x"],
    }
    assert submissions.requests == []


async def test_image_that_cannot_be_read_is_an_error_with_the_id() -> None:
    submissions = FakeSubmissions(make(ADA), succeeded(make(ADA)))
    with pytest.raises(StorageUnavailable) as caught:
        await handler(submissions, FakeImages(fails=[StorageUnavailable()])).handle(posted(), ADA)
    assert caught.value.record_id == "gen-1"


async def test_image_that_cannot_be_read_in_time_is_202() -> None:
    submissions = FakeSubmissions(make(ADA), succeeded(make(ADA)))
    response = await handler(submissions, FakeImages(fails=[TimeoutError()])).handle(posted(), ADA)
    assert (response.status, content(response)["imageUrl"]) == (202, "/api/images/gen-1")


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        (posted({"content-type": "text/html"}), UnsupportedMediaType),
        (Request("POST", "image", body=b"{", started=10.0), InvalidJson),
        (posted(prompt=" "), NoPrompt),
        (posted(images=["a"] * 4), InvalidRequest),
        (posted({"idempotency-key": "a b"}), InvalidRequest),
    ],
)
async def test_invalid_request_begins_no_generation(request_: Request, error: type[Exception]) -> None:
    submissions = FakeSubmissions(make(ADA))
    with pytest.raises(error):
        await handler(submissions).handle(request_, ADA)
    assert submissions.requests == []


async def test_refused_request_holds_no_memory() -> None:
    memory = MemoryBudget(1_000_000)
    submissions = FakeSubmissions(make(ADA), refuses=GeminiKeyMissing())
    with pytest.raises(GeminiKeyMissing):
        await GenerateImage(submissions, FakeImages(), FakeDurations(), memory, BUDGET, 3).handle(posted(), ADA)
    assert memory.working == 0


class MeasuredSubmissions(FakeSubmissions):
    """Records the working memory at the begin of a generation, and during the wait for it."""

    memory = MemoryBudget(1_000_000)
    measured: tuple[int, ...] = ()

    async def begin(self, *arguments: Any, **options: Any) -> Submitted:
        self.measured += (self.memory.working,)
        return await super().begin(*arguments, **options)

    async def wait(self, submitted: Submitted, seconds: float) -> Submitted:
        self.measured += (self.memory.working,)
        return await super().wait(submitted, seconds)


async def test_memory_for_the_body_is_released_before_the_generation_is_waited_for() -> None:
    submissions, request = MeasuredSubmissions(make(ADA)), posted()
    await GenerateImage(submissions, FakeImages(), FakeDurations(), submissions.memory, BUDGET, 3).handle(request, ADA)
    assert submissions.measured == (PARSED_COPIES * len(request.body), 0)


def typed(content_type: str) -> Request:
    return Request("POST", "image", headers={"content-type": content_type})


@pytest.mark.parametrize(
    "media_type",
    [
        *("application/json", "APPLICATION/JSON; charset=utf-8", "application/vnd.api+json", "image/svg+json"),
        *("text/plain", "text/plain;charset=UTF-8", "", " ; charset=utf-8"),
    ],
)
def test_json_plain_text_and_no_type_are_accepted(media_type: str) -> None:
    check_json_type(typed(media_type))


def test_request_without_a_content_type_is_json() -> None:
    check_json_type(Request("POST", "image"))


@pytest.mark.parametrize(
    "media_type",
    ["text/html", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/jsonp", "json"],
)
def test_another_content_type_is_415(media_type: str) -> None:
    with pytest.raises(UnsupportedMediaType):
        check_json_type(typed(media_type))
