"""Dispatch of a request: the order of the checks, errors, the memory of bodies and the time limit."""

import asyncio
import json
import logging
import time
from collections.abc import Mapping

import pytest

from image_core.api.dispatch import Api, check_body
from image_core.api.http import Request, Response
from image_core.api.response_budget import ResponseBudget
from image_core.clock import Clock
from image_core.errors import (
    Busy,
    LengthRequired,
    Misconfigured,
    NotFound,
    RateLimited,
    RequestTooLarge,
    UnsupportedMediaType,
)
from tests.support.fakes.application import ADA, FakeApplication, FakeHandler

COOKIE = {"cookie": "x=y"}


def get(path: str, **more: object) -> Request:
    return Request("GET", path, headers=COOKIE, **more)  # type: ignore[arg-type] # fields of a request by name


async def answer(application: FakeApplication, request: Request) -> Response:
    return await Api(application).handle(request)


def code(response: Response) -> str:
    return str(json.loads(response.body)["code"])


async def test_handler_gets_request_user_and_the_name_in_the_path() -> None:
    application = FakeApplication()
    for request in (get("usage"), get("generations/gen-A"), get("health")):
        assert (await answer(application, request)).status == 200
    ((_, user),) = application.handlers.get_usage.calls
    ((_, owner, name),) = application.handlers.get_generation.calls
    ((public,),) = application.handlers.get_health.calls
    assert (user, owner, name) == (ADA, ADA, "gen-A")
    assert isinstance(public, Request)


