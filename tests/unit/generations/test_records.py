"""The repository of records: conditional writes, and lists."""

import re
from dataclasses import replace
from datetime import timedelta

import pytest

from image_core.auth.user import User
from image_core.billing.admission import Queued
from image_core.errors import InvalidRequest, StorageUnavailable
from image_core.generations.continuation import Position, seal, unseal
from image_core.generations.record import Record, Status
from image_core.generations.record_codec import to_document
from image_core.generations.records import PAGE_BYTES, AlreadyThere, Changed, Page
from image_core.generations.unended import UnendedRecords, queued
from image_core.models.generated import OK, Attempt, Options
from image_core.models.prices import expected_usd
from tests.support.domain import ADA, BOB, Process
from tests.support.fakes.clock import START
from tests.support.fakes.faults import Effect
from tests.support.fakes.model import MODEL, USAGE
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


async def test_id_whose_record_is_removed_before_it_can_be_read_is_tried_again() -> None:
    process = Process()
    first = await process.records.create(make(ADA))
    process.store.generations.faults.add(Effect.APPLIED, "read").before = lambda: process.store.remove(first)
    created = await process.fake_clock.run(process.records.create(make(ADA, blob_stem="another")))
    assert (created.blob_stem, process.store.record(first.id)) == ("another", created)


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


async def pages(process: Process, limit: int, root: str | None = None, user: User = ADA) -> list[Page]:
    """Return all pages of a list."""
    found: list[Page] = []
    continuation = None
    while True:
        if root is None:
            found.append(await process.history.page(user, limit, continuation))
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
    assert [len(page.items) for page in found] == page_lengths(5, limit)
    assert "blobStem" not in found[0].items[0]


def page_lengths(count: int, limit: int) -> list[int]:
    """Return the lengths of the pages of a list of short records."""
    return [len(range(first, min(first + limit, count))) for first in range(0, count, limit)]


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 10])
@pytest.mark.parametrize(
    ("old", "new"), [("369", "1258"), ("", "12"), ("12", ""), ("89", "1234567"), ("12", "3456789"), ("2468", "2468")]
)
async def test_pages_of_a_user_of_the_original_product_merge_both_partitions(old: str, new: str, limit: int) -> None:
    process = Process()
    for user, numbers in ((OLD, old), (ADA, new)):
        for number in map(int, numbers):
            await process.records.create(at(number, user))
    found = await pages(process, limit, user=User(ADA.id, OLD.id))
    expected = sorted({f"gen-{number}" for number in old + new}, reverse=True)
    assert [item["id"] for page in found for item in page.items] == expected
    assert [item["userId"] for page in found for item in page.items] == [
        ADA.id if each[-1] in new else OLD.id for each in expected
    ]
    assert all(len(page.items) <= limit for page in found)


async def test_page_shows_addresses_of_inputs_and_not_the_images_that_the_original_product_kept() -> None:
    process = Process()
    original = {"userId": ADA.id, "prompt": "p", "createdAt": "2025-01-01T00:00:00.000Z"}
    await process.store.generations.create({**original, "id": "a", "inputImages": ["iVBORw0KGgo=", "http://x/a.png"]})
    await process.store.generations.create({**original, "id": "b"})
    (page,) = await pages(process, 10)
    assert {item["id"]: item["inputImages"] for item in page.items} == {"a": ["http://x/a.png"], "b": []}


async def test_page_ends_where_the_records_that_were_read_for_it_hold_too_much() -> None:
    process = Process()
    for number in range(4):
        long = [f"data:image/png;base64,{'A' * 1_900_000}"]
        await process.records.create(at(number, input_images=tuple(long)))
    found = await pages(process, 10)
    assert [[item["id"] for item in page.items] for page in found] == [["gen-3", "gen-2", "gen-1"], ["gen-0"]]


