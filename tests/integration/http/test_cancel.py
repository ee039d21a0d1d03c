"""Cancellation in every state and from any instance. A generated image is never lost by it."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable

import pytest

from image_core.errors import StorageUnavailable
from image_core.generations.queue_message import QueueMessage
from image_core.images.image import Image
from local.emulators import AzuritePorts
from local.gemini.script import Scripted, finished
from tests.support.change_feed import feed
from tests.support.eventually import eventually
from tests.support.faulty_proxy import Rule, blob_error
from tests.support.harness import Answer, Harness, harness
from tests.support.hosts import replaces_record, stores_image

QUEUED = {"Prefer": "respond-async"}
KEY = {"Idempotency-Key": "key"}
USAGE = {"promptTokenCount": 1300, "candidatesTokenCount": 20}
LONG = 60.0
"""Seconds that the fake model takes: no test waits for them."""


@pytest.fixture
async def product(azurite_ports: AzuritePorts, cosmos_url: str) -> AsyncIterator[Harness]:
    """Use the shortest lease, with which a cancellation from another instance takes effect within a second."""
    async with harness(azurite_ports, cosmos_url, LEASE_SECONDS="3") as running:
        yield running


async def cancel(product: Harness, record_id: str) -> Answer:
    return await product.call("POST", f"/api/generations/{record_id}/cancel")


async def running_id(product: Harness) -> str:
    """Return the id of the only running generation."""
    listed = (await product.call("GET", "/api/generations")).json["items"]
    (record_id,) = [item["id"] for item in listed if item["status"] == "running"]
    return str(record_id)


async def running(product: Harness, headers: dict[str, str] | None = None) -> tuple[asyncio.Task[Answer], str]:
    """Start a request that waits for a slow model, and return it with the id of its generation."""
    product.fake_gemini.script.add(Scripted(delay=LONG))
    before = len(product.fake_gemini.calls)
    waiting = asyncio.create_task(product.generate(headers=headers))
    await product.called(before + 1)
    return waiting, await running_id(product)


async def test_running_generation_is_canceled_at_once_and_its_request_gets_409(product: Harness) -> None:
    waiting, record_id = await running(product)
    answer = await cancel(product, record_id)
    assert (answer.status, answer.json["status"], answer.json["error"]["code"]) == (200, "canceled", "canceled")
    assert [attempt["outcome"] for attempt in answer.json["attempts"]] == ["canceled"]
    waited = await asyncio.wait_for(waiting, 5)
    assert (waited.status, waited.json["code"], waited.json["id"], waited.json["usage"], waited.json["retryable"]) == (
        409,
        "canceled",
        record_id,
        None,
        True,
    )
    async with asyncio.timeout(5):
        await product.fake_gemini.aborted.wait()  # the connection to the model is closed
    record = await product.record(record_id)
    assert record is not None
    assert "leaseExpiresAt" not in record
    assert record["completedAt"]


async def test_canceled_generation_on_every_other_route(product: Harness) -> None:
    waiting, record_id = await running(product)
    await cancel(product, record_id)
    await waiting
    detail = await product.call("GET", f"/api/generations/{record_id}", headers={"Prefer": "wait=20"})
    assert (detail.status, detail.json["status"], "Retry-After" in detail.headers) == (200, "canceled", False)
    listed = (await product.call("GET", "/api/generations")).json["items"]
    assert [(item["status"], item["error"]["code"], item["thumbnailUrl"]) for item in listed] == [
        ("canceled", "canceled", None)
    ]
    image = await product.call("GET", f"/api/images/{record_id}")
    assert (image.status, image.json["code"]) == (409, "canceled")
    assert [each for each in await product.app.find_unfinished() if record_id in each] == []
    assert [each for each in await product.app.components.reconciliation.findings() if each.name == record_id] == []
    assert (await product.call("DELETE", f"/api/generations/{record_id}")).status == 204
    assert (await cancel(product, record_id)).status == 404


async def test_second_cancellation_changes_nothing(product: Harness) -> None:
    waiting, record_id = await running(product)
    both = await asyncio.gather(cancel(product, record_id), cancel(product, record_id))
    assert [answer.json["status"] for answer in both] == ["canceled", "canceled"]
    stored = await product.record(record_id)
    assert (await cancel(product, record_id)).json == both[0].json
    assert await product.record(record_id) == stored
    await waiting


async def test_another_users_generation_is_404(product: Harness) -> None:
    waiting, record_id = await running(product)
    async with product.another("someone.else@example.com") as other:
        assert (await cancel(other, record_id)).status == 404
    assert (await cancel(product, "gen-1767225600000-00")).status == 404
    assert not waiting.done()
    await cancel(product, record_id)
    await waiting


async def test_canceled_queued_generation_never_starts(product: Harness) -> None:
    queued = await product.generate(headers=QUEUED)
    answer = await cancel(product, queued.json["id"])
    assert (answer.status, answer.json["status"], answer.json["attempts"]) == (200, "canceled", [])
    await product.app.resume(queued.enqueue[0].encode())
    assert (await product.call("GET", f"/api/generations/{queued.json['id']}")).json["status"] == "canceled"
    assert product.fake_gemini.calls == []
    assert (await product.call("GET", "/api/usage")).json["today"]["calls"] == 0


async def test_generation_that_a_queue_message_runs_is_canceled(product: Harness) -> None:
    product.fake_gemini.script.add(Scripted(delay=LONG))
    queued = await product.generate(headers=QUEUED)
    resuming = asyncio.create_task(product.app.resume(queued.enqueue[0].encode()))
    await product.called()
    answer = await cancel(product, queued.json["id"])
    assert (answer.status, answer.json["status"]) == (200, "canceled")
    await asyncio.wait_for(resuming, 5)


async def test_generation_is_canceled_while_its_inputs_are_read(product: Harness) -> None:
    queued = await product.generate(headers=QUEUED)
    never = asyncio.Event()
    reading = product.blobs.rule(Rule(lambda method, path: method == "GET" and "/inputs/" in path, before=never.wait))
    resuming = asyncio.create_task(product.app.resume(queued.enqueue[0].encode()))
    await reading.hit.wait()
    answer = await cancel(product, queued.json["id"])
    assert (answer.status, answer.json["status"], answer.json["attempts"]) == (200, "canceled", [])
    await asyncio.wait_for(resuming, 5)
    never.set()
    assert product.fake_gemini.calls == []


@pytest.mark.parametrize(
    "step", [stores_image, replaces_record], ids=["while the image is stored", "while the completion is written"]
)
async def test_generated_image_overrides_a_cancellation(product: Harness, step: Callable[[str, str], bool]) -> None:
    release = asyncio.Event()
    storing = product.blobs.rule(Rule(stores_image, before=release.wait))
    waiting = asyncio.create_task(product.generate())
    await storing.hit.wait()
    record_id = await running_id(product)
    if step is replaces_record:
        release.set()
        await waiting
        answer = await cancel(product, record_id)
    else:
        canceling = asyncio.create_task(cancel(product, record_id))

        async def requested() -> bool:
            return bool(((await product.record(record_id)) or {}).get("cancelRequestedAt"))

        await eventually(requested)
        release.set()
        answer = await canceling
    assert (answer.status, answer.json["status"], answer.json["error"]) == (200, "succeeded", None)
    made = await waiting
    assert (made.status, made.json["imageUrl"]) == (200, answer.json["imageUrl"])
    assert len(product.fake_gemini.calls) == 1


async def test_response_that_has_begun_to_arrive_is_kept(product: Harness) -> None:
    product.fake_gemini.script.add(Scripted(trickle=2.0))
    waiting = asyncio.create_task(product.generate())
    await product.called()
    await asyncio.wait_for(product.fake_gemini.answering.wait(), 10)
    await eventually(lambda: product.app.components.memory_budget.held)  # the response has begun to arrive
    answer = await cancel(product, await running_id(product))
    assert (answer.status, answer.json["status"]) == (200, "succeeded")
    assert (await waiting).status == 200


async def test_image_stored_by_a_dead_process_overrides_a_cancellation(product: Harness) -> None:
    queued = await product.generate(headers=QUEUED)
    made = await product.generate()
    data, kind = await product.blob("catafract", made.json["imageUrl"].partition("/catafract/")[2])
    stored = await product.app.components.records.read(
        await product.app.sessions.user({"cookie": product.cookie}), queued.json["id"]
    )
    assert stored is not None
    image = Image(data, kind, made.json["width"], made.json["height"])
    await product.app.components.images.put(stored.user, stored.blob_stem, image, "a process that died")
    answer = await cancel(product, queued.json["id"])
    assert (answer.status, answer.json["status"], answer.json["warnings"][0][:9]) == (200, "succeeded", "recovered")


async def test_cancellation_from_another_instance_takes_effect_with_the_next_lease_renewal(product: Harness) -> None:
    waiting, record_id = await running(product, KEY)
    async with product.another() as other:
        repeated = asyncio.create_task(other.generate(headers=KEY))
        answer = await cancel(other, record_id)
        assert (answer.status, answer.json["status"]) == (202, "running")
        assert int(answer.headers["Retry-After"]) > 0
        assert answer.headers["Location"] == f"/api/generations/{record_id}"
        for each in (waiting, repeated):
            ended = await asyncio.wait_for(each, 10)
            assert (ended.status, ended.json["code"]) == (409, "canceled")
    assert len(product.fake_gemini.calls) == 1


async def test_generation_of_a_dead_process_is_canceled_at_once_and_its_call_is_in_the_ledger(product: Harness) -> None:
    queued = await product.generate(headers=QUEUED)
    async with feed(product) as records:
        (document,) = await records.changed()
        # What a process leaves that died during a model call.
        await records.edit(
            {
                **document,
                "leaseOwner": "gone",
                "leaseExpiresAt": "2026-01-01T00:00:00.000Z",
                "attemptCount": 1,
                "runId": "run",
            }
        )
    answer = await cancel(product, queued.json["id"])
    assert (answer.status, answer.json["status"]) == (200, "canceled")
    assert [attempt["outcome"] for attempt in answer.json["attempts"]] == ["lost"]
    today = (await product.call("GET", "/api/usage")).json["today"]
    assert (today["unpricedCalls"], today["estimatedUsd"] > 0) == (1, True)
    assert product.fake_gemini.calls == []


async def test_key_of_a_canceled_generation_runs_again(product: Harness) -> None:
    waiting, record_id = await running(product, KEY)
    await cancel(product, record_id)
    await waiting
    made = await product.generate(headers=KEY)
    assert (made.status, made.json["id"], made.headers.get("Idempotency-Replayed")) == (200, record_id, None)
    assert [attempt["outcome"] for attempt in made.json["attempts"]] == ["canceled", "ok"]
    assert (await product.generate(headers=KEY)).headers["Idempotency-Replayed"] == "true"
    assert (await cancel(product, record_id)).json["status"] == "succeeded"


async def test_generation_that_runs_again_can_be_canceled_again(product: Harness) -> None:
    for _ in range(2):
        waiting, record_id = await running(product, KEY)
        assert (await cancel(product, record_id)).json["status"] == "canceled"
        assert (await waiting).status == 409
    today = (await product.call("GET", "/api/usage")).json["today"]
    assert today["unpricedCalls"] == len(product.fake_gemini.calls) == 2


async def test_cancellation_while_a_response_without_an_image_arrives_makes_no_further_call(product: Harness) -> None:
    words = finished("STOP", {"text": "words"}, usage=USAGE)
    words.trickle = 2.0
    product.fake_gemini.script.add(words)
    waiting = asyncio.create_task(product.generate())
    await asyncio.wait_for(product.fake_gemini.answering.wait(), 10)
    await eventually(lambda: product.app.components.memory_budget.held)  # the response has begun to arrive
    answer = await cancel(product, await running_id(product))
    assert (answer.json["status"], [each["outcome"] for each in answer.json["attempts"]]) == ("canceled", ["no_image"])
    assert (await waiting).json["usage"]["costUsd"] == answer.json["usage"]["costUsd"] == product.fake_gemini.billed_usd
    assert len(product.fake_gemini.calls) == 1


async def test_canceled_generation_keeps_the_cost_of_its_earlier_calls(product: Harness) -> None:
    product.fake_gemini.script.add(
        finished("STOP", {"text": "words"}, usage=USAGE)
    )  # words and no image: the same model is asked once more
    product.fake_gemini.script.add(Scripted(delay=LONG))
    waiting = asyncio.create_task(product.generate())
    await product.called(2)
    answer = await cancel(product, await running_id(product))
    assert [attempt["outcome"] for attempt in answer.json["attempts"]] == ["no_image", "canceled"]
    assert answer.json["usage"]["costUsd"] > 0
    assert answer.json["error"]["usage"] == answer.json["usage"] == (await waiting).json["usage"]
    today = (await product.call("GET", "/api/usage")).json["today"]
    assert (today["calls"], today["unpricedCalls"], today["costUsd"]) == (2, 1, answer.json["usage"]["costUsd"])


async def test_repeated_cancellations_stay_within_the_budget(azurite_ports: AzuritePorts, cosmos_url: str) -> None:
    settings = {"DAILY_BUDGET_USD_PER_USER": "1", "MAX_CONCURRENT_PER_USER": "1"}
    async with harness(azurite_ports, cosmos_url, **settings) as product:
        for number in range(20):
            product.fake_gemini.script.add(Scripted(delay=LONG))
            before = len(product.fake_gemini.calls)
            waiting = asyncio.create_task(product.generate(headers={"Idempotency-Key": f"key-{number % 3}"}))
            called = asyncio.create_task(product.called(before + 1))
            await asyncio.wait({called, waiting}, return_when=asyncio.FIRST_COMPLETED)
            called.cancel()
            if not waiting.done():
                await cancel(product, await running_id(product))
            answer = await waiting
            if answer.status == 429:
                break
            assert answer.json["code"] == "canceled"
        assert answer.json["code"] == "budget_exceeded"
        usage = (await product.call("GET", "/api/usage")).json
        assert usage["today"]["unpricedCalls"] == len(product.fake_gemini.calls)
        assert product.fake_gemini.billed_usd <= usage["today"]["estimatedUsd"] <= 1
        assert usage["budget"]["runningUsd"] == 0


async def test_cancellation_during_a_storage_outage_is_503_and_completed_by_the_recovery(product: Harness) -> None:
    queued = await product.generate(headers=QUEUED)
    missing = blob_error(404, "ContainerNotFound")
    outage = product.blobs.rule(Rule(lambda _, path: "comp=list" in path and "generated-" in path, 20, answer=missing))
    assert (await cancel(product, queued.json["id"])).json["code"] == StorageUnavailable.code
    outage.times = 0
    await product.app.resume(QueueMessage(queued.json["id"], product.email).to_json().encode())
    assert (await product.call("GET", f"/api/generations/{queued.json['id']}")).json["status"] == "canceled"
    assert product.fake_gemini.calls == []


async def test_canceled_generation_does_not_count_as_running(azurite_ports: AzuritePorts, cosmos_url: str) -> None:
    async with harness(azurite_ports, cosmos_url, MAX_CONCURRENT_PER_USER="1") as product:
        waiting, record_id = await running(product)
        assert (await product.generate()).status == 429
        await cancel(product, record_id)
        await waiting
        assert (await product.generate()).status == 200


async def test_generation_deleted_after_its_cancellation_is_in_the_ledger(product: Harness) -> None:
    waiting, record_id = await running(product)
    async with product.another() as other:
        assert (await cancel(other, record_id)).status == 202
        assert (await other.call("DELETE", f"/api/generations/{record_id}")).status == 204
    assert (await asyncio.wait_for(waiting, 10)).status == 404
    await product.drained()
    assert await product.record(record_id) is None
    today = (await product.call("GET", "/api/usage")).json["today"]
    assert today["unpricedCalls"] == len(product.fake_gemini.calls) == 1


async def test_log_line_has_the_outcome_canceled(product: Harness, caplog: pytest.LogCaptureFixture) -> None:
    waiting, record_id = await running(product)
    await cancel(product, record_id)
    await waiting
    caplog.set_level(logging.INFO, "image_core.generations.line")
    async with feed(product) as changes:
        await changes.deliver()
    (line,) = [each.message for each in caplog.records if each.name == "image_core.generations.line"]
    logged = json.loads(line.removeprefix("generation "))
    assert (logged["id"], logged["outcome"], logged["costUsd"]) == (record_id, "canceled", None)
    assert [(entry["usd"], entry["budgetUsd"] > 0) for entry in logged["bills"]] == [(None, True)]
