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
from tests.support.hosts import LEASE, Rig, replaces_record, rig, stores_image

pytestmark = pytest.mark.timeout(300)

LONG = 11.0
"""Seconds that the fake model takes."""


@pytest.fixture
async def faults(azurite_ports: AzuritePorts, cosmos_url: str) -> AsyncIterator[Rig]:
    async with rig(azurite_ports, cosmos_url) as made:
        yield made


async def ended(faults: Rig) -> Any:
    """Return the only record as soon as it has ended."""

    async def done() -> bool:
        return [record.status for record in await faults.records()] not in ([], ["running"])

    await faults.until(done)
    (found,) = await faults.records()
    return await faults.product.app.components.records.read(User(faults.product.email), found.id)


async def canceled_and_billed(faults: Rig, outcomes: list[str]) -> None:
    """Check for the end `canceled` after one call with an estimate in the ledger; the same key then makes the image."""
    record = await ended(faults)
    assert (record.status, [attempt.outcome for attempt in record.attempts]) == ("canceled", outcomes)
    assert faults.model_calls == 1
    async with feed(faults.product) as ledger:

        async def entered() -> bool:
            return len(await ledger.entries()) == 1

        await faults.until(entered, 30)
        (entry,) = await ledger.entries()
        assert (entry["usd"], entry["budgetUsd"]) == (None, record.expected_usd)
    await faults.assert_reconciled()
    faults.product.fake_gemini.latency = 0
    status, body = await faults.post(faults.hosts[-1])
    assert (status, body["id"]) == (200, record.id)
    assert faults.model_calls == 2
    await faults.assert_reconciled()


async def test_canceled_from_another_host_it_stops_with_the_next_renewal(faults: Rig) -> None:
    faults.product.fake_gemini.latency = LONG
    host, other = await faults.start_host(), await faults.start_host()
    posting = asyncio.create_task(faults.post(host))
    await faults.called()
    (record,) = await faults.records()
    status, body = await faults.call(other, "POST", f"generations/{record.id}/cancel")
    assert (status, body["status"]) == (202, "running")
    async with asyncio.timeout(LEASE):
        status, body = await posting
    assert (status, body["code"]) == (409, "canceled")
    await asyncio.wait_for(faults.product.fake_gemini.aborted.wait(), LEASE)
    await canceled_and_billed(faults, ["canceled"])


@pytest.mark.parametrize(
    "writes", [1, 2, 3], ids=["the request is written", "the bill is written", "the end is written"]
)
async def test_killed_when_a_step_of_a_cancellation_is_done_another_ends_it(faults: Rig, writes: int) -> None:
    faults.product.fake_gemini.latency = LONG
    host = await faults.start_host()
    posting = asyncio.create_task(faults.post(host))
    await faults.called()
    (record,) = await faults.records()
    if writes > 1:
        faults.product.cosmos.rule(Rule(of(record.id), times=writes - 1))
    faults.product.cosmos.rule(faults.kill_rule(host, of(record.id), when="after"))
    with pytest.raises(aiohttp.ClientError):
        await faults.call(host, "POST", f"generations/{record.id}/cancel")
    assert await posting == (0, {})
    await faults.start_host()
    await canceled_and_billed(faults, ["lost"] if writes == 1 else ["canceled"])


def of(record_id: str) -> Callable[[str, str], bool]:
    """Match a replacement of this record."""
    return lambda method, path: replaces_record(method, path) and f"/docs/{record_id}" in path


async def test_canceled_while_the_image_is_stored_the_image_stays(faults: Rig) -> None:
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
