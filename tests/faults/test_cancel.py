"""Cancellation on real hosts: from another host, and with the host killed at each step.

No model call is repeated, and none is missing in the ledger.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import pytest

from image_core.auth.user import User
from local.emulators import AzuritePorts
from tests.support.change_feed import feed
from tests.support.faulty_proxy import Rule
from tests.support.hosts import Rig, replaces_record, rig, stores_image

pytestmark = pytest.mark.timeout(300)

LATENCY = 11.0
"""Seconds that the fake model takes."""


@pytest.fixture
async def faults(azurite_ports: AzuritePorts, cosmos_url: str) -> AsyncIterator[Rig]:
    async with rig(azurite_ports, cosmos_url) as made:
        yield made


async def ended(faults: Rig) -> Any:
    """Wait for the end of the only generation and return its record."""

    async def done() -> bool:
        return [record.status for record in await faults.records()] not in ([], ["running"])

    await faults.until(done)
    (found,) = await faults.records()
    return await faults.product.app.components.records.read(User(faults.product.email), found.id)


async def assert_canceled_and_billed(faults: Rig, outcomes: list[str]) -> None:
    """Check that the generation is canceled and its one call estimated, and that its key then makes the image."""
    record = await ended(faults)
    assert (record.status, [attempt.outcome for attempt in record.attempts]) == ("canceled", outcomes)
    assert faults.model_calls == 1
    async with feed(faults.product) as ledger:

        async def in_the_ledger() -> bool:
            return len(await ledger.entries()) == 1

        await faults.until(in_the_ledger, 30)
        (entry,) = await ledger.entries()
        assert (entry["usd"], entry["budgetUsd"]) == (None, record.expected_usd)
    await faults.assert_reconciled()
    faults.product.fake_gemini.latency = 0
    status, body = await faults.post(faults.hosts[-1])
    assert (status, body["id"]) == (200, record.id)
    assert faults.model_calls == 2
    await faults.assert_reconciled()


async def test_cancellation_from_another_host_takes_effect_with_the_next_lease_renewal(faults: Rig) -> None:
    faults.product.fake_gemini.latency = LATENCY
    host, other = await faults.start_host(), await faults.start_host()
    posting = asyncio.create_task(faults.post(host))
    await faults.called()
    (record,) = await faults.records()
    status, body = await faults.call(other, "POST", f"generations/{record.id}/cancel")
    assert (status, body["status"]) == (202, "running")
    status, body = await posting
    assert (status, body["code"]) == (409, "canceled")
    await asyncio.wait_for(faults.product.fake_gemini.aborted.wait(), 30)
    await assert_canceled_and_billed(faults, ["canceled"])


@pytest.mark.parametrize("writes", [1, 2, 3], ids=["request written", "billed call written", "completion written"])
async def test_kill_after_a_step_of_a_cancellation_is_completed_by_another_host(faults: Rig, writes: int) -> None:
    faults.product.fake_gemini.latency = LATENCY
    host = await faults.start_host()
    posting = asyncio.create_task(faults.post(host))
    await faults.called()
    (record,) = await faults.records()
    if writes > 1:
        faults.product.cosmos.rule(Rule(replaces(record.id), times=writes - 1))
    faults.product.cosmos.rule(faults.kill_rule(host, replaces(record.id), when="after"))
    with pytest.raises(aiohttp.ClientError):
        await faults.call(host, "POST", f"generations/{record.id}/cancel")
    assert await posting == (0, {})
    await faults.start_host()
    await assert_canceled_and_billed(faults, ["lost"] if writes == 1 else ["canceled"])


def replaces(record_id: str) -> Callable[[str, str], bool]:
    """Match a replacement of this record."""
    return lambda method, path: replaces_record(method, path) and f"/docs/{record_id}" in path


async def test_cancellation_while_the_image_is_stored_keeps_the_image(faults: Rig) -> None:
    host, other = await faults.start_host(), await faults.start_host()
    canceling = asyncio.Event()
    storing = faults.product.blobs.rule(Rule(stores_image, before=canceling.wait))
    posting = asyncio.create_task(faults.post(host))
    await storing.hit.wait()
    (record,) = await faults.records()
    assert (await faults.call(other, "POST", f"generations/{record.id}/cancel"))[0] == 202
    canceling.set()
    status, body = await posting
    assert (status, body["status"]) == (200, "succeeded")
    assert (await faults.call(other, "POST", f"generations/{record.id}/cancel"))[1]["status"] == "succeeded"
    assert faults.model_calls == 1
    await faults.assert_reconciled()
