"""Pages of the history: two partitions of one user merged by time, records of the same time, limited bytes."""

import base64
import json
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest
from azure.cosmos.aio import ContainerProxy, CosmosClient

from image_core.auth.user import User
from image_core.clock import Clock
from image_core.errors import InvalidRequest
from image_core.generations.continuation import _mark
from image_core.generations.records import PAGE_BYTES, Records
from image_core.storage.backoff import Backoff
from image_core.storage.cosmos import Cosmos
from image_core.storage.cosmos_documents import CosmosGenerations
from local.provision import provision_cosmos


@pytest.fixture
async def records(cosmos_connection_string: str) -> AsyncIterator[Records]:
    await provision_cosmos(cosmos_connection_string)
    cosmos = Cosmos("catafract", Clock(), connection_string=cosmos_connection_string)
    yield Records(CosmosGenerations(cosmos, "generations"), Backoff(Clock()))
    await cosmos.close()


@pytest.fixture
async def container(records: Records, cosmos_connection_string: str) -> AsyncIterator[ContainerProxy]:
    async with CosmosClient.from_connection_string(cosmos_connection_string) as client:
        yield client.get_database_client("catafract").get_container_client("generations")


def original(user_id: str, record_id: str, created_at: str, **fields: Any) -> dict[str, Any]:
    """Return a record as the original product wrote it: without a status and other fields of this product."""
    return {
        "id": record_id,
        "userId": user_id,
        "prompt": "a boat",
        "inputImages": [],
        "outputImageUrl": "https://example.com/a.png",
        "createdAt": created_at,
        **fields,
    }


async def everything(records: Records, user: User, limit: int) -> tuple[list[str], list[int]]:
    """Return the ids of all pages, and the number of records of each page."""
    ids: list[str] = []
    sizes: list[int] = []
    continuation = None
    while True:
        page = await records.page(user, limit, continuation)
        ids += [item["id"] for item in page.items]
        sizes.append(len(page.items))
        continuation = page.continuation
        if continuation is None:
            return ids, sizes


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 100])
async def test_both_partitions_are_merged_by_time_and_each_record_is_listed_once(
    records: Records, container: ContainerProxy, limit: int
) -> None:
    address = f"Ada.{limit}@Example.com"
    user = User(address.lower(), address)
    dice = random.Random(limit)
    expected = []
    for number in range(24):
        # Few times for many records: some are equal, within a partition and across both.
        created_at = f"2026-01-01T00:00:{dice.randrange(8):02}.000Z"
        item = original(dice.choice(user.partitions), f"gen-{number:02}", created_at)
        await container.create_item(item)
        expected.append((created_at, item["id"]))
    expected.sort(key=lambda pair: pair[1])
    expected.sort(key=lambda pair: pair[0], reverse=True)
    ids, sizes = await everything(records, user, limit)
    assert ids == [record_id for _, record_id in expected]
    assert all(size == limit for size in sizes[:-1])
    assert sizes[-1] <= limit


async def test_record_in_both_partitions_is_listed_once(records: Records, container: ContainerProxy) -> None:
    user = User("copied@example.com", "Copied@example.com")
    for partition in user.partitions:
        for number in range(3):
            item = original(partition, f"gen-{number}", f"2026-01-01T00:00:0{number}.000Z", prompt=partition)
            await container.create_item(item)
    for limit in (1, 2, 3, 4):
        ids, _ = await everything(records, user, limit)
        assert ids == ["gen-2", "gen-1", "gen-0"]
    page = await records.page(user, 10, None)
    assert {item["prompt"] for item in page.items} == {"copied@example.com"}


async def test_next_page_is_the_same_although_newer_records_are_written(
    records: Records, container: ContainerProxy
) -> None:
    user = User("newer@example.com")
    for number in range(4):
        await container.create_item(original(user.id, f"gen-{number}", f"2026-01-01T00:00:0{number}.000Z"))
    first = await records.page(user, 2, None)
    await container.create_item(original(user.id, "gen-9", "2026-01-02T00:00:00.000Z"))
    second = await records.page(user, 2, first.continuation)
    assert [item["id"] for item in (*first.items, *second.items)] == ["gen-3", "gen-2", "gen-1", "gen-0"]
    assert second.continuation is None


