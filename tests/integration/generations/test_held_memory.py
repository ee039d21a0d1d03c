"""What a generation holds in memory: nothing of its inputs while the model works; they are read again where they are needed."""

import asyncio
import gc
from collections.abc import AsyncIterator

import pytest

from image_core.api.wire.requests import GenerateRequest
from image_core.generations.request import GenerationRequest
from image_core.images.image import Image
from local.emulators import AzuritePorts
from local.gemini.script import Scripted, overloaded
from tests.support.faulty_proxy import Rule
from tests.support.harness import Harness, harness, picture


@pytest.fixture
async def product(azurite_ports: AzuritePorts, cosmos_url: str) -> AsyncIterator[Harness]:
    async with harness(azurite_ports, cosmos_url) as running:
        yield running


def reads_a_copy(method: str, path: str) -> bool:
    return method == "GET" and "/inputs/" in path


def held() -> list[Image | GenerateRequest | GenerationRequest]:
    """Everything of a request that is alive in this process."""
    gc.collect()
    return [each for each in gc.get_objects() if isinstance(each, Image | GenerateRequest | GenerationRequest)]


async def test_while_the_model_works_neither_request_nor_inputs_are_in_memory(product: Harness) -> None:
    others = held()
    product.fake_gemini.script.add(Scripted(delay=2))
    request = asyncio.create_task(product.generate())
    await product.called()
    assert [each for each in held() if not any(each is other for other in others)] == []
    assert product.app.memory_budget.working == 0
    assert product.app.memory_budget.held > len(picture())  # the request's body, which the worker keeps
    assert (await request).status == 200
    await product.drained()
    assert product.app.components.memory_budget.held == 0


async def test_another_attempt_sends_the_same_inputs_again(product: Harness) -> None:
    product.fake_gemini.script.add(overloaded(), overloaded())
    made = await product.generate()
    assert made.status == 200
    assert [call.inputs for call in product.fake_gemini.calls] == [1, 1, 1]
    assert len({call.bytes for call in product.fake_gemini.calls}) == 1
    assert sum(reads_a_copy(*seen) for seen in product.blobs.seen) == 2


async def test_a_first_attempt_reads_nothing_again(product: Harness) -> None:
    assert (await product.generate()).status == 200
    assert not any(reads_a_copy(*seen) for seen in product.blobs.seen)


async def test_inputs_that_cannot_be_read_again_leave_the_error_of_the_attempt_before(product: Harness) -> None:
    product.fake_gemini.script.add(overloaded())
    product.blobs.rule(Rule(reads_a_copy, times=100, forward=False, deliver=False))
    failed = await product.generate()
    assert (failed.status, failed.json["code"], failed.json["retryable"]) == (503, "model_unavailable", True)
    record = await product.record(failed.json["id"])
    assert record is not None
    assert [attempt["outcome"] for attempt in record["attempts"]] == ["model_unavailable"]
    assert len(product.fake_gemini.calls) == 1
    assert product.app.components.memory_budget.held == 0
