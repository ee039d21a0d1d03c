"""`/api/generations`: every response of its handlers, compared with the document."""

import json
from typing import Any

import pytest

from image_core.api.handlers.generations import (
    LONGEST_WAIT_SECONDS,
    CancelGeneration,
    DeleteGeneration,
    GetGeneration,
    ListGenerations,
)
from image_core.api.http import Request, Response
from image_core.api.response_budget import ResponseBudget
from image_core.auth.user import User
from image_core.clock import Clock
from image_core.errors import Canceled, InvalidRequest, NoImage, NotFound
from image_core.generations.failure import Failure
from image_core.generations.record import Record, Status
from image_core.models.generated import Attempt, Usage
from image_core.runtime.memory_budget import MemoryBudget
from image_core.storage.input_copies import InputCopy
from tests.support.contract import violations
from tests.support.fakes.application import ADA
from tests.support.fakes.handler_ports import NOW, FakeGenerations, FakeImages, succeeded
from tests.support.records import make

BUDGET = ResponseBudget(None, Clock(monotonic=lambda: 10.0))
USAGE = Usage(1300, 1120, 0.134, {"IMAGE": 1120})
USAGE_BODY = {"inputTokens": 1300, "outputTokens": 1120, "costUsd": 0.134, "inputByModality": {"IMAGE": 1120}}


@pytest.fixture
def generations() -> FakeGenerations:
    return FakeGenerations()


@pytest.fixture
def memory() -> MemoryBudget:
    return MemoryBudget(100_000_000)


def get(path: str, query: dict[str, str] | None = None, **headers: str) -> Request:
    return Request("GET", path, query or {}, headers, started=10.0)


def content(request: Request, response: Response) -> dict[str, Any]:
    """Return the body, after it was compared with the document."""
    assert violations(request.method, request.path, response.status, response.headers, response.body) == []
    found: dict[str, Any] = json.loads(response.body)
    return found


def ended(**changes: Any) -> Record:
    attempts = (Attempt("m", "ok", 21042, USAGE, NOW, "id", 0.2), Attempt("n", "model_unavailable", 5))
    copies = (InputCopy("input-1.png", "image/png", 4, 3, 99),)
    return succeeded(make(ADA, text="Here it is.", usage=USAGE, attempts=attempts, inputs=copies, **changes))


async def test_list_leaves_out_the_long_fields(generations: FakeGenerations, memory: MemoryBudget) -> None:
    generations.add(ended())
    generations.add(make(User("bob@example.com"), 2))
    request = get("generations", {"limit": "5", "continuation": "c"})
    body = content(request, await ListGenerations(generations, FakeImages(), memory, BUDGET).handle(request, ADA))
    assert [item["id"] for item in body["items"]] == ["gen-1"]
    assert not {"text", "attempts", "inputs", "mask"} & set(body["items"][0])
    assert body["items"][0]["usage"] == USAGE_BODY
    assert body["continuation"] == "next"
    assert generations.pages == [(None, 5, "c")]
    assert memory.working == 0


async def test_list_with_root_has_the_descendants_of_a_generation(
    generations: FakeGenerations, memory: MemoryBudget
) -> None:
    generations.add(make(ADA, 1))
    generations.add(make(ADA, 2, root_id="gen-1", parent_id="gen-1"))
    request = get("generations", {"root": "gen-1", "continuation": ""})
    body = content(request, await ListGenerations(generations, FakeImages(), memory, BUDGET).handle(request, ADA))
    assert [item["id"] for item in body["items"]] == ["gen-2"]
    assert generations.pages == [("gen-1", 20, None)]


@pytest.mark.parametrize("limit", ["0", "101", "-1", "1.5", "x", "", "1000000", "\u0663"])
async def test_invalid_limit_is_refused(limit: str, generations: FakeGenerations, memory: MemoryBudget) -> None:
    handler = ListGenerations(generations, FakeImages(), memory, BUDGET)
    with pytest.raises(InvalidRequest) as caught:
        await handler.handle(get("generations", {"limit": limit}), ADA)
    assert caught.value.field == "limit"
    assert generations.pages == []


async def test_details_have_every_public_field(generations: FakeGenerations, memory: MemoryBudget) -> None:
    record = generations.add(ended(request_hash="secret"))
    request = get(f"generations/{record.id}")
    handler = GetGeneration(generations, FakeImages(), generations, memory, BUDGET)
    response = await handler.handle(request, ADA, record.id)
    body = content(request, response)
    assert body["attempts"][0] == {
        "model": "m",
        "outcome": "ok",
        "durationMs": 21042,
        "usage": USAGE_BODY,
        "startedAt": "2026-01-01T00:00:00.000Z",
    }
    assert body["inputs"] == [{"name": "input-1.png", "mimeType": "image/png", "width": 4, "height": 3, "bytes": 99}]
    assert body["options"] == {"imageSize": "2K"}
    assert body["error"] is None
    assert b"secret" not in response.body
    assert "Retry-After" not in response.headers


