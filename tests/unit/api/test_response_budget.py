"""The time limit of a response, by setting, proxy and the caller's preference."""

from dataclasses import replace

import pytest

from image_core.api.http import Request
from image_core.api.response_budget import ResponseBudget
from image_core.clock import Clock
from image_core.settings import Settings

BEHIND = {"x-ms-original-url": "https://app.example.com/api/image"}


@pytest.mark.parametrize(
    ("setting", "headers", "preferred", "seconds"),
    [
        ({}, {}, None, 95),
        ({}, BEHIND, None, 40),
        ({}, {"x-ms-original-url": ""}, None, 95),
        ({}, {}, 20, 20),
        ({}, BEHIND, 300, 40),
        ({}, {}, 300, 95),
        ({"RESPONSE_BUDGET_SECONDS": "25"}, {}, None, 25),
        ({"RESPONSE_BUDGET_SECONDS": "60"}, BEHIND, None, 60),
        ({"RESPONSE_BUDGET_SECONDS": "0"}, BEHIND, 10, 0),
        ({"RESPONSE_BUDGET_SECONDS": ""}, BEHIND, None, 40),
    ],
)
def test_budget_is_the_settings_or_the_proxys_and_a_preference_only_shortens_it(
    setting: dict[str, str], headers: dict[str, str], preferred: int | None, seconds: float
) -> None:
    budget = ResponseBudget(Settings.read(setting).response_budget_seconds, Clock())
    assert budget.seconds(Request("POST", "image", headers=headers), preferred) == seconds


def test_time_since_the_request_began_is_subtracted() -> None:
    budget = ResponseBudget(Settings.read({}).response_budget_seconds, Clock(monotonic=lambda: 130.0))
    request = Request("POST", "image", started=100.0)
    assert budget.left(request) == 65
    assert budget.left(request, 30) == 0
    assert budget.left(replace(request, started=10.0)) == 0


def test_default_budget_is_below_the_deadline_of_a_generation() -> None:
    budget = ResponseBudget(Settings.read({}).response_budget_seconds, Clock())
    assert budget.seconds(Request("POST", "image")) < Settings.read({}).generation_deadline_seconds


def test_get_waits_for_a_generation_also_if_the_budget_is_zero() -> None:
    request = Request("GET", "images/gen-1", started=100.0)
    later = Clock(monotonic=lambda: 101.0)
    assert (
        ResponseBudget(Settings.read({"RESPONSE_BUDGET_SECONDS": "0"}).response_budget_seconds, later).following(
            request
        )
        == 19
    )
    assert (
        ResponseBudget(Settings.read({"RESPONSE_BUDGET_SECONDS": "25"}).response_budget_seconds, later).following(
            request
        )
        == 24
    )
    assert (
        ResponseBudget(Settings.read({}).response_budget_seconds, later).following(replace(request, headers=BEHIND))
        == 39
    )


def test_wait_for_memory_and_slots_is_within_the_budget_and_short_without_one() -> None:
    request = Request("POST", "image", started=100.0)
    later = Clock(monotonic=lambda: 101.0)
    for setting, seconds in (("0", 19), ("1", 4), ("25", 24)):
        budget = ResponseBudget(Settings.read({"RESPONSE_BUDGET_SECONDS": setting}).response_budget_seconds, later)
        assert budget.for_resources(request).remaining() == seconds
    assert (
        ResponseBudget(Settings.read({}).response_budget_seconds, later)
        .for_resources(replace(request, headers=BEHIND))
        .remaining()
        == 39
    )
