"""The host's Cosmos DB trigger and output: every change, at least once, in batches, checkpointed, and given again."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest
import requests
from azure.cosmos.aio import CosmosClient

from local.emulators import cosmos_connection_string
from local.functions.application import CannotServe
from local.functions.change_feed import ChangeFeed, Retry
from tests.support.sample_app import provision_sample


@pytest.fixture
async def database(cosmos_url: str) -> AsyncIterator[Any]:
    connection = cosmos_connection_string(cosmos_url)
    await provision_sample(connection)
    async with CosmosClient.from_connection_string(connection) as client:
        yield client.get_database_client("sample")


async def copies(database: Any) -> list[str]:
    found = database.get_container_client("copies").query_items("SELECT VALUE c.of FROM c")
    return [str(of) async for of in found]


async def until(true: Any, seconds: float = 30) -> None:
    async with asyncio.timeout(seconds):
        while not await true():  # noqa: ASYNC110 - the database has no event
            await asyncio.sleep(0.1)


async def test_a_change_starts_its_function_whose_output_is_written(host: str, database: Any) -> None:
    name = uuid.uuid4().hex
    await database.get_container_client("things").upsert_item({"id": name})

    async def copied() -> bool:
        return name in await copies(database)

    await until(copied)


async def test_a_batch_that_fails_is_given_again_until_it_succeeds(host: str, database: Any) -> None:
    name = uuid.uuid4().hex
    began = time.monotonic()
    await database.get_container_client("things").upsert_item({"id": name, "fails": 2})

    async def copied() -> bool:
        return name in await copies(database)

    await until(copied)
    assert time.monotonic() - began >= 2, "a second between two tries"
    seen = await asyncio.to_thread(lambda: requests.get(f"{host}/v1/seen", timeout=10).text)
    assert seen.count(f"thing {name}") == 3


async def test_a_checkpoint_outlives_its_host_and_a_new_version_is_a_new_change(database: Any) -> None:
    name = f"feed-{uuid.uuid4().hex}"
    things, leases = database.get_container_client("things"), database.get_container_client("leases")
    written = [await things.upsert_item({"id": f"{name}-{number}"}) for number in range(5)]
    feed = ChangeFeed(name, things, leases, most=100)

    def mine(batch: list[Any]) -> list[str]:
        return sorted(document["id"] for _, document in batch if document["id"].startswith(name))

    batch = await feed.read()
    assert mine(batch) == sorted(each["id"] for each in written)
    assert mine(await feed.read()) == mine(batch), "nothing is done with before it is checkpointed"
    await feed.checkpoint(batch)
    after = ChangeFeed(name, things, leases, most=100)
    assert mine(await after.read()) == []
    await things.upsert_item({"id": f"{name}-3", "changed": True})
    assert mine(await after.read()) == [f"{name}-3"]


async def test_a_batch_holds_no_more_than_it_may_and_nothing_is_left_behind(database: Any) -> None:
    name = f"feed-{uuid.uuid4().hex}"
    things, leases = database.get_container_client("things"), database.get_container_client("leases")
    for number in range(7):
        await things.upsert_item({"id": f"{name}-{number}"})
    feed = ChangeFeed(name, things, leases, most=3)
    seen: list[str] = []
    while batch := await feed.read():
        assert len(batch) <= 3
        seen += [document["id"] for _, document in batch if document["id"].startswith(name)]
        await feed.checkpoint(batch)
    assert sorted(seen) == [f"{name}-{number}" for number in range(7)]


@pytest.mark.parametrize(
    "policy", [{"strategy": "exponential_backoff"}, {"strategy": "fixed_delay", "delay_interval": "10"}]
)
def test_a_policy_that_this_host_does_not_know_is_said(policy: dict[str, str]) -> None:
    with pytest.raises(CannotServe, match="retry policy"):
        Retry.read(policy)
