"""Budgets: checked before inputs are loaded, kept under concurrency, and reset at midnight."""

import asyncio
import base64
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest
from azure.cosmos.aio import CosmosClient

from image_core.app import Application
from image_core.clock import Clock
from image_core.models.generated import Options
from image_core.models.prices import expected_cost
from image_core.settings import Settings, SettingsError
from local.emulators import AzuritePorts, cosmos_connection_string
from local.gemini.script import finished
from tests.support.change_feed import feed
from tests.support.eventually import eventually
from tests.support.harness import PROMPT, Answer, Harness, harness, sample_image
from tests.support.shifted_clock import Shifted

EXPECTED = expected_cost(Settings.read({}).gemini_models, Options(), 1, datetime.now(UTC).date(), len(PROMPT))
"""Expected cost of a generation with one input: that of the most expensive model, with the longest text."""


@pytest.fixture
async def product(azurite_ports: AzuritePorts, cosmos_url: str) -> AsyncIterator[Harness]:
    async with harness(azurite_ports, cosmos_url) as running:
        await reset_spending(running)
        yield running


async def reset_spending(product: Harness) -> None:
    """Delete the sums and running generations of other tests, so that the day's sum for all users begins at zero."""
    async with CosmosClient.from_connection_string(cosmos_connection_string(product.cosmos.target)) as client:
        database = client.get_database_client("catafract")
        for name, condition in (("usage", "IS_DEFINED(c.period)"), ("generations", "IS_DEFINED(c.leaseExpiresAt)")):
            container = database.get_container_client(name)
            found = container.query_items(f"SELECT c.id, c.userId FROM c WHERE {condition}")  # noqa: S608 - constants
            for each in [item async for item in found]:
                await container.delete_item(each["id"], each["userId"])


def count_statuses(answers: list[Answer]) -> dict[int, int]:
    return {status: sum(each.status == status for each in answers) for status in {each.status for each in answers}}


async def generate_together(product: Harness, count: int, *, refused: int) -> list[Answer]:
    """Generate `count` images. The model answers as soon as `refused` requests have ended."""
    product.fake_gemini.released.clear()
    requests = [asyncio.create_task(product.generate()) for _ in range(count)]
    await eventually(lambda: sum(each.done() for each in requests) >= refused)
    product.fake_gemini.released.set()
    return await asyncio.gather(*requests)


async def test_nothing_is_refused_without_a_budget(product: Harness) -> None:
    assert (await product.generate()).status == 200
    assert (await product.call("GET", "/api/usage")).json["budget"] is None


async def test_budget_of_zero_refuses_every_generation(product: Harness) -> None:
    async with product.another(DAILY_BUDGET_USD_PER_USER="0") as strict:
        refused = await strict.generate("not even an image")
        assert (refused.status, refused.json["code"], refused.json["retryable"]) == (429, "budget_exceeded", True)
        assert (refused.json["dailyUsd"], refused.json["spentUsd"], refused.json["runningUsd"]) == (0, 0, 0)
        assert refused.json["resetsAt"].endswith("T00:00:00.000Z")
        assert 0 < int(refused.headers["Retry-After"]) <= 86400
    assert product.fake_gemini.calls == []


async def test_usage_has_the_rest_of_the_budget_and_a_refusal_the_amount_spent(product: Harness) -> None:
    async with product.another(DAILY_BUDGET_USD_PER_USER="0.32") as limited:
        assert (await limited.generate()).status == 200
        budget = (await limited.call("GET", "/api/usage")).json["budget"]
        assert budget["dailyUsd"] == 0.32
        assert budget["remainingUsd"] == round(0.32 - product.fake_gemini.billed_usd, 6)
        assert (await limited.generate()).status == 200
        refused = await limited.generate()
        assert refused.json["code"] == "budget_exceeded"
        assert refused.json["spentUsd"] == product.fake_gemini.billed_usd, "although the ledger's function has not run"


async def test_usage_is_the_same_before_and_after_the_ledger_is_written(product: Harness) -> None:
    async with product.another(DAILY_BUDGET_USD_PER_USER="5") as limited, feed(limited) as ledger:
        for delivered in (False, True, True):
            await limited.generate()
            if delivered:
                await ledger.deliver()
            usage = (await limited.call("GET", "/api/usage")).json
            assert usage["today"]["costUsd"] == product.fake_gemini.billed_usd
            assert usage["budget"]["remainingUsd"] == round(5 - product.fake_gemini.billed_usd, 6)


async def test_image_without_token_counts_costs_the_expected_amount(product: Harness) -> None:
    data = base64.b64encode(sample_image()).decode()
    product.fake_gemini.script.add(finished("STOP", {"inlineData": {"mimeType": "image/jpeg", "data": data}}))
    async with product.another(DAILY_BUDGET_USD_PER_USER="5") as limited:
        assert (await limited.generate()).status == 200
        report = (await limited.call("GET", "/api/usage")).json
    assert report["today"]["estimatedUsd"] == pytest.approx(EXPECTED)
    assert report["budget"]["remainingUsd"] == pytest.approx(5 - EXPECTED)