async def test_option_that_is_no_longer_valid_is_still_shown(
    generations: FakeGenerations, memory: MemoryBudget
) -> None:
    record = ended()
    options = type(record.options)(aspect_ratio="9:99", image_size="16K")
    record = generations.add(ended(options=options))
    handler = GetGeneration(generations, FakeImages(), generations, memory, BUDGET)
    response = await handler.handle(get("generations/gen-1"), ADA, record.id)
    assert json.loads(response.body)["options"] == {"aspectRatio": "9:99", "imageSize": "16K"}


async def test_failed_generation_has_the_error_of_its_record(
    generations: FakeGenerations, memory: MemoryBudget
) -> None:
    failure = Failure.of(NoImage(text="I would rather not.", finish_reason="STOP"))
    record = generations.add(make(ADA, status=Status.FAILED, failure=failure, completed_at=NOW))
    request = get(f"generations/{record.id}")
    handler = GetGeneration(generations, FakeImages(), generations, memory, BUDGET)
    body = content(request, await handler.handle(request, ADA, record.id))
    assert body["error"] == {
        "error": "No image was generated",
        "code": "no_image",
        "retryable": True,
        "text": "I would rather not.",
        "finishReason": "STOP",
    }
    assert body["thumbnailUrl"] is None


@pytest.mark.parametrize(
    ("prefer", "waits"),
    [("", []), ("wait=0", []), ("wait=7", [7]), ("wait=1000", [LONGEST_WAIT_SECONDS]), ("respond-async", [])],
)
async def test_running_generation_is_waited_for_as_preferred(
    prefer: str, waits: list[float], generations: FakeGenerations, memory: MemoryBudget
) -> None:
    record = generations.add(make(ADA))
    request = get(f"generations/{record.id}", prefer=prefer)
    handler = GetGeneration(generations, FakeImages(), generations, memory, BUDGET)
    response = await handler.handle(request, ADA, record.id)
    assert content(request, response)["status"] == "running"
    assert generations.waits == waits
    assert response.headers["Retry-After"] == "5"
    assert response.headers.get("Preference-Applied") == (f"wait={waits[0]}" if waits else None)


async def test_generation_that_ends_while_it_is_waited_for_is_answered_at_once(
    generations: FakeGenerations, memory: MemoryBudget
) -> None:
    record = generations.add(make(ADA), ended())
    request = get(f"generations/{record.id}", prefer="wait=7")
    handler = GetGeneration(generations, FakeImages(), generations, memory, BUDGET)
    response = await handler.handle(request, ADA, record.id)
    assert content(request, response)["status"] == "succeeded"
    assert "Retry-After" not in response.headers


async def test_request_without_time_left_does_not_wait(generations: FakeGenerations, memory: MemoryBudget) -> None:
    record = generations.add(make(ADA), ended())
    late = ResponseBudget(None, Clock(monotonic=lambda: 110.0))
    handler = GetGeneration(generations, FakeImages(), generations, memory, late)
    response = await handler.handle(get("generations/gen-1", prefer="wait=7"), ADA, record.id)
    assert generations.waits == []
    assert "Preference-Applied" not in response.headers


async def test_generation_of_another_user_is_not_found(generations: FakeGenerations, memory: MemoryBudget) -> None:
    generations.add(make(User("bob@example.com")))
    with pytest.raises(NotFound):
        await GetGeneration(generations, FakeImages(), generations, memory, BUDGET).handle(
            get("generations/gen-1"), ADA, "gen-1"
        )
    with pytest.raises(NotFound):
        await CancelGeneration(generations, FakeImages(), memory, BUDGET).handle(get("generations/gen-1"), ADA, "gen-1")
    with pytest.raises(NotFound):
        await DeleteGeneration(generations).handle(get("generations/gen-1"), ADA, "gen-1")


async def test_cancellation_is_200_for_an_ended_generation_and_202_for_a_running_one(
    generations: FakeGenerations, memory: MemoryBudget
) -> None:
    generations.add(make(ADA, 1), make(ADA, 1).canceled(Failure.of(Canceled()), (), NOW))
    generations.add(make(ADA, 2))
    handler = CancelGeneration(generations, FakeImages(), memory, BUDGET)
    for record_id, status, shown in (("gen-1", 200, "canceled"), ("gen-2", 202, "running")):
        request = Request("POST", f"generations/{record_id}/cancel", started=10.0)
        response = await handler.handle(request, ADA, record_id)
        assert (response.status, content(request, response)["status"]) == (status, shown)
    assert response.headers["Location"] == "/api/generations/gen-2"
    assert memory.working == 0


async def test_deletion_is_204_without_a_body(generations: FakeGenerations) -> None:
    generations.add(make(ADA))
    request = Request("DELETE", "generations/gen-1")
    response = await DeleteGeneration(generations).handle(request, ADA, "gen-1")
    assert (response.status, response.body, response.headers["Cache-Control"]) == (204, b"", "no-store")
    assert generations.records == {}
