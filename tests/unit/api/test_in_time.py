"""A response leaves before the proxy in front gives up, also where a service that it needs neither answers nor fails."""

import asyncio
import time
from types import SimpleNamespace
from typing import Any

import pytest

from image_core.api.http import Request, Response
from image_core.api.origin import OriginPolicy
from image_core.api.response_budget import ResponseBudget
from image_core.api.router import Api
from image_core.auth.user import User
from image_core.clock import Clock
from image_core.settings import Settings


class Handlers:
    """An application whose usage handler does what the test says."""

    def __init__(self, doing: Any) -> None:
        self.settings = Settings.read({})
        self.budget = ResponseBudget(self.settings, Clock())
        self.guard = OriginPolicy(self.settings)
        self.sessions = self
        self.usage = SimpleNamespace(get=doing)
        self.image = self.upload = self.generations = self.images = self.models = self.health = self.docs = None

    async def user(self, headers: Any) -> User:
        return User("ada@example.com")


async def test_a_request_whose_service_hangs_is_given_up_with_503() -> None:
    cancelled = asyncio.Event()

    async def hanging(request: Request, user: User) -> Response:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        raise AssertionError

    # It began 42.9 s ago, behind Static Web Apps, which gives up after 45.
    headers = {"x-ms-original-url": "https://app.example.com/api/usage"}
    request = Request("GET", "usage", headers=headers, started=time.monotonic() - 42.9)
    answer = await Api(Handlers(hanging)).handle(request)  # type: ignore[arg-type] # a part of the application
    assert answer.status == 503
    assert b'"code":"storage_unavailable"' in answer.body
    assert cancelled.is_set()


async def test_a_handlers_own_timeout_is_not_taken_for_that() -> None:
    async def failing(request: Request, user: User) -> Response:
        raise TimeoutError

    answer = await Api(Handlers(failing)).handle(Request("GET", "usage"))  # type: ignore[arg-type] # as above
    assert answer.status == 500


@pytest.mark.parametrize(
    ("setting", "headers", "seconds"),
    [
        ({}, {"x-ms-original-url": "https://x.example"}, 43),
        ({}, {}, 98),
        ({"RESPONSE_BUDGET_SECONDS": "25"}, {}, 28),
        ({"RESPONSE_BUDGET_SECONDS": "0"}, {}, 23),
    ],
)
def test_the_last_moment_is_before_the_proxys(setting: dict[str, str], headers: dict[str, str], seconds: float) -> None:
    budget = ResponseBudget(Settings.read(setting), Clock(monotonic=lambda: 7.0))
    assert budget.to_the_last(Request("POST", "image", headers=headers, started=7.0)) == seconds