async def test_deletion_does_not_lower_the_amount_spent(product: Harness) -> None:
    async with product.another(DAILY_BUDGET_USD_PER_USER="0.18") as limited:
        made = await limited.generate()
        await limited.call("DELETE", f"/api/generations/{made.json['id']}")
        assert (await limited.generate()).json["code"] == "budget_exceeded"


async def test_running_generation_counts_in_the_budget_also_after_its_deletion(product: Harness) -> None:
    product.fake_gemini.released.clear()
    async with product.another(DAILY_BUDGET_USD_PER_USER="0.18") as limited:
        running = await limited.generate(headers={"Prefer": "wait=1"})
        assert running.status == 202
        assert (await limited.generate()).json["runningUsd"] == EXPECTED
        await limited.call("DELETE", f"/api/generations/{running.json['id']}")
        assert (await limited.generate()).json["runningUsd"] == EXPECTED
        product.fake_gemini.released.set()
        await limited.drained()


async def test_replay_is_answered_although_the_budget_is_used_up(product: Harness) -> None:
    async with product.another(DAILY_BUDGET_USD_PER_USER="0.18") as limited:
        first = await limited.generate(headers={"Idempotency-Key": "once"})
        again = await limited.generate(headers={"Idempotency-Key": "once"})
        assert (first.status, again.status) == (200, 200)
        assert (await limited.generate(headers={"Idempotency-Key": "twice"})).status == 429


async def test_budget_of_one_user_does_not_limit_another(product: Harness) -> None:
    async with product.another(DAILY_BUDGET_USD_PER_USER="0.18") as limited:
        await limited.generate()
        assert (await limited.generate()).status == 429
        async with limited.another(email=f"other-{limited.email}") as other:
            assert (await other.generate()).status == 200


async def test_concurrent_requests_stay_within_the_budget(product: Harness) -> None:
    """The budget is enough for ten of fifty requests."""
    budget = round(10 * EXPECTED, 6)
    settings = {"DAILY_BUDGET_USD_PER_USER": str(budget), "MAX_CONCURRENT_PER_USER": "100"}
    async with product.another(**settings) as limited:
        answers = await generate_together(limited, 50, refused=40)
        assert count_statuses(answers) == {200: 10, 429: 40}
    assert product.fake_gemini.billed_usd <= budget


async def test_two_processes_exceed_a_budget_by_at_most_the_documented_amount(product: Harness) -> None:
    product.fake_gemini.latency = 1
    concurrent, budget = 4, round(10 * EXPECTED, 6)
    settings = {"DAILY_BUDGET_USD_PER_USER": str(budget), "MAX_CONCURRENT_PER_USER": str(concurrent)}
    async with product.another(**settings) as one, product.another(**settings) as two:
        for _ in range(5):
            await asyncio.gather(*(each.generate() for each in (one, two) * 10))
    assert product.fake_gemini.billed_usd <= budget + concurrent * EXPECTED
    assert product.fake_gemini.billed_usd > budget - 2 * EXPECTED


async def test_concurrent_generations_of_a_user_are_limited(product: Harness) -> None:
    async with product.another(MAX_CONCURRENT_PER_USER="3") as limited:
        answers = await generate_together(limited, 12, refused=9)
    assert count_statuses(answers) == {200: 3, 429: 9}
    assert {each.json["code"] for each in answers if each.status == 429} == {"too_many_generations"}


async def test_requests_with_one_key_count_as_one_generation(product: Harness) -> None:
    product.fake_gemini.latency = 1
    settings = {"MAX_CONCURRENT_PER_USER": "1", "DAILY_BUDGET_USD_PER_USER": "0.18", "DAILY_BUDGET_USD": "0.18"}
    async with product.another(**settings) as limited, product.another(**settings) as second:
        key = {"Idempotency-Key": "many"}
        answers = await asyncio.gather(*(each.generate(headers=key) for each in (limited, second) * 6))
    assert count_statuses(answers) == {200: 12}
    assert len(product.fake_gemini.calls) == 1


async def test_service_budget_counts_all_users(product: Harness) -> None:
    async with (
        product.another(DAILY_BUDGET_USD="0.32") as one,
        feed(one) as mine,
        one.another(email=f"second-{one.email}") as two,
        feed(two) as others,
    ):
        for each, ledger in ((one, mine), (two, others)):
            assert (await each.generate()).status == 200
            await ledger.deliver()
        refused = await two.generate()
        assert refused.json["code"] == "budget_exceeded"
        assert refused.json["spentUsd"] == product.fake_gemini.billed_usd
        assert "service's budget" in refused.json["details"]


