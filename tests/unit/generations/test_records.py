"""The repository of records: conditional writes, and lists."""

from dataclasses import replace
from datetime import timedelta

import pytest

from image_core.auth.user import User
from image_core.errors import InvalidRequest, StorageUnavailable
from image_core.generations.continuation import Position, seal, unseal
from image_core.generations.record import Record, Status
from image_core.generations.record_codec import to_document
from image_core.generations.records import PAGE_BYTES, AlreadyThere, Changed, Page
from image_core.generations.unended import UnendedRecords, queued
from image_core.models.generated import OK, Attempt
from image_core.models.prices import expected_usd
from tests.support.domain import ADA, BOB, Process
from tests.support.fakes.clock import START
from tests.support.fakes.faults import Effect
from tests.support.fakes.model import MODEL
from tests.support.records import make

OLD = User("Ada@Example.com")


def at(seconds: int, user: User = ADA, **changes: object) -> Record:
    """Return a record that was created at this time, in seconds after the start."""
    return make(user, seconds, created_at=START + timedelta(seconds=seconds), **changes)


async def test_write_whose_acknowledgement_was_lost_is_a_success() -> None:
    process = Process()
    process.store.generations.faults.add(Effect.REPEATED, "create")
    created = await process.records.create(make(ADA))
    process.store.generations.faults.add(Effect.REPEATED, "replace")
    replaced = await process.records.replace(replace(created, lease_owner="b"))
    assert await process.records.read(ADA, created.id) == replaced


async def test_id_that_another_record_has_is_refused() -> None:
    process = Process()
    first = await process.records.create(make(ADA))
    with pytest.raises(AlreadyThere) as caught:
        await process.records.create(make(ADA, blob_stem="another"))
    assert caught.value.stored == first


async def test_record_that_cannot_be_read_yet_is_tried_again() -> None:
    process = Process()
    first = await process.records.create(make(ADA))
    process.store.generations.faults.add(Effect.APPLIED, "create").before = lambda: process.store.remove(first)
    assert (await process.records.create(make(ADA, blob_stem="another"))).blob_stem == "another"


async def test_replace_of_an_old_version_is_refused_and_returns_the_newest() -> None:
    process = Process()
    first = await process.records.create(make(ADA))
    second = await process.records.replace(replace(first, lease_owner="b"))
    with pytest.raises(Changed) as caught:
        await process.records.replace(replace(first, lease_owner="c"))
    assert caught.value.stored == second
    await process.records.delete(second)
    with pytest.raises(Changed) as caught:
        await process.records.replace(second)
    assert caught.value.stored is None
    await process.records.delete(second)


async def test_change_is_applied_to_the_newest_version() -> None:
    process = Process()
    first = await process.records.create(make(ADA))
    await process.records.replace(replace(first, lease_owner="b"))
    changed = await process.records.change(first, lambda stored: replace(stored, text=f"of {stored.lease_owner}"))
    assert changed is not None
    assert changed.text == "of b"
    assert await process.records.change(changed, lambda _: None) == changed
    await process.records.delete(changed)
    assert await process.records.change(changed, lambda stored: replace(stored, text="x")) is None


async def test_change_gives_up_where_newer_versions_keep_coming() -> None:
    process = Process()
    first = await process.records.create(make(ADA))

    async def written() -> None:
        stored = process.store.record(first.id)
        assert stored is not None
        await process.store.generations.replace(to_document(stored), stored.etag)

    inside = False

    async def before() -> None:
        nonlocal inside
        if not inside:  # not before its own call
            inside = True
            await written()
            inside = False

    process.store.generations.faults.add(Effect.APPLIED, "replace", times=1000).before = before
    with pytest.raises(StorageUnavailable):
        await process.fake_clock.run(process.records.change(first, lambda stored: replace(stored, text="x")))
    assert process.fake_clock.monotonic() > 0


async def test_record_is_found_in_the_partition_of_the_original_product() -> None:
    process = Process()
    await process.records.create(at(1, OLD))
    assert await process.records.find(User(ADA.id, OLD.id), "gen-1") is not None
    assert await process.records.find(ADA, "gen-1") is None


