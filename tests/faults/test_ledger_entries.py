"""The ledger has every call that the service billed, also if the process is killed after the call."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from image_core.auth.user import User
from local.emulators import AzuritePorts
from tests.support.change_feed import feed
from tests.support.faulty_proxy import Rule
from tests.support.hosts import Rig, rig, stores_image

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
async def faults(azurite_ports: AzuritePorts, cosmos_url: str) -> AsyncIterator[Rig]:
    async with rig(azurite_ports, cosmos_url) as made:
        yield made


async def test_kill_after_the_models_answer_keeps_its_ledger_entry(faults: Rig) -> None:
    """The image is lost and made again: the ledger has both calls."""
    never = asyncio.Event()
    faults.product.blobs.rule(Rule(stores_image, before=never.wait, forward=False, deliver=False))
    host = await faults.start_host()
    posting = asyncio.create_task(faults.post(host))

    async def billed() -> bool:
        record = await faults.product.app.components.records.read(
            User(faults.product.email), (await faults.records())[0].id
        )
        return record is not None and bool(record.attempts)

    await faults.called()
    await faults.until(billed)
    await host.kill()
    never.set()
    await posting
    await faults.start_host()
    await faults.finished()
    assert (await faults.post(faults.hosts[-1]))[0] == 200
    assert faults.model_calls == 2
    await faults.assert_reconciled()
    async with feed(faults.product) as ledger:

        async def in_the_ledger() -> bool:
            return await ledger.usd() == faults.product.fake_gemini.billed_usd

        await faults.until(in_the_ledger, 30)  # written by the host's change feed
        assert len(await ledger.entries()) == 2
