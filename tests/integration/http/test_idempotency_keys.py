"""Idempotency keys and limits: what is sent twice is paid for once, and nobody takes all there is."""

import asyncio

import pytest

from image_core.auth.user import User
from local.emulators import AzuritePorts
from local.gemini.script import finished, overloaded
from tests.support.harness import Harness, harness


async def test_a_caller_that_goes_away_finds_its_picture_with_its_key(product: Harness) -> None:
    product.fake_gemini.latency = 1
    key = {"Idempotency-Key": "gone-away"}
    call = asyncio.create_task(product.generate(headers=key))
    await product.called()
    call.cancel()
    again = await product.generate(headers=key)
    assert again.status == 200
    assert len(product.fake_gemini.calls) == 1


@pytest.mark.parametrize("first", ["respond-async", "wait=1"])
async def test_respond_async_with_the_key_of_a_running_generation_answers_at_once(product: Harness, first: str) -> None:
    product.fake_gemini.latency = 12
    key = {"Idempotency-Key": "running"}
    began = await product.generate(headers={**key, "Prefer": first})
    async with asyncio.timeout(10):  # less than the model takes, and than the response budget
        again = await product.generate(headers={**key, "Prefer": "respond-async"})
    assert (again.status, again.json["id"], again.enqueue) == (202, began.json["id"], ())
    assert again.headers["Preference-Applied"] == "respond-async"


async def test_a_user_may_run_so_many_at_once_and_no_more(azurite_ports: AzuritePorts, cosmos_url: str) -> None:
    async with harness(azurite_ports, cosmos_url, MAX_CONCURRENT_PER_USER="2") as product:
        product.fake_gemini.latency = 2
        for _ in range(2):
            assert (await product.generate(headers={"Prefer": "wait=1"})).status == 202
        refused = await product.generate(headers={"Idempotency-Key": "third"})
        assert (refused.status, refused.json["code"]) == (429, "too_many_generations")
        assert int(refused.headers["Retry-After"]) > 0
        async with product.another("bob@example.com") as bob:
            assert (await bob.generate(headers={"Prefer": "wait=1"})).status == 202
            await bob.drained()
        await product.drained()
        assert (await product.generate(headers={"Idempotency-Key": "third"})).status == 200


async def test_beyond_the_process_limit_the_answer_is_busy(azurite_ports: AzuritePorts, cosmos_url: str) -> None:
    async with harness(azurite_ports, cosmos_url, MAX_INFLIGHT_BYTES="100000") as product:
        answer = await product.generate(headers={"Idempotency-Key": "k"})
        assert (answer.status, answer.json["code"], answer.json["retryable"]) == (503, "busy", True)
        assert int(answer.headers["Retry-After"]) > 0
        assert product.app.components.memory_budget.held == 0
        assert product.fake_gemini.calls == []


async def test_an_overloaded_model_says_when_to_come_back_and_a_retry_runs_again(product: Harness) -> None:
    product.fake_gemini.script.add(*(overloaded() for _ in range(6)))
    key = {"Idempotency-Key": "again"}
    first = await product.generate(headers=key)
    assert (first.status, first.json["code"], first.json["retryable"]) == (503, "model_unavailable", True)
    assert int(first.headers["Retry-After"]) > 0
    second = await product.generate(headers=key)
    assert second.status == 200
    assert second.json["id"] == first.json["id"]
    assert len(second.json["attempts"]) == 7  # what was tried before stays on the bill


async def test_a_replay_is_the_same_answer_without_a_call(product: Harness) -> None:
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


async def test_a_refusal_is_replayed_as_it_was(product: Harness) -> None:
    product.fake_gemini.script.add(finished("SAFETY", {"text": "No."}))
    key = {"Idempotency-Key": "refused"}
    first = await product.generate(headers=key)
    second = await product.generate(headers=key)
    assert second.status == first.status == 500
    assert second.json == first.json
    assert len(product.fake_gemini.calls) == 1


async def test_an_error_before_the_record_does_not_use_the_key_up(product: Harness) -> None:
    key = {"Idempotency-Key": "early"}
    assert (await product.generate("aGVsbG8=", headers=key)).status == 400
    assert (await product.generate(headers=key)).status == 200


async def test_a_deleted_generation_frees_its_key(product: Harness) -> None:
    key = {"Idempotency-Key": "free"}
    first = await product.generate(headers=key)
    await product.call("DELETE", f"/api/generations/{first.json['id']}")
    assert (await product.generate(headers=key)).status == 200
    assert len(product.fake_gemini.calls) == 2


@pytest.mark.parametrize("key", ["", "x" * 256, "a b"])
async def test_a_key_that_is_none_is_told(product: Harness, key: str) -> None:
    answer = await product.generate(headers={"Idempotency-Key": key})
    assert (answer.status, answer.json["field"]) == (400, "Idempotency-Key")


async def test_a_key_whose_generation_is_being_deleted_is_busy_and_then_free(product: Harness) -> None:
    product.fake_gemini.latency = 2
    key = {"Idempotency-Key": "deleted-early", "Prefer": "wait=1"}
    first = await product.generate(headers=key)
    assert first.status == 202
    assert (await product.call("DELETE", f"/api/generations/{first.json['id']}")).status == 204
    meanwhile = await product.generate(prompt="another one", headers=key)
    assert (meanwhile.status, meanwhile.json["code"]) == (503, "busy")
    await product.drained()
    product.fake_gemini.latency = 0
    again = await product.generate(prompt="another one", headers={**key, "Prefer": "wait=30"})
    assert again.status == 200
    found = (await product.call("GET", f"/api/generations/{again.json['id']}")).json
    assert found["prompt"] == "another one"
    assert found["imageUrl"] == again.json["imageUrl"]


async def test_a_late_picture_never_reaches_another_generation_under_the_same_key(product: Harness) -> None:
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
