"""The Cosmos DB trigger delivers every change at least once, in batches, and again after a failure."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from azure.cosmos.aio import CosmosClient

from local.emulators import cosmos_connection_string
from local.functions_host.app import CannotServe
from local.functions_host.change_feed import ChangeFeed, Retry
from tests.support.sample_app import provision_sample, wait_for_line


@pytest.fixture
async def database(cosmos_url: str) -> AsyncIterator[Any]:
    connection = cosmos_connection_string(cosmos_url)
    await provision_sample(connection)
    async with CosmosClient.from_connection_string(connection) as client:
        yield client.get_database_client("sample")


async def test_change_calls_its_function(host: str, database: Any) -> None:
    name = uuid.uuid4().hex
    await database.get_container_client("things").upsert_item({"id": name})
    await asyncio.to_thread(wait_for_line, host, f"done {name}|0")


async def test_failed_batch_is_delivered_again_until_it_succeeds(host: str, database: Any) -> None:
    name = uuid.uuid4().hex
    await database.get_container_client("things").upsert_item({"id": name, "fails": 2})
    lines = await asyncio.to_thread(wait_for_line, host, f"done {name}|0")
    assert lines.count(f"thing {name}|0") == 3


async def test_checkpoint_is_kept_and_a_new_version_is_a_new_change(database: Any) -> None:
    name = f"feed-{uuid.uuid4().hex}"
    things, leases = database.get_container_client("things"), database.get_container_client("leases")
    written = [await things.upsert_item({"id": f"{name}-{number}"}) for number in range(5)]
    feed = ChangeFeed(name, things, leases, max_items=100)

    def mine(batch: list[Any]) -> list[str]:
        return sorted(document["id"] for _, document in batch if document["id"].startswith(name))

    batch = await feed.read()
    assert mine(batch) == sorted(each["id"] for each in written)
    assert mine(await feed.read()) == mine(batch), "a batch without a checkpoint is read again"
    await feed.checkpoint(batch)
    after = ChangeFeed(name, things, leases, max_items=100)
    assert mine(await after.read()) == []
    await things.upsert_item({"id": f"{name}-3", "changed": True})
    assert mine(await after.read()) == [f"{name}-3"]


async def test_batch_has_at_most_max_items_and_every_change_is_delivered(database: Any) -> None:
    name = f"feed-{uuid.uuid4().hex}"
    things, leases = database.get_container_client("things"), database.get_container_client("leases")
    for number in range(7):
        await things.upsert_item({"id": f"{name}-{number}"})
    feed = ChangeFeed(name, things, leases, max_items=3)
    delivered: list[str] = []
    while batch := await feed.read():
        assert len(batch) <= 3
        delivered += [document["id"] for _, document in batch if document["id"].startswith(name)]
        await feed.checkpoint(batch)
    assert sorted(delivered) == [f"{name}-{number}" for number in range(7)]


def test_retry_policy_is_read() -> None:
    policy = {"strategy": "fixed_delay", "max_retry_count": "-1", "delay_interval": "00:01:10"}
    assert Retry.read(policy) == Retry(-1, timedelta(seconds=70))


@pytest.mark.parametrize(
    "policy", [{"strategy": "exponential_backoff"}, {"strategy": "fixed_delay", "delay_interval": "10"}]
)
def test_unsupported_retry_policy_is_refused(policy: dict[str, str]) -> None:
    with pytest.raises(CannotServe, match="retry policy"):
        Retry.read(policy)
