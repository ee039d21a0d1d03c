"""No sequence of a user's calls lowers their spending: the fake Gemini, the ledger and `GET /api/usage` agree."""

import asyncio
from collections.abc import Callable
from datetime import date, timedelta

import pytest

from image_core.auth.user import User
from local.gemini.script import Scripted
from operations.usage import collect
from tests.support.change_feed import Feed
from tests.support.eventually import eventually
from tests.support.gemini_responses import answer_without_image, refusal
from tests.support.harness import Harness


async def assert_costs_agree(product: Harness, ledger: Feed) -> None:
    """Compare what the service billed, the ledger, and the sums that the user and the operator get."""
    billed = product.fake_gemini.billed_usd
    assert await ledger.usd() == billed
    usage = (await product.call("GET", "/api/usage")).json
    assert usage["today"]["costUsd"] == usage["month"]["costUsd"] == billed
    assert usage["today"]["calls"] == len(await ledger.entries())
    first = date.fromisoformat((await ledger.entries())[0]["time"][:10])
    collected = await collect(product.app.components.ledger, first, first + timedelta(days=1), ("user",))
    assert collected[(product.email,)].usd == billed


async def test_key_used_again_after_a_deletion_makes_new_ledger_entries(product: Harness, ledger: Feed) -> None:
    key = {"Idempotency-Key": "again"}
    ids = set()
    for delivered in (False, True, False, True):
        made = await product.generate(headers=key)
        assert made.status == 200
        ids.add(made.json["id"])
        if delivered:
            await ledger.deliver()
        assert (await product.call("DELETE", f"/api/generations/{made.json['id']}")).status == 204
    assert len(ids) == 1, "the same key has the same id"
    assert len(await ledger.entries()) == len(product.fake_gemini.calls) == 4
    await assert_costs_agree(product, ledger)


async def test_repeated_deletions_stay_within_the_budget(product: Harness) -> None:
    async with product.another(DAILY_BUDGET_USD_PER_USER="0.5") as limited:
        answers = []
        for _ in range(6):
            made = await limited.generate(headers={"Idempotency-Key": "again"})
            answers.append(made.status)
            if made.status == 200:
                await limited.call("DELETE", f"/api/generations/{made.json['id']}")
        assert answers == [200, 200, 200, 429, 429, 429]
    assert product.fake_gemini.billed_usd <= 0.5


@pytest.mark.parametrize("reply", [answer_without_image, refusal])
async def test_billed_failures_stay_in_the_ledger_after_repetition_and_deletion(
    reply: Callable[[], Scripted], product: Harness, ledger: Feed
) -> None:
    key = {"Idempotency-Key": "failing"}
    for round_number in range(3):
        product.fake_gemini.script.add(*(reply() for _ in range(6)))
        failed = await product.generate(headers=key)
        assert failed.status == 500
        if round_number:
            await product.call("DELETE", f"/api/generations/{failed.json['id']}")
        product.fake_gemini.script.clear()
    await assert_costs_agree(product, ledger)


async def test_key_used_again_after_a_deletion_during_the_call_is_billed_twice(product: Harness, ledger: Feed) -> None:
    key = {"Idempotency-Key": "both", "Prefer": "wait=0"}
    for _ in range(2):
        product.fake_gemini.released.clear()
        queued = await product.generate(headers=key)
        runner = asyncio.create_task(product.app.resume(queued.enqueue[0].encode()))
        before = len(product.fake_gemini.calls)
        await product.called(before + 1)
        await product.call("DELETE", f"/api/generations/{queued.json['id']}")
        product.fake_gemini.released.set()
        await runner
    assert len(product.fake_gemini.calls) == 2
    await assert_costs_agree(product, ledger)


async def test_completion_in_the_outbox_of_a_deleted_generation_is_billed(product: Harness, ledger: Feed) -> None:
    """The database is unreachable when the model answers. The user deletes the generation after the outage."""
    product.fake_gemini.released.clear()
    running = asyncio.create_task(product.generate(headers={"Idempotency-Key": "outbox"}))
    await product.called()
    product.cosmos.unreachable = True
    product.fake_gemini.released.set()
    made = await running
    assert (made.status, made.json["warnings"][0][:14]) == (200, "record_pending")
    product.cosmos.reconnect()
    await product.call("DELETE", f"/api/generations/{made.json['id']}")
    # The record is hidden until its lease expires; the recovery then applies the completion.
    await product.app.find_unfinished()
    await assert_costs_agree(product, ledger)


async def test_queued_generation_counts_in_the_limits_however_late_the_queue_is(product: Harness, ledger: Feed) -> None:
    async with product.another(MAX_CONCURRENT_PER_USER="2", DAILY_BUDGET_USD_PER_USER="0.5") as limited:
        queued = [await limited.generate(headers={"Prefer": "respond-async"}) for _ in range(2)]
        assert [each.status for each in queued] == [202, 202]
        for document in await ledger.changed():
            await ledger.edit({**document, "leaseExpiresAt": "2026-01-01T00:00:00.000Z"})
        assert (await limited.generate()).json["code"] == "too_many_generations"
        async with limited.another(MAX_CONCURRENT_PER_USER="9") as wider:
            assert (await wider.generate()).json["code"] == "budget_exceeded"
        for each in queued:
            await limited.app.resume(each.enqueue[0].encode())
        assert (await limited.call("GET", "/api/usage")).json["budget"]["runningUsd"] == 0
    await assert_costs_agree(product, ledger)