async def pages(process: Process, limit: int, root: str | None = None) -> list[Page]:
    """All pages of a list."""
    found: list[Page] = []
    continuation = None
    while True:
        if root is None:
            found.append(await process.history.page(ADA, limit, continuation))
        else:
            found.append(await process.history.tree(ADA, root, limit, continuation))
        continuation = found[-1].continuation
        if continuation is None:
            return found


@pytest.mark.parametrize("limit", [1, 2, 3, 10])
async def test_pages_have_every_record_once_newest_first(limit: int) -> None:
    process = Process()
    times = {1: 1, 2: 2, 3: 2, 4: 2, 5: 3}
    for number, seconds in times.items():
        await process.records.create(at(seconds, id=f"gen-{number}"))
    await process.records.create(at(9, BOB))
    await process.records.create(at(8, status=Status.DELETING))
    found = await pages(process, limit)
    assert [item["id"] for page in found for item in page.items] == ["gen-5", "gen-2", "gen-3", "gen-4", "gen-1"]
    assert all(len(page.items) <= limit for page in found)
    assert "blobStem" not in found[0].items[0]


@pytest.mark.parametrize("limit", [1, 2, 10])
async def test_pages_of_a_chain_are_oldest_first(limit: int) -> None:
    process = Process()
    for number in (3, 1, 2):
        await process.records.create(at(number, root_id="gen-0"))
    await process.records.create(at(4, root_id="gen-9"))
    found = await pages(process, limit, "gen-0")
    assert [item["id"] for page in found for item in page.items] == ["gen-1", "gen-2", "gen-3"]


async def test_page_of_long_records_is_short() -> None:
    process = Process()
    for number in range(3):
        await process.records.create(at(number, prompt="x" * (PAGE_BYTES // 2)))
    assert [len(page.items) for page in await pages(process, 10)] == [1, 1, 1]


@pytest.mark.parametrize("continuation", ["", "x", "!!", "a" * 5000, "é", "eyJ0b2tlbiI6ICJ4In0"])
async def test_continuation_that_was_not_issued_is_refused(continuation: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        unseal(ADA, continuation)
    assert caught.value.field == "continuation"


def test_continuation_of_another_user_is_refused() -> None:
    sealed = seal(ADA, Position("2026-11-25T12:00:00.000Z", "gen-1"))
    assert unseal(ADA, sealed) == Position("2026-11-25T12:00:00.000Z", "gen-1")
    with pytest.raises(InvalidRequest):
        unseal(BOB, sealed)


async def test_unfinished_is_what_has_an_expired_lease() -> None:
    process = Process()
    past, later = START - timedelta(seconds=1), START + timedelta(days=1)
    for number, until in ((1, past), (2, START), (3, later), (4, None)):
        await process.records.create(at(number, lease_expires_at=until))
    assert [each.id for each in await process.records.unfinished()] == ["gen-1", "gen-2"]
    assert [each.id for each in await process.records.unfinished(limit=1)] == ["gen-1"]


async def test_generations_that_have_not_ended_count_with_what_is_left_to_pay() -> None:
    process = Process()
    later = START + timedelta(days=1)
    made = Attempt(MODEL, OK, 1, None, START, "run-0")
    await process.records.create(at(1, lease_expires_at=later, expected_usd=0.2, attempt_count=1))
    await process.records.create(at(2, lease_expires_at=later, expected_usd=0.2, run_id="run", attempts=(made,)))
    await process.records.create(at(3, lease_expires_at=later))
    await process.records.create(at(4, status=Status.SUCCEEDED, lease_expires_at=None))
    await process.records.create(at(5, BOB, lease_expires_at=later, expected_usd=0.3))
    unended = UnendedRecords(process.records, MODEL)
    found = await unended.of_user(ADA)
    assert [(each.id, each.usd, each.started) for each in found] == [
        ("gen-1", 0.2, True),
        ("gen-2", 0.0, False),
        ("gen-3", expected_usd(MODEL, "2K"), False),
    ]
    assert len(await unended.of_all_users()) == 4
    assert queued(at(7, expected_usd=None)).usd == 0.0


async def test_names_of_images_of_the_original_product_are_looked_up() -> None:
    process = Process()
    await process.store.generations.create(
        {"id": "old", "userId": ADA.id, "outputImageUrl": "https://x/catafract/a%20b.png", "createdAt": "2025"}
    )
    assert await process.records.names_image(ADA, "a b.png")
    assert not await process.records.names_image(BOB, "a b.png")
