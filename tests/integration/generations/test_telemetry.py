"""Log lines and metrics of generations, which contain nothing of the user's data."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest

from local.gemini.script import Scripted, finished, overloaded
from tests.support.change_feed import Feed, feed
from tests.support.eventually import eventually
from tests.support.gemini_responses import BILLED_REFUSAL
from tests.support.harness import Harness, data_url, sample_image
from tests.support.metrics import metric_values

CALLER = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
PROMPT = "a secret prompt about a lighthouse"


@pytest.fixture
async def changes(product: Harness) -> AsyncIterator[Feed]:
    async with feed(product) as running:
        yield running


def lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    messages = [record.getMessage() for record in caplog.records]
    return [json.loads(line.removeprefix("generation ")) for line in messages if line.startswith("generation {")]


async def test_change_feed_writes_the_line_of_an_ended_generation(
    product: Harness, changes: Feed, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    product.fake_gemini.script.add(overloaded())
    made = await product.generate(prompt=PROMPT, imageSize="2K", headers={"traceparent": CALLER})
    assert lines(caplog) == []
    await changes.deliver()
    (line,) = lines(caplog)
    assert (line["id"], line["outcome"], line["model"]) == (made.json["id"], "ok", made.json["model"])
    assert [attempt["outcome"] for attempt in line["attempts"]] == ["model_unavailable", "ok"]
    assert set(line["durationMs"]) == {"inputs", "copies", "record", "model", "picture", "total"}
    assert line["durationMs"]["total"] >= line["durationMs"]["model"]
    assert (line["images"], line["imageSize"], line["attempt"]) == (1, "2K", 1)
    assert line["bytesIn"] == len(sample_image())
    record = await product.record(made.json["id"])
    assert record is not None
    assert (line["createdAt"], line["endedAt"]) == (record["createdAt"], record["completedAt"])
    assert line["costUsd"] == product.fake_gemini.billed_usd
    assert [(billed["id"], billed["usd"]) for billed in line["bills"]] == [
        (entry["id"], entry["usd"]) for entry in await changes.entries()
    ]
    assert line["traceId"] == CALLER.split("-")[1]


async def test_line_of_a_failure_has_its_reason(
    product: Harness, changes: Feed, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    product.fake_gemini.script.add(finished("IMAGE_SAFETY", {"text": "no"}))
    await product.generate()
    await changes.deliver()
    (line,) = lines(caplog)
    assert (line["outcome"], line["model"], line["costUsd"], line["bills"]) == ("refused", None, None, [])
    assert line["durationMs"]["model"] <= line["durationMs"]["total"]


async def test_running_generation_has_no_line(
    product: Harness, changes: Feed, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    await product.generate(headers={"Prefer": "respond-async"})
    await changes.deliver()
    assert lines(caplog) == []


async def test_malformed_record_does_not_prevent_the_lines_of_others(
    product: Harness, changes: Feed, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    made = await product.generate()
    original = {"id": "old", "userId": product.email, "prompt": "x", "createdAt": "2025-01-01T00:00:00.000Z"}
    edited = {**original, "id": "edited", "completedAt": "2025-01-01T00:00:00.000Z", "inputs": [], "traceParent": 3}
    await changes.deliver([{"id": "broken"}, original, edited, *await changes.changed()])
    assert [line["id"] for line in lines(caplog)] == [made.json["id"]]


async def test_deletion_writes_the_line_before_the_record_is_deleted(
    product: Harness, changes: Feed, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    made = await product.generate()
    await product.call("DELETE", f"/api/generations/{made.json['id']}")
    assert await changes.changed() == []
    (line,) = lines(caplog)
    assert (line["id"], line["outcome"], line["costUsd"]) == (made.json["id"], "ok", product.fake_gemini.billed_usd)


async def test_generation_deleted_while_it_runs_has_a_line_with_its_cost(
    product: Harness, changes: Feed, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    product.fake_gemini.released.clear()
    started = await product.generate(headers={"Prefer": "wait=0"})
    runner = asyncio.create_task(product.app.resume(started.enqueue[0].encode()))
    await product.called()
    await product.call("DELETE", f"/api/generations/{started.json['id']}")
    product.fake_gemini.released.set()
    await runner
    await changes.deliver()
    (line,) = lines(caplog)
    assert (line["id"], line["outcome"]) == (started.json["id"], "deleted")
    assert line["costUsd"] == product.fake_gemini.billed_usd > 0


async def test_generation_whose_record_is_removed_while_it_runs_has_a_line_with_its_cost(
    product: Harness, changes: Feed, caplog: pytest.LogCaptureFixture
) -> None:
    """For example, the process was suspended past its lease, and another process completed the deletion."""
    caplog.set_level(logging.INFO)
    product.fake_gemini.script.add(finished("STOP", {"text": "no"}, usage=BILLED_REFUSAL), Scripted(delay=20))
    async with product.another(LEASE_SECONDS="3") as running:
        request = asyncio.create_task(running.generate(headers={"Prefer": "wait=60"}))
        await product.called(2)
        await eventually(changes.entries)
        (record,) = await changes.changed()
        await changes.remove_record(record)
        assert (await request).status == 404
    (line,) = lines(caplog)
    assert (line["id"], line["outcome"]) == (record["id"], "deleted")
    assert [billed["id"] for billed in line["bills"]] == [entry["id"] for entry in await changes.entries()]


async def test_line_of_a_queued_generation_has_the_callers_trace(
    product: Harness, changes: Feed, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    queued = await product.generate(headers={"Prefer": "respond-async", "traceparent": CALLER})
    await product.app.resume(queued.enqueue[0].encode())
    await changes.deliver()
    (line,) = lines(caplog)
    assert (line["id"], line["traceId"]) == (queued.json["id"], CALLER.split("-")[1])


async def test_logs_have_no_prompt_address_image_or_token(
    product: Harness, changes: Feed, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "image_core")
    caplog.set_level(logging.INFO)
    made = await product.generate(prompt=PROMPT)
    await changes.deliver()
    await product.call("DELETE", f"/api/generations/{made.json['id']}")
    assert lines(caplog)
    image = data_url(sample_image(), "image/jpeg").partition(",")[2]
    token = product.cookie.partition("=")[2]
    for secret in (PROMPT, product.email, image[:60], token[:60], "a-fake-key"):
        assert secret not in caplog.text


async def test_prompts_are_logged_only_if_switched_on(
    product: Harness, changes: Feed, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with product.another(LOG_PROMPTS="true") as logging_prompts:
        await logging_prompts.generate(prompt=PROMPT)
        await logging_prompts.app.process_changes(await changes.changed())
    (line,) = lines(caplog)
    assert line["prompt"] == PROMPT
    assert product.email not in caplog.text


async def test_metrics_are_recorded_where_the_host_brings_an_exporter(product: Harness) -> None:
    before = metric_values()
    made = await product.generate()
    after = metric_values()
    model = made.json["model"]
    ok = ("image_api.generations", (("model", model), ("outcome", "ok")))
    assert after[ok] - before.get(ok, 0) == 1
    cost = ("image_api.cost", (("model", model),))
    assert round(after[cost] - before.get(cost, 0), 6) == product.fake_gemini.billed_usd
    names = {name for name, _ in after}
    assert {"image_api.generation.duration", "image_api.step.duration"} <= names
    assert {"gen_ai.client.operation.duration", "gen_ai.client.token.usage"} <= names