async def test_service_budget_counts_running_generations_of_other_users(product: Harness) -> None:
    product.fake_gemini.released.clear()
    async with product.another(DAILY_BUDGET_USD="0.18") as one, one.another(email=f"next-{one.email}") as two:
        running = asyncio.create_task(one.generate())
        await product.called()
        refused = await two.generate()
        assert (refused.status, refused.json["runningUsd"]) == (429, EXPECTED)
        product.fake_gemini.released.set()
        assert (await running).status == 200


async def test_model_without_a_price_counts_as_the_most_expensive(product: Harness) -> None:
    settings = {"GEMINI_MODELS": "gemini-4-image", "DAILY_BUDGET_USD_PER_USER": "0.20"}
    async with product.another(**settings) as limited:
        assert (await limited.generate()).status == 200
        refused = await limited.generate()
        assert refused.json["code"] == "budget_exceeded"
        assert refused.json["spentUsd"] >= 0.134


@pytest.mark.parametrize("seconds", [1, 3600])
async def test_daily_budget_is_reset_at_midnight(seconds: int, product: Harness) -> None:
    """A generation counts on the day on which it began, also if its entry is written after midnight."""
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    settings = {**product.environment, "DAILY_BUDGET_USD_PER_USER": "0.18"}
    async with at(product, settings, lambda: midnight - timedelta(seconds=1)) as before, feed(before) as ledger:
        assert (await before.generate()).status == 200
        refused = await before.generate()
        assert (refused.status, refused.headers["Retry-After"]) == (429, "1")
        await ledger.deliver()
    async with at(product, settings, lambda: midnight + timedelta(seconds=seconds)) as after:
        usage = (await after.call("GET", "/api/usage")).json
        assert (usage["today"]["calls"], usage["today"]["since"]) == (0, midnight.strftime("%Y-%m-%dT00:00:00.000Z"))
        assert usage["budget"]["remainingUsd"] == 0.18
        assert (await after.generate()).status == 200


@asynccontextmanager
async def at(product: Harness, settings: dict[str, str], now: Callable[[], datetime]) -> AsyncIterator[Harness]:
    app = Application(settings, Clock(now=now))
    try:
        yield Shifted(
            app, product.fake_gemini, product.cosmos, product.blobs, settings, product.email, product.blob_base, now
        )
    finally:
        await app.close()


@pytest.mark.parametrize("value", ["-1", "two", "nan", "inf"])
@pytest.mark.parametrize("name", ["DAILY_BUDGET_USD", "DAILY_BUDGET_USD_PER_USER"])
def test_budget_that_is_not_an_amount_is_refused(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name):
        Settings.read({name: value})


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("{", "not JSON"),
        ("[]", "JSON object"),
        ('{"a@example.com": 5}', "entry 1, limits"),
        ('{"a@example.com": {"dailyBudgetUsd": -1}}', "entry 1, dailyBudgetUsd"),
        ('{"a@example.com": {"dailyBudgetUsd": "much"}}', "entry 1, dailyBudgetUsd"),
        ('{"a@example.com": {"maxConcurrent": 0}}', "entry 1, maxConcurrent"),
        ('{"b@example.com": {}, "a@example.com": {"weeklyBudgetUsd": 5}}', "entry 2, weeklyBudgetUsd: no such limit"),
        ('{"a@example.com": {}, "A@example.com ": {}}', "entry 2"),
        ('{"a@example.com": {}, "a@example.com": {}}', "a name is in it twice"),
        ('{"a@example.com": {"dailyBudgetUsd": 1, "dailyBudgetUsd": 2}}', "a name is in it twice"),
        ('{" ": {}}', "no e-mail address"),
    ],
)
def test_invalid_limits_are_refused_without_repeating_an_address(value: str, words: str) -> None:
    with pytest.raises(SettingsError, match="USER_LIMITS") as caught:
        Settings.read({"USER_LIMITS": value})
    assert words in str(caught.value)
    assert "b@example.com" not in str(caught.value)


def test_named_user_has_the_general_limits_where_none_is_named() -> None:
    settings = Settings.read(
        {
            "DAILY_BUDGET_USD_PER_USER": "1",
            "MONTHLY_BUDGET_USD_PER_USER": "10",
            "USER_LIMITS": '{"Ada@Example.com": {"monthlyBudgetUsd": null, "maxConcurrent": 30}}',
        }
    )
    ada, other = settings.limits_of("ada@example.com"), settings.limits_of("bob@example.com")
    assert (ada.daily_budget_usd, ada.monthly_budget_usd, ada.max_concurrent) == (1, None, 30)
    assert (other.daily_budget_usd, other.monthly_budget_usd, other.max_concurrent) == (1, 10, 10)
