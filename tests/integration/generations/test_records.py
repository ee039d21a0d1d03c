"""Records over the real SDK and the emulator: conditional writes, pages, unfinished records."""

import itertools
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime

import pytest

from image_core.auth.user import User
from image_core.clock import Clock
from image_core.errors import InvalidRequest, NoImage, StorageUnavailable
from image_core.generations.failure import Failure
from image_core.generations.record import Status
from image_core.generations.record_codec import to_document
from image_core.generations.records import AlreadyThere, Changed, Records
from image_core.models.generated import Attempt, Usage
from image_core.storage.backoff import Backoff
from image_core.storage.cosmos import Cosmos
from image_core.storage.cosmos_documents import CosmosGenerations
from local.provision import provision_cosmos
from tests.support.faulty_proxy import FaultyProxy, Rule, faulty
from tests.support.records import make

numbers = itertools.count()
PAST, LATER = datetime(2026, 1, 1, 0, 10, tzinfo=UTC), datetime(2999, 1, 1, tzinfo=UTC)


@pytest.fixture
def user() -> User:
    return User(f"store-user{next(numbers)}@example.com")


@pytest.fixture
async def proxy(cosmos_url: str, cosmos_connection_string: str) -> AsyncIterator[FaultyProxy]:
    await provision_cosmos(cosmos_connection_string)
    async with faulty(cosmos_url) as running:
        yield running


@pytest.fixture
async def records(proxy: FaultyProxy, cosmos_connection_string: str) -> AsyncIterator[Records]:
    key = cosmos_connection_string.split(";")[1]
    cosmos = Cosmos("catafract", Clock(), connection_string=f"AccountEndpoint={proxy.url}/;{key}")
    yield Records(CosmosGenerations(cosmos, "generations"), Backoff(Clock()))
    await cosmos.close()


def writes(method: str, path: str) -> bool:
    return method in {"POST", "PUT"} and "/docs" in path


async def test_created_record_is_read_back(records: Records, user: User) -> None:
    written = await records.create(make(user))
    assert await records.read(user, "gen-1") == written
    assert written.etag


async def test_missing_record_is_none(records: Records, user: User) -> None:
    assert await records.read(user, "gen-none") is None


async def test_second_record_with_the_same_id_is_refused(records: Records, user: User) -> None:
    first = await records.create(make(user))
    with pytest.raises(AlreadyThere) as caught:
        await records.create(make(user, blob_stem="another"))
    assert caught.value.stored == first


async def test_replacing_an_old_version_is_refused(records: Records, user: User) -> None:
    first = await records.create(make(user))
    second = await records.replace(first.claimed("you", LATER))
    with pytest.raises(Changed) as caught:
        await records.replace(first.claimed("them", LATER))
    assert caught.value.stored == second


async def test_replacing_a_deleted_record_is_refused(records: Records, user: User) -> None:
    first = await records.create(make(user))
    await records.delete(first)
    with pytest.raises(Changed) as caught:
        await records.replace(first.claimed("you", LATER))
    assert caught.value.stored is None


async def test_second_deletion_does_nothing(records: Records, user: User) -> None:
    first = await records.create(make(user))
    await records.delete(first)
    await records.delete(first)
    assert await records.read(user, first.id) is None


async def test_repeated_create_after_a_lost_acknowledgement_succeeds(
    records: Records, proxy: FaultyProxy, user: User
) -> None:
    assert await records.read(user, "gen-1") is None  # connects
    lost = proxy.rule(Rule(writes, deliver=False))
    with suppress(StorageUnavailable):  # unless the SDK repeats the request by itself
        await records.create(make(user))
    record = await records.create(make(user))
    assert lost.hits == 1
    assert await records.read(user, record.id) == record


async def test_repeated_replace_after_a_lost_acknowledgement_succeeds(
    records: Records, proxy: FaultyProxy, user: User
) -> None:
    first = await records.create(make(user))
    lost = proxy.rule(Rule(writes, deliver=False))
    wanted = first.claimed("me again", LATER)
    with suppress(StorageUnavailable):  # as above
        await records.replace(wanted)
    second = await records.replace(wanted)
    assert lost.hits == 1
    assert (await records.read(user, first.id)) == second
    assert second.lease_owner == "me again"


