"""A running generation keeps no inputs in memory during the model call. A second attempt reads their copies."""

import asyncio
import gc
import json
import os
import sys
import tracemalloc

import aiohttp
import PIL.Image

from local.emulators import AzuritePorts
from local.gemini.script import overloaded
from local.processes import reserve_port, running, wait_for_port
from tests.support.eventually import eventually
from tests.support.faulty_proxy import Rule
from tests.support.harness import PROMPT, Harness, data_url, harness
from tests.support.image_files import saved
from tests.support.paths import ROOT


def reads_input_copy(method: str, path: str) -> bool:
    return method == "GET" and "/inputs/" in path


def noise(side: int) -> bytes:
    """Return a PNG whose pixels cannot be compressed."""
    return saved(PIL.Image.frombytes("RGB", (side, side), os.urandom(side * side * 3)), "PNG")


async def test_neither_request_nor_inputs_are_in_memory_during_the_model_call(
    azurite_ports: AzuritePorts, cosmos_url: str
) -> None:
    port = reserve_port()
    # This process is measured. The fake Gemini and the proxy before Azurite keep the last request that they read: one
    # runs in a process of its own, the other is not used.
    settings = {
        "GOOGLE_GEMINI_BASE_URL": f"http://127.0.0.1:{port}",
        "AZURE_STORAGE_CONNECTION_STRING": azurite_ports.connection_string(),
    }
    command = [sys.executable, "-m", "local.gemini", "--port", str(port), "--latency", "0"]
    with running(command, environment={"PYTHONPATH": str(ROOT)}) as process:
        await asyncio.to_thread(wait_for_port, port, process, "the fake Gemini", None)
        async with (
            harness(azurite_ports, cosmos_url, **settings) as product,
            aiohttp.ClientSession(settings["GOOGLE_GEMINI_BASE_URL"]) as model,
        ):
            assert (await product.generate()).status == 200  # imports and caches are not measured

            async def called_again() -> bool:
                async with model.get("/__calls") as answer:
                    return len((await answer.json())["calls"]) == 2

            async with model.post("/__script", json={"delay": 3600}) as scripted:
                assert scripted.status == 200
            image = noise(1200)
            body = json.dumps({"images": [data_url(image)], "prompt": PROMPT}).encode()
            tracemalloc.start()
            try:
                request = asyncio.create_task(product.call("POST", "/api/image", body))
                await eventually(called_again)
                gc.collect()
                grown, peak = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
            working, held = product.app.memory_budget.working, product.app.memory_budget.held
            (item, _) = (await product.call("GET", "/api/generations")).json["items"]
            await product.call("POST", f"/api/generations/{item['id']}/cancel")
            assert (await request).json["code"] == "canceled"
            await product.drained()
            assert peak > len(image)  # the measurement includes an image
            assert grown < len(image) / 4
            assert working == 0
            assert held > len(image)  # the request's body, which the worker keeps
            assert product.app.memory_budget.held == 0


async def test_second_attempt_sends_the_same_inputs(product: Harness) -> None:
    product.fake_gemini.script.add(overloaded(), overloaded())
    made = await product.generate()
    assert made.status == 200
    assert [call.inputs for call in product.fake_gemini.calls] == [1, 1, 1]
    assert len({call.bytes for call in product.fake_gemini.calls}) == 1
    assert sum(reads_input_copy(*each) for each in product.blobs.requests) == 2


async def test_first_attempt_reads_no_input_copy(product: Harness) -> None:
    assert (await product.generate()).status == 200
    assert not any(reads_input_copy(*each) for each in product.blobs.requests)


async def test_unreadable_input_copies_end_with_the_error_of_the_earlier_attempt(product: Harness) -> None:
    product.fake_gemini.script.add(overloaded())
    product.blobs.rule(Rule(reads_input_copy, times=100, forward=False, deliver=False))
    failed = await product.generate()
    assert (failed.status, failed.json["code"], failed.json["retryable"]) == (503, "model_unavailable", True)
    record = await product.record(failed.json["id"])
    assert record is not None
    assert [attempt["outcome"] for attempt in record["attempts"]] == ["model_unavailable"]
    assert len(product.fake_gemini.calls) == 1
    assert product.app.components.memory_budget.held == 0
