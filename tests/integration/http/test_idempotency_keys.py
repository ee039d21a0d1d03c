"""Idempotency keys and limits: a repeated request is paid for once, and a user has at most their share."""

import asyncio

import pytest

from image_core.auth.user import User
from local.emulators import AzuritePorts
from local.gemini.script import finished, overloaded
from tests.support.faulty_proxy import Rule
from tests.support.harness import Harness, harness
from tests.support.hosts import stores_image


async def test_caller_that_disconnected_gets_the_image_with_its_key(product: Harness) -> None:
    product.fake_gemini.released.clear()
    key = {"Idempotency-Key": "gone-away"}
    call = asyncio.create_task(product.generate(headers=key))
    await product.called()
    call.cancel()
    product.fake_gemini.released.set()
    again = await product.generate(headers=key)
    assert again.status == 200
    assert len(product.fake_gemini.calls) == 1


@pytest.mark.parametrize("first", ["respond-async", "wait=1"])
async def test_respond_async_with_the_key_of_a_running_generation_answers_at_once(product: Harness, first: str) -> None:
    product.fake_gemini.released.clear()
    key = {"Idempotency-Key": "running"}
    began = await product.generate(headers={**key, "Prefer": first})
    async with asyncio.timeout(30):  # less than the model takes, and than the response budget
        again = await product.generate(headers={**key, "Prefer": "respond-async"})
    assert (again.status, again.json["id"], again.enqueue) == (202, began.json["id"], ())
    assert again.headers["Preference-Applied"] == "respond-async"
    await product.call("POST", f"/api/generations/{began.json['id']}/cancel")


async def test_concurrent_generations_of_a_user_are_limited(azurite_ports: AzuritePorts, cosmos_url: str) -> None:
    async with harness(azurite_ports, cosmos_url, MAX_CONCURRENT_PER_USER="2") as product:
        product.fake_gemini.released.clear()
        running = [asyncio.create_task(product.generate()) for _ in range(2)]
        await product.called(2)
        refused = await product.generate(headers={"Idempotency-Key": "third"})
        assert (refused.status, refused.json["code"]) == (429, "too_many_generations")
        assert int(refused.headers["Retry-After"]) > 0
        async with product.another("bob@example.com") as bob:
            running.append(asyncio.create_task(bob.generate()))
            await product.called(3)
            product.fake_gemini.released.set()
            assert [answer.status for answer in await asyncio.gather(*running)] == [200, 200, 200]
        assert (await product.generate(headers={"Idempotency-Key": "third"})).status == 200


async def test_request_without_free_memory_is_busy(azurite_ports: AzuritePorts, cosmos_url: str) -> None:
    async with harness(azurite_ports, cosmos_url, MAX_INFLIGHT_BYTES="100000") as product:
        answer = await product.generate(headers={"Idempotency-Key": "k"})
        assert (answer.status, answer.json["code"], answer.json["retryable"]) == (503, "busy", True)
        assert int(answer.headers["Retry-After"]) > 0
        assert product.app.components.memory_budget.held == 0
        assert product.fake_gemini.calls == []


async def test_overloaded_model_is_503_with_retry_after_and_a_retry_runs_again(product: Harness) -> None:
    product.fake_gemini.script.add(*(overloaded() for _ in range(6)))
    key = {"Idempotency-Key": "again"}
    first = await product.generate(headers=key)
    assert (first.status, first.json["code"], first.json["retryable"]) == (503, "model_unavailable", True)
    assert int(first.headers["Retry-After"]) > 0
    second = await product.generate(headers=key)
    assert second.status == 200
    assert second.json["id"] == first.json["id"]
    assert len(second.json["attempts"]) == 7  # with those of the first request


async def test_replay_is_the_same_answer_without_a_call(product: Harness) -> None:
    key = {"Idempotency-Key": "same"}
    first = await product.generate(headers=key)
    async with product.another() as elsewhere:
        second = await elsewhere.generate(headers=key)
    assert second.json == first.json
    assert second.headers["Idempotency-Replayed"] == "true"
    assert "Idempotency-Replayed" not in first.headers
    assert len(product.fake_gemini.calls) == 1
    other = await product.generate(prompt="something else", headers=key)
    assert (other.status, other.json["code"]) == (422, "idempotency_mismatch")
    async with product.another("bob@example.com") as bob:
        assert (await bob.generate(prompt="something else", headers=key)).status == 200


async def test_refusal_is_replayed(product: Harness) -> None:
    product.fake_gemini.script.add(finished("SAFETY", {"text": "No."}))
    key = {"Idempotency-Key": "refused"}
    first = await product.generate(headers=key)
    second = await product.generate(headers=key)
    assert second.status == first.status == 500
    assert second.json == first.json
    assert len(product.fake_gemini.calls) == 1


async def test_key_of_an_invalid_request_can_be_used_again(product: Harness) -> None:
    key = {"Idempotency-Key": "early"}
    assert (await product.generate("aGVsbG8=", headers=key)).status == 400
    assert (await product.generate(headers=key)).status == 200


async def test_key_of_a_deleted_generation_can_be_used_again(product: Harness) -> None:
    key = {"Idempotency-Key": "free"}
    first = await product.generate(headers=key)
    await product.call("DELETE", f"/api/generations/{first.json['id']}")
    assert (await product.generate(headers=key)).status == 200
    assert len(product.fake_gemini.calls) == 2


@pytest.mark.parametrize("key", ["", "x" * 256, "a b"])
async def test_malformed_key_is_400(product: Harness, key: str) -> None:
    answer = await product.generate(headers={"Idempotency-Key": key})
    assert (answer.status, answer.json["field"]) == (400, "Idempotency-Key")


async def test_key_is_busy_until_the_deletion_of_its_generation_ends(product: Harness) -> None:
    key = {"Idempotency-Key": "deleted-early"}
    release = asyncio.Event()
    storing = product.blobs.rule(Rule(stores_image, before=release.wait))
    first = asyncio.create_task(product.generate(headers=key))
    await storing.hit.wait()
    (item,) = (await product.call("GET", "/api/generations")).json["items"]
    assert (await product.call("DELETE", f"/api/generations/{item['id']}")).status == 204
    # The response budget is short, because the request waits for the end of the deletion.
    meanwhile = await product.generate(prompt="another one", headers={**key, "Prefer": "wait=1"})
    assert (meanwhile.status, meanwhile.json["code"]) == (503, "busy")
    release.set()
    assert (await first).status == 404
    again = await product.generate(prompt="another one", headers=key)
    assert again.status == 200
    found = (await product.call("GET", f"/api/generations/{again.json['id']}")).json
    assert found["prompt"] == "another one"
    assert found["imageUrl"] == again.json["imageUrl"]


async def test_late_image_never_reaches_another_generation_with_the_same_key(product: Harness) -> None:
    product.fake_gemini.latency = 2
    key = {"Idempotency-Key": "late"}
    first = await product.generate(headers={**key, "Prefer": "wait=1"})
    old = await product.app.components.records.read(User(product.email), first.json["id"])
    assert old is not None
    await product.app.components.records.delete(old)  # as the recovery does when the runner's lease is over
    async with product.another() as elsewhere:
        product.fake_gemini.latency = 3
        second = asyncio.create_task(elsewhere.generate(prompt="another one", headers=key))
        await product.drained()
        made = await second
    assert made.status == 200
    assert made.json["imageUrl"].rsplit("/", 1)[-1].removesuffix(".png") != old.blob_stem
    assert await product.blob_names("catafract", old.blob_stem) == []