async def test_pages_are_newest_first_and_of_one_user(records: Records, user: User) -> None:
    user = User("pages-of-one@example.com")
    for number in range(1, 6):
        await records.create(make(user, number, text="x" * 100))
    await records.create(make(User("other@example.com"), 1, id=f"gen-{user.folder}"))
    await records.create(make(user, 7, status=Status.DELETING))
    ids = []
    continuation = None
    for _ in range(3):
        page = await records.page(user, 2, continuation)
        ids += [item["id"] for item in page.items]
        continuation = page.continuation
    assert ids == ["gen-5", "gen-4", "gen-3", "gen-2", "gen-1"]
    assert continuation is None
    assert "text" not in page.items[0]
    assert "blobStem" not in page.items[0]


@pytest.mark.parametrize("continuation", ["x", "", "!!", "a" * 5000, "é", "eyJ0b2tlbiI6ICJ4In0"])
async def test_malformed_continuation_is_refused(records: Records, user: User, continuation: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        await records.page(user, 2, continuation)
    assert caught.value.field == "continuation"


async def test_another_users_continuation_is_refused(records: Records, user: User) -> None:
    for number in range(1, 4):
        await records.create(make(user, number))
    page = await records.page(user, 2, None)
    with pytest.raises(InvalidRequest):
        await records.page(User("other@example.com"), 2, page.continuation)


async def test_unfinished_records_are_those_with_an_expired_lease(records: Records, user: User) -> None:
    await records.create(make(user, 1, lease_expires_at=PAST))
    await records.create(make(user, 2, lease_expires_at=LATER))
    await records.create(make(user, 3, status=Status.SUCCEEDED, lease_expires_at=None))
    await records.create(make(user, 4, status=Status.DELETING, lease_expires_at=PAST))
    await records.create(make(user, 5, status=Status.DELETING, lease_expires_at=LATER))
    found = {record.id for record in await records.unfinished() if record.user_id == user.id}
    assert found == {"gen-1", "gen-4"}


async def test_records_under_way_are_those_that_may_still_cost_money(records: Records, user: User) -> None:
    await records.create(make(user, 1, lease_owner=None, lease_expires_at=PAST))  # queued, and the queue is late
    await records.create(make(user, 2, lease_expires_at=LATER))
    await records.create(make(user, 3, status=Status.SUCCEEDED, lease_expires_at=None))
    await records.create(make(user, 4, status=Status.DELETING, lease_expires_at=PAST))
    await records.create(make(user, 5, status=Status.DELETING, lease_expires_at=LATER))
    await records.create(make(user, 6, status=Status.DELETING, lease_owner=None, lease_expires_at=LATER))
    assert {record.id for record in await records.under_way(user)} == {"gen-1", "gen-2", "gen-5"}
    assert {"gen-1", "gen-2", "gen-5"} <= {record.id for record in await records.under_way_of_all_users()}


async def test_document_of_a_completed_record_has_no_lease(records: Records, user: User) -> None:
    record = await records.create(make(user))
    item = to_document(record.failed(Failure.of(NoImage()), (), (), PAST))
    assert "leaseExpiresAt" not in item
    assert "leaseExpiresAt" in to_document(record)


def test_repeated_generation_keeps_every_billed_attempt_and_few_others(user: User) -> None:
    record = make(user)
    for number in range(100):
        billed = Attempt("m", "no_image", 1, Usage(1, 1, 0.1), id=f"run{number}-1")
        made = (Attempt("m", "model_unavailable", 1, id=f"run{number}-0"), billed)
        record = record.failed(Failure.of(NoImage()), made, (), PAST).reopened("me", LATER, 0.2)
    assert len(record.attempts) == 100
    assert all(attempt.usage for attempt in record.attempts)
    assert make(user).failed(Failure.of(NoImage()), made, (), PAST).reopened("me", LATER, 0.2).attempts == made