async def test_page_is_limited_in_bytes_and_every_record_is_listed(records: Records, container: ContainerProxy) -> None:
    user = User("long@example.com", "Long@example.com")
    for number in range(12):
        prompt = "x" * (PAGE_BYTES // 5 if number % 3 else PAGE_BYTES // 2 + 10)
        item = original(user.partitions[number % 2], f"gen-{number:02}", f"2026-01-01T00:00:{number:02}.000Z")
        await container.create_item({**item, "prompt": prompt})
    ids, sizes = await everything(records, user, 100)
    assert ids == [f"gen-{number:02}" for number in reversed(range(12))]
    assert len(sizes) >= 4
    page = await records.page(user, 100, None)
    assert len(page.items) == 1 or len(json.dumps(page.items, ensure_ascii=False).encode()) <= PAGE_BYTES + 1000


async def test_images_in_old_records_are_not_listed_and_limit_the_page(
    records: Records, container: ContainerProxy
) -> None:
    user = User("base64@example.com")
    jpeg = base64.b64encode(b"\xff\xd8\xff" + b"x" * 900_000).decode()
    assert jpeg.startswith("/9j/")
    kept = ["https://example.com/a.png", "/api/images/input-1.png"]
    for number in range(9):
        images = [jpeg[:400_000], kept[0], f"data:image/jpeg;base64,{jpeg}", kept[1], None, 3, "blob:x"]
        item = original(user.id, f"gen-{number}", f"2026-01-01T00:00:0{number}.000Z", inputImages=images)
        await container.create_item(item)
    page = await records.page(user, 100, None)
    assert 1 <= len(page.items) < 9
    assert all(item["inputImages"] == kept for item in page.items)
    ids, _ = await everything(records, user, 100)
    assert ids == [f"gen-{number}" for number in reversed(range(9))]
    record = await records.find(user, "gen-3")
    assert record is not None
    assert record.input_images == tuple(kept)


@pytest.mark.parametrize(
    "fields", [None, 1, [], ["2026"], ["2026", 1], ["2026", "a", "b"], {"a": 1}, "x", [None, None]], ids=repr
)
async def test_forged_continuation_is_refused_whatever_its_content(records: Records, fields: Any) -> None:
    user = User("forger@example.com")
    raw = json.dumps(fields).encode()
    forged = base64.urlsafe_b64encode(_mark(user, raw) + raw).decode().rstrip("=")
    for continuation in (forged, forged + "=", f"{forged}a", base64.urlsafe_b64encode(b"\0" * 6 + raw).decode()):
        with pytest.raises(InvalidRequest):
            await records.page(user, 2, continuation)


async def test_record_is_found_in_the_partition_of_the_exact_address(
    records: Records, container: ContainerProxy
) -> None:
    await container.create_item(original("Found@Example.com", "gen-old", "2024-01-01T00:00:00.000Z"))
    found = await records.find(User("found@example.com", "Found@Example.com"), "gen-old")
    assert found is not None
    assert found.user_id == "Found@Example.com"
    assert await records.find(User("found@example.com"), "gen-old") is None
    assert await records.find(User("found@example.com", "FOUND@example.com"), "gen-old") is None


async def test_image_of_an_old_record_belongs_to_its_user(records: Records, container: ContainerProxy) -> None:
    name = "generated-1704067230000.png"
    url = f"https://account.blob.core.windows.net/catafract/{name}"
    await container.create_item(original("Pic@Example.com", "gen-pic", "2024-01-01T00:00:30.000Z", outputImageUrl=url))
    assert await records.names_image(User("pic@example.com", "Pic@Example.com"), name)
    assert not await records.names_image(User("pic@example.com", "Pic@Example.com"), "generated-1704067230001.png")
    assert not await records.names_image(User("other@example.com"), name)