async def test_queued_generation_is_checked_again_when_it_starts(product: Harness) -> None:
    """With the lower budget of the second process only the first of three queued generations fits."""
    queued = [await product.generate(headers={"Prefer": "respond-async"}) for _ in range(3)]
    async with product.another(DAILY_BUDGET_USD_PER_USER="0.2") as limited:
        for each in reversed(queued):
            await limited.app.resume(each.enqueue[0].encode())
        answers = [(await limited.call("GET", f"/api/generations/{each.json['id']}")).json for each in queued]
    assert [each["status"] for each in answers] == ["succeeded", "failed", "failed"]
    assert {each["error"]["code"] for each in answers[1:]} == {"budget_exceeded"}
    assert len(product.fake_gemini.calls) == 1


async def test_deleted_queued_generation_costs_nothing_and_does_not_count(product: Harness) -> None:
    async with product.another(MAX_CONCURRENT_PER_USER="1") as limited:
        queued = await limited.generate(headers={"Prefer": "respond-async"})
        await limited.call("DELETE", f"/api/generations/{queued.json['id']}")
        assert (await limited.generate()).status == 200
    assert len(product.fake_gemini.calls) == 1


async def test_limits_of_a_named_user_replace_the_general_limits(product: Harness) -> None:
    limits = f'{{"{product.email.upper()}": {{"dailyBudgetUsd": 0.4, "maxConcurrent": 1}}}}'
    settings = {"DAILY_BUDGET_USD_PER_USER": "0", "USER_LIMITS": limits}
    async with product.another(**settings) as named, named.another(email=f"other-{named.email}") as other:
        assert (await other.generate()).json["dailyUsd"] == 0
        assert [(await named.generate()).status for _ in range(3)] == [200, 200, 429]
    unlimited = f'{{"{product.email}": {{"dailyBudgetUsd": null, "maxConcurrent": 1}}}}'
    async with product.another(DAILY_BUDGET_USD_PER_USER="0", USER_LIMITS=unlimited) as named:
        product.fake_gemini.released.clear()
        requests = [asyncio.create_task(named.generate()) for _ in range(3)]
        await eventually(lambda: sum(each.done() for each in requests) == 2)
        product.fake_gemini.released.set()
        answers = await asyncio.gather(*requests)
        assert sorted(each.status for each in answers) == [200, 429, 429]
        assert (await named.call("GET", "/api/usage")).json["budget"] is None


async def test_monthly_budget_applies_beside_the_daily_budget(product: Harness, ledger: Feed) -> None:
    first = await product.generate()
    (entry,) = await ledger.entries()
    day = entry["time"][:10]
    month_only = f"{day[:7]}-{'01' if day[8:] != '01' else '02'}"
    (record,) = await ledger.changed()
    earlier = {**record["attempts"][0], "id": "earlier-0", "startedAt": f"{month_only}T00:00:00.000Z"}
    await ledger.edit({**record, "id": "gen-earlier", "blobStem": "generated-earlier", "attempts": [earlier]})
    await ledger.deliver()
    settings = {"DAILY_BUDGET_USD_PER_USER": "0.4", "MONTHLY_BUDGET_USD_PER_USER": "0.44"}
    async with product.another(**settings) as limited:
        cost = first.json["usage"]["costUsd"]
        budget = (await limited.call("GET", "/api/usage")).json["budget"]
        assert budget["remainingUsd"] == budget["monthlyRemainingUsd"] == round(0.44 - 2 * cost, 6)
        assert budget["monthResetsAt"].endswith("-01T00:00:00.000Z")
        refused = await limited.generate()
        assert (refused.status, refused.json["code"], refused.json["monthlyUsd"]) == (429, "budget_exceeded", 0.44)
        assert refused.json["spentUsd"] == round(2 * cost, 6)
        assert refused.json["resetsAt"] == budget["monthResetsAt"]
    async with product.another(MONTHLY_BUDGET_USD=str(round(2 * cost, 6))) as limited:
        assert "service's budget" in (await limited.generate()).json["details"]


async def test_missing_sums_are_computed_from_the_entries(product: Harness, ledger: Feed) -> None:
    """Earlier versions stored entries without sums. Later entries are added to the computed sum."""
    made = await product.generate()
    day = (await ledger.entries())[0]["time"][:10]
    for period in (day, day[:7]):
        await ledger.remove(f"sum-{period}")
    usage = (await product.call("GET", "/api/usage")).json
    assert usage["today"]["costUsd"] == usage["month"]["costUsd"] == made.json["usage"]["costUsd"]
    await product.generate()
    await assert_costs_agree(product, ledger)
    spent = await product.app.components.ledger.sum_of(User(product.email), day)
    assert spent.calls == 2


async def test_call_that_exceeded_the_deadline_is_estimated(product: Harness) -> None:
    product.fake_gemini.script.add(Scripted(delay=30))
    async with product.another(GENERATION_DEADLINE_SECONDS="10.5", DAILY_BUDGET_USD_PER_USER="5") as limited:
        late = await limited.generate()
        assert (late.status, late.json["code"]) == (504, "deadline_exceeded")
        usage = (await limited.call("GET", "/api/usage")).json
        assert (usage["today"]["costUsd"], usage["today"]["unpricedCalls"]) == (0, 1)
        assert usage["today"]["estimatedUsd"] > 0.134
        assert usage["budget"]["remainingUsd"] == round(5 - usage["today"]["estimatedUsd"], 6)
