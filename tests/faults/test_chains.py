"""A host that is killed during an edit chain loses no image and leaves no incomplete model turn."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from local.emulators import AzuritePorts
from tests.support.faulty_proxy import Rule
from tests.support.hosts import Rig, rig, stores_image

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
async def faults(azurite_ports: AzuritePorts, cosmos_url: str) -> AsyncIterator[Rig]:
    async with rig(azurite_ports, cosmos_url) as made:
        yield made


def stores_turn(method: str, path: str) -> bool:
    return method == "PUT" and "/catafract-private/turns/" in path


async def never() -> None:
    """Hold a request for as long as its host lives."""
    await asyncio.Event().wait()


async def edited(faults: Rig, earlier: str, key: str = "key-2") -> dict[str, Any]:
    """Edit a generation and return the answer."""
    status, body = await faults.post(faults.hosts[-1], key, {"from": earlier, "images": []})
    assert status == 200, body
    return body


def turns(faults: Rig) -> list[int]:
    return [call.turns for call in faults.product.fake_gemini.calls]


def context_kept(body: dict[str, Any]) -> bool:
    return not any(warning.startswith("context_not_kept") for warning in body["warnings"])


async def ended(faults: Rig, count: int) -> None:
    """Wait until `count` generations have succeeded."""

    async def done() -> bool:
        return [record.status for record in await faults.records()].count("succeeded") == count

    await faults.until(done)


async def test_kill_after_the_image_and_before_the_turn_is_stored_pays_once(faults: Rig) -> None:
    host = await faults.start_host()
    faults.product.blobs.rule(Rule(stores_turn, before=never))
    faults.product.blobs.rule(faults.kill_rule(host, stores_image, when="after"))
    assert await faults.post(host) == (0, {})
    await faults.start_host()
    await ended(faults, 1)
    status, first = await faults.post(faults.hosts[-1])
    assert (status, faults.model_calls) == (200, 1)
    assert not context_kept(await edited(faults, first["id"]))
    assert turns(faults) == [0, 0]
    await faults.assert_reconciled()


async def test_kill_after_the_turn_and_before_the_image_is_stored_keeps_the_second_turn(
    faults: Rig,
) -> None:
    host = await faults.start_host()
    faults.product.blobs.rule(Rule(stores_image, before=never))
    faults.product.blobs.rule(faults.kill_rule(host, stores_turn, when="after"))
    assert await faults.post(host) == (0, {})
    await faults.start_host()
    await ended(faults, 1)
    status, first = await faults.post(faults.hosts[-1])
    assert (status, faults.model_calls) == (200, 2)
    (record,) = await faults.records()
    stored = await faults.product.blob_names("catafract-private", "turns/")
    assert sum(record.blob_stem in name for name in stored) == 2  # one of them is of the first call
    assert context_kept(await edited(faults, first["id"]))
    assert turns(faults) == [0, 0, 1]
    assert (await faults.call(faults.hosts[-1], "DELETE", f"generations/{first['id']}"))[0] == 204
    assert not any(record.blob_stem in name for name in await faults.product.blob_names("catafract-private", "turns/"))
    await faults.assert_reconciled()


async def killed_during_an_edit(faults: Rig) -> str:
    """Kill the host during an edit of a generation and return that generation's id."""
    host = await faults.start_host()
    status, first = await faults.post(host)
    assert status == 200
    faults.product.fake_gemini.released.clear()
    editing = asyncio.create_task(faults.post(host, "key-2", {"from": first["id"], "images": []}))
    await faults.called(2)
    await host.kill()
    assert await editing == (0, {})
    faults.product.fake_gemini.released.set()
    return str(first["id"])


async def test_kill_during_an_edit_is_recovered_with_the_same_turns(faults: Rig) -> None:
    first = await killed_during_an_edit(faults)
    await faults.start_host()
    await ended(faults, 2)
    assert context_kept(await edited(faults, first))
    assert turns(faults) == [0, 1, 1]
    await faults.assert_reconciled()


async def test_kill_during_an_edit_whose_earlier_generation_is_deleted_is_recovered_with_the_image(faults: Rig) -> None:
    first = await killed_during_an_edit(faults)
    deleted = await faults.product.call("DELETE", f"/api/generations/{first}")
    assert deleted.status == 204
    await faults.start_host()
    await ended(faults, 1)
    assert not context_kept(await edited(faults, first))
    assert turns(faults) == [0, 1, 0]
    await faults.assert_reconciled()