@pytest.mark.parametrize(
    ("error", "status", "headers"),
    [
        (NotFound(), 404, {}),
        (Busy(), 503, {"Retry-After": "5"}),
        (RateLimited(retry_after=30), 429, {"Retry-After": "30"}),
        (Misconfigured("SECRET is not set"), 500, {}),
        (ValueError("what the caller sent"), 500, {}),
    ],
)
async def test_error_of_a_handler_becomes_its_response(
    error: Exception, status: int, headers: Mapping[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    async def fails(*_: object) -> Response:
        raise error

    application = FakeApplication()
    application.handlers.get_usage = FakeHandler(fails)
    with caplog.at_level(logging.INFO):
        response = await answer(application, get("usage"))
    assert response.status == status
    assert headers.items() <= response.headers.items()
    assert set(json.loads(response.body)) == {"error", "code", "retryable"}
    assert b"SECRET" not in response.body
    assert "what the caller sent" not in caplog.text


async def test_unexpected_error_of_an_upload_has_the_message_of_uploads() -> None:
    async def fails(*_: object) -> Response:
        raise ValueError

    application = FakeApplication()
    application.handlers.upload_image = FakeHandler(fails)
    response = await answer(application, Request("POST", "Upload/", headers=COOKIE, body=b"x"))
    assert json.loads(response.body)["error"] == "Failed to upload file"


async def test_session_is_checked_before_the_body_and_the_origin_before_the_session() -> None:
    application = FakeApplication()
    foreign = {"sec-fetch-site": "cross-site"}
    long = b"x" * 200
    for headers, status in (({**foreign}, 403), ({}, 401), (COOKIE, 413)):
        request = Request("POST", "image", headers=headers, body=long)
        assert (await answer(application, request)).status == status
    assert application.handlers.generate_image.calls == []
    assert application.memory_budget.held == 0


async def test_body_is_held_in_the_memory_budget_while_its_handler_works() -> None:
    held = []

    async def notes(*_: object) -> Response:
        held.append(application.memory_budget.held)
        return Response(200)

    application = FakeApplication()
    application.handlers.generate_image = FakeHandler(notes)
    await answer(application, Request("POST", "image", headers=COOKIE, body=b"x" * 50))
    assert held[0] >= 50
    assert application.memory_budget.held == 0


async def test_body_counts_for_its_user_when_the_session_is_verified() -> None:
    application = FakeApplication()
    received: list[int] = []

    async def assigns(*_: object) -> Response:
        with application.memory_budget.body(100) as other:  # of a request whose session is not verified yet
            received.append(application.memory_budget.held)
            with pytest.raises(Busy):
                other.assign(ADA.id)
        return Response(200)

    application.handlers.generate_image = FakeHandler(assigns)
    response = await answer(application, Request("POST", "image", headers=COOKIE, body=b"x" * 100))
    assert (response.status, received) == (200, [500])


async def test_body_of_a_route_that_takes_none_is_not_checked() -> None:
    request = Request("POST", "generations/x/cancel", headers={**COOKIE, "content-encoding": "gzip"}, body=b"x" * 200)
    assert (await answer(FakeApplication(), request)).status == 200


class Unconfigured(FakeApplication):
    """An application with an invalid setting."""

    def __getattribute__(self, name: str) -> object:
        if name == "handlers":
            return super().__getattribute__(name)
        raise Misconfigured("MAX_IMAGES is not a number")


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [("usage", COOKIE, 500), ("health", {}, 200), ("health", {"origin": "https://x.example"}, 200)],
)
async def test_with_invalid_settings_only_health_works(path: str, headers: dict[str, str], status: int) -> None:
    response = await answer(Unconfigured(), Request("GET", path, headers=headers))
    assert response.status == status
    assert "Vary" not in response.headers


async def test_handler_that_hangs_is_canceled_and_answered_with_503() -> None:
    cancelled = asyncio.Event()

    async def hangs(*_: object) -> Response:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        raise AssertionError

    application = FakeApplication()
    application.handlers.get_usage = FakeHandler(hangs)
    # The request began 42.9 s ago, behind Static Web Apps with its limit of 45 s.
    headers = {**COOKIE, "x-ms-original-url": "https://app.example.com/api/usage"}
    request = Request("GET", "usage", headers=headers, started=time.monotonic() - 42.9)
    response = await answer(application, request)
    assert (response.status, code(response)) == (503, "storage_unavailable")
    assert cancelled.is_set()


async def test_timeout_inside_a_handler_is_an_unexpected_error() -> None:
    async def fails(*_: object) -> Response:
        raise TimeoutError

    application = FakeApplication()
    application.handlers.get_usage = FakeHandler(fails)
    assert (await answer(application, get("usage"))).status == 500


@pytest.mark.parametrize(
    ("seconds", "headers", "last"),
    [
        (None, {"x-ms-original-url": "https://x.example"}, 43),
        (None, {}, 98),
        (25.0, {}, 28),
        (0.0, {}, 23),
    ],
)
def test_time_limit_ends_before_the_proxys(seconds: float | None, headers: dict[str, str], last: float) -> None:
    budget = ResponseBudget(seconds, Clock(monotonic=lambda: 7.0))
    assert budget.to_the_last(Request("POST", "image", headers=headers, started=7.0)) == last


def posted(body: bytes = b"{}", **headers: str) -> Request:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return Request("POST", "image", headers=sent, body=body)


def test_body_in_chunks_arrives_empty_and_is_411() -> None:
    with pytest.raises(LengthRequired):
        check_body(posted(b"", transfer_encoding="chunked"), 10)


def test_request_without_a_body_is_not_411() -> None:
    check_body(posted(b""), 10)
    check_body(posted(b"", content_length="0"), 10)


def test_body_that_arrived_in_chunks_is_accepted() -> None:
    check_body(posted(transfer_encoding="chunked"), 10)


def test_body_over_the_limit_is_413_with_the_limit() -> None:
    check_body(posted(b"x" * 10), 10)
    with pytest.raises(RequestTooLarge) as caught:
        check_body(posted(b"x" * 11), 10)
    assert "10 bytes" in str(caught.value.details)


@pytest.mark.parametrize("encoding", ["gzip", "br", "GZIP", "deflate, gzip", "identity, zstd", "nonsense"])
def test_compressed_body_is_415_with_the_encoding(encoding: str) -> None:
    with pytest.raises(UnsupportedMediaType) as caught:
        check_body(posted(content_encoding=encoding), 10)
    compression = next(name for name in encoding.split(", ") if name != "identity")
    assert compression in str(caught.value.details)


def test_long_encoding_is_not_repeated_in_full() -> None:
    with pytest.raises(UnsupportedMediaType) as caught:
        check_body(posted(content_encoding="x" * 10_000), 10)
    assert len(str(caught.value.details)) < 100


@pytest.mark.parametrize("encoding", ["", "identity", "Identity", "identity, identity"])
def test_uncompressed_body_is_accepted(encoding: str) -> None:
    check_body(posted(content_encoding=encoding), 10)
