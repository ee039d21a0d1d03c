"""The ledger has every billed call exactly once."""

import asyncio
from typing import Any

import pytest

from image_core.billing.budgets import Budgets
from image_core.errors import StorageUnavailable
from local.emulators import AzuritePorts
from local.gemini.script import overloaded
from tests.support.change_feed import Feed, feed
from tests.support.eventually import eventually
from tests.support.faulty_proxy import Rule
from tests.support.gemini_responses import answer_without_image, refusal
from tests.support.harness import Harness, harness


async def test_ledger_equals_the_service_with_refusals_retries_and_deletions(product: Harness, ledger: Feed) -> None:
    product.fake_gemini.script.add(
        overloaded(), answer_without_image()
    )  # the first generation: overloaded, no image, then an image of the next model
    first = await product.generate()
    assert first.status == 200
    for _ in range(2):
        product.fake_gemini.script.add(refusal())
        assert (await product.generate()).status == 500
    made = [await product.generate(imageSize=size) for size in ("1K", "2K", "4K", "1K", "1K", "2K", "1K")]
    assert [each.status for each in made] == [200] * 7
    billed = product.fake_gemini.billed_usd
    assert billed > 7 * 0.13
    await ledger.deliver()
    assert await ledger.usd() == billed
    known = await ledger.entries()
    await ledger.deliver()
    await ledger.deliver()
    assert await ledger.entries() == known, "a repeated delivery changes nothing"
    for each in (first, *made[:4]):
        assert (await product.call("DELETE", f"/api/generations/{each.json['id']}")).status == 204
    await ledger.deliver()
    assert await ledger.entries() == known, "a deletion leaves the ledger as it is"
    usage = (await product.call("GET", "/api/usage")).json
    assert usage["today"]["costUsd"] == usage["month"]["costUsd"] == billed
    assert (usage["today"]["images"], usage["today"]["calls"]) == (8, 11)


async def test_generation_deleted_before_the_feed_is_read_is_in_the_ledger(product: Harness, ledger: Feed) -> None:
    made = await product.generate()
    await product.call("DELETE", f"/api/generations/{made.json['id']}")
    assert await ledger.changed() == []
    assert await ledger.usd() == product.fake_gemini.billed_usd > 0


async def test_generation_deleted_while_it_runs_is_in_the_ledger(product: Harness, ledger: Feed) -> None:
    product.fake_gemini.released.clear()
    started = await product.generate(headers={"Prefer": "wait=0"})
    waiting = await product.call("GET", "/api/generations")
    (running,) = waiting.json["items"]
    assert started.status == 202
    runner = asyncio.create_task(product.app.resume(started.enqueue[0].encode()))
    await product.called()
    await product.call("DELETE", f"/api/generations/{running['id']}")
    product.fake_gemini.released.set()
    await runner
    await ledger.deliver()
    assert await ledger.usd() == product.fake_gemini.billed_usd > 0


async def test_billed_call_is_in_the_record_before_the_image_is_stored(product: Harness, ledger: Feed) -> None:
    """A process that dies between the two does not lose the ledger entry."""
    release = asyncio.Event()
    storing = product.blobs.rule(
        Rule(lambda method, path: method == "PUT" and "/catafract/generated-" in path, before=release.wait)
    )
    request = asyncio.create_task(product.generate())
    try:
        await asyncio.wait_for(storing.hit.wait(), 30)

        async def attempted() -> bool:
            return bool((await ledger.changed())[0]["attempts"])

        await eventually(attempted)
        (running,) = await ledger.changed()
        assert running["status"] == "running"
        await ledger.deliver()
        assert await ledger.usd() == product.fake_gemini.billed_usd > 0
    finally:
        release.set()
        assert (await request).status == 200
    known = await ledger.entries()
    await ledger.deliver()
    assert await ledger.entries() == known, "the completion adds no second entry"