async def test_records_of_one_moment_come_together_however_long_they_are() -> None:
    process = Process()
    long = (f"data:image/png;base64,{'A' * 1_900_000}",)
    for seconds, name in ((4, "d"), (3, "c"), (2, "b"), (2, "a"), (1, "e")):
        await process.records.create(at(seconds, id=f"gen-{name}", input_images=long))
    found = await pages(process, 10)
    assert [[item["id"][-1] for item in page.items] for page in found] == [["d", "c", "a", "b"], ["e"]]


@pytest.mark.parametrize("limit", [1, 2, 10])
async def test_pages_of_a_chain_are_oldest_first(limit: int) -> None:
    process = Process()
    for number in (3, 1, 2):
        await process.records.create(at(number, root_id="gen-0"))
    await process.records.create(at(4, root_id="gen-9"))
    found = await pages(process, limit, "gen-0")
    assert [item["id"] for page in found for item in page.items] == ["gen-1", "gen-2", "gen-3"]
    assert [len(page.items) for page in found] == page_lengths(3, limit)


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


@pytest.mark.parametrize("length", range(6))
def test_continuation_is_one_word_for_a_url(length: int) -> None:
    position = Position("2026-11-25T12:00:00.000Z", "é" + "x" * length)
    sealed = seal(ADA, position)
    assert re.fullmatch(r"[A-Za-z0-9_-]+", sealed)
    assert unseal(ADA, sealed) == position
    with pytest.raises(InvalidRequest):
        unseal(ADA, f"{sealed[:9]}!{sealed[9:]}")


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


async def test_unfinished_is_at_most_500_at_once() -> None:
    process = Process()
    for number in range(501):
        await process.records.create(at(0, id=f"gen-{number}", lease_expires_at=START))
    assert len(await process.records.unfinished()) == 500


@pytest.mark.parametrize(("seconds", "counts"), [(1, True), (0, False)])
async def test_deleted_generation_counts_until_the_lease_of_its_process_expires(seconds: int, counts: bool) -> None:
    process = Process()
    until = START + timedelta(seconds=seconds)
    await process.records.create(at(1).deleting(until, leased=True))
    await process.records.create(at(2).deleting(START + timedelta(days=1), leased=False))
    found = await process.records.under_way(ADA)
    assert [(each.id, each.status) for each in found] == ([("gen-1", Status.DELETING)] if counts else [])


async def test_generations_that_have_not_ended_count_with_what_is_left_to_pay() -> None:
    process = Process()
    later = START + timedelta(days=1)
    made = Attempt(MODEL, OK, 1, USAGE, START, "run-0")
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
    assert [each.created_at for each in found] == [START + timedelta(seconds=number) for number in (1, 2, 3)]
    assert [[entry.id for entry in each.entries] for each in found] == [[], ["run-0"], []]
    assert len(await unended.of_all_users()) == 4
    assert queued(at(7, expected_usd=None)) == Queued("gen-7", ADA, START + timedelta(seconds=7), 0.0)


@pytest.mark.parametrize(("model", "size"), [(MODEL, "1K"), (None, "1K"), ("unknown", "4K")])
async def test_price_of_an_unended_generation_of_an_earlier_version_is_that_of_its_model_and_size(
    model: str | None, size: str
) -> None:
    process = Process()
    options = Options(model=model, image_size=size)
    await process.records.create(at(1, options=options, lease_expires_at=START + timedelta(days=1)))
    default = "gemini-3.1-flash-lite-image"
    (found,) = await UnendedRecords(process.records, default).of_user(ADA)
    assert found.usd == expected_usd(model or default, size)


async def test_names_of_images_of_the_original_product_are_looked_up() -> None:
    process = Process()
    await process.store.generations.create(
        {"id": "old", "userId": ADA.id, "outputImageUrl": "https://x/catafract/a%20b.png", "createdAt": "2025"}
    )
    assert await process.records.names_image(ADA, "a b.png")
    assert not await process.records.names_image(BOB, "a b.png")