async def test_image_found_by_the_recovery_counts_as_the_most_expensive(product: Harness, ledger: Feed) -> None:
    made = await product.generate(imageSize="4K")
    (known,) = await ledger.entries()
    (record,) = await ledger.changed()
    lost = {"attempts": [], "usage": None, "model": None, "warnings": ["recovered: found"]}
    await ledger.edit({**record, "id": "gen-found", "runId": "run", **lost})
    await ledger.deliver()
    (entry,) = [each for each in await ledger.entries() if each != known]
    assert (entry["id"], entry["generationId"]) == ("run-recovered", "gen-found")
    assert (entry["model"], entry["usd"], entry["budgetUsd"]) == ("unknown", None, 0.24)
    today = (await product.call("GET", "/api/usage")).json["today"]
    assert (today["calls"], today["unpricedCalls"], today["estimatedUsd"]) == (2, 1, 0.24)
    assert today["costUsd"] == made.json["usage"]["costUsd"]


async def test_model_without_a_price_counts_as_the_most_expensive_and_as_unpriced(
    azurite_ports: AzuritePorts, cosmos_url: str
) -> None:
    models = "gemini-4-image"
    async with harness(azurite_ports, cosmos_url, GEMINI_MODELS=models) as product, feed(product) as ledger:
        assert (await product.generate()).status == 200
        await ledger.deliver()
        (entry,) = await ledger.entries()
        assert entry["usd"] is None
        assert entry["budgetUsd"] >= 0.134
        usage = (await product.call("GET", "/api/usage")).json["today"]
        assert (usage["calls"], usage["unpricedCalls"], usage["costUsd"]) == (1, 1, 0)


@pytest.mark.parametrize(
    "edited",
    [
        {"attempts": "many"},
        {"attempts": [{"model": "m"}]},
        {"attempts": [{"model": "m", "outcome": "ok", "durationMs": 1, "usage": "free"}]},
        {"createdAt": None, "inputs": [1]},
        {"options": "large"},
        {"usage": 7},
    ],
)
async def test_malformed_record_does_not_prevent_the_entries_of_others(
    edited: dict[str, Any], product: Harness, ledger: Feed, caplog: pytest.LogCaptureFixture
) -> None:
    made = await product.generate()
    (record,) = await ledger.changed()
    broken = {**record, "id": "gen-broken", **edited}
    await ledger.deliver([broken, record])
    assert [entry["generationId"] for entry in await ledger.entries()] == [made.json["id"]]
    assert "gen-broken is no record" in caplog.text
    assert product.email not in caplog.text


async def test_concurrent_deliveries_write_each_entry_once(product: Harness, ledger: Feed) -> None:
    for _ in range(3):
        await product.generate()
    async with product.another() as other, feed(other) as second:
        await asyncio.gather(*(each.deliver() for each in (ledger, second) * 3))
    assert await ledger.usd() == product.fake_gemini.billed_usd
    spent = await product.app.components.spending.of_user(await _user(product), Budgets(1.0, 1.0))
    assert spent.day_usd == spent.month_usd == product.fake_gemini.billed_usd


async def _user(product: Harness) -> Any:
    return await product.app.sessions.user({"cookie": product.cookie})


async def test_answer_does_not_wait_for_a_record_that_cannot_be_written(product: Harness, ledger: Feed) -> None:
    """The completion of the record has the billed calls, too."""
    failed_writes = product.cosmos.rule(
        Rule(lambda method, path: method == "PUT" and "/docs/" in path, times=8, forward=False, deliver=False)
    )
    made = await product.generate()
    assert made.status == 200
    assert failed_writes.hit.is_set()
    await ledger.deliver()
    assert await ledger.usd() == product.fake_gemini.billed_usd > 0


async def test_delivery_fails_during_an_outage_and_is_repeated(product: Harness) -> None:
    await product.generate()
    async with feed(product) as ledger:
        documents = await ledger.changed()
    product.cosmos.unreachable = True
    with pytest.raises(StorageUnavailable):
        await product.app.process_changes(documents)
    product.cosmos.reconnect()
    await product.app.process_changes(documents)
