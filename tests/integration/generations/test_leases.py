"""Leases: renewed while a generation runs, lost only to another process, compared by the database's clock."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from image_core.app import Application
from image_core.clock import Clock, iso
from image_core.errors import StorageUnavailable
from image_core.generations.queue_message import QueueMessage
from image_core.generations.record import Record
from image_core.generations.record_codec import from_document
from image_core.generations.result import Gone
from local.emulators import AzuritePorts
from local.gemini.script import Scripted
from tests.support.change_feed import Feed, feed
from tests.support.eventually import eventually
from tests.support.faulty_proxy import Rule, blob_error, cosmos_not_found
from tests.support.harness import Harness, harness
from tests.support.hosts import replaces_record
from tests.support.shifted_clock import Shifted

NEVER = datetime.min.replace(tzinfo=UTC)


@pytest.fixture
async def product(azurite_ports: AzuritePorts, cosmos_url: str) -> AsyncIterator[Harness]:
    """Use the shortest lease, which is renewed every second."""
    async with harness(azurite_ports, cosmos_url, LEASE_SECONDS="3") as running:
        yield running


@pytest.fixture
async def records(product: Harness) -> AsyncIterator[Feed]:
    async with feed(product) as running:
        yield running


def reads_record(method: str, path: str) -> bool:
    return method == "GET" and "/generations/docs/gen-" in path


async def only_record(records: Feed) -> Record:
    (document,) = await records.changed()
    return from_document(document)


async def lease_expiry(records: Feed) -> datetime:
    return (await only_record(records)).lease_expires_at or NEVER


async def test_lease_is_renewed_while_its_generation_runs(product: Harness, records: Feed) -> None:
    release = asyncio.Event()
    product.blobs.rule(Rule(lambda method, path: method == "PUT" and "/catafract/" in path, before=release.wait))
    running = asyncio.create_task(product.generate())
    await product.called()
    first = await lease_expiry(records)

    async def renewed() -> bool:
        return await lease_expiry(records) >= first + timedelta(seconds=4)

    await eventually(renewed)
    record_id = (await only_record(records)).id
    assert [each for each in await product.app.find_unfinished() if record_id in each] == []
    async with product.another() as other:
        await other.app.resume(QueueMessage(record_id, product.email).to_json().encode())
    assert len(product.fake_gemini.calls) == 1
    release.set()
    assert (await running).status == 200
    assert "leaseExpiresAt" not in (await records.changed())[0]


async def test_generation_goes_on_after_a_failed_renewal(product: Harness) -> None:
    product.fake_gemini.script.add(Scripted(delay=3))
    lost = product.cosmos.rule(Rule(replaces_record, times=4, forward=False, deliver=False))
    assert (await product.generate()).status == 200
    assert lost.hits > 0
    assert len(product.fake_gemini.calls) == 1


async def test_process_that_lost_its_lease_answers_with_the_image_of_the_other(product: Harness, records: Feed) -> None:
    product.fake_gemini.script.add(Scripted(delay=20))
    waiting = asyncio.create_task(product.generate())
    await product.called()
    product.cosmos.rules.append(no_renewal := Rule(replaces_record, times=1000, forward=False, deliver=False))
    past = {**(await records.changed())[0], "leaseExpiresAt": "2026-01-01T00:00:00.000Z"}
    await records.edit(past)
    no_renewal.times = 0
    async with product.another() as other:
        await other.app.resume(QueueMessage(past["id"], product.email).to_json().encode())
    made = await asyncio.wait_for(waiting, 15)
    assert (made.status, made.json["warnings"]) == (200, [])
    assert len(product.fake_gemini.calls) == 2
    stored = await only_record(records)
    assert [attempt.outcome for attempt in stored.attempts] == ["lost", "ok"]
    assert stored.attempts[0].estimated_usd == stored.expected_usd
    today = (await product.call("GET", "/api/usage")).json["today"]
    assert (today["calls"], today["images"], today["unpricedCalls"]) == (2, 1, 1)


async def test_generation_whose_record_was_removed_is_abandoned(product: Harness, records: Feed) -> None:
    product.fake_gemini.script.add(Scripted(delay=20))
    waiting = asyncio.create_task(product.generate())
    await product.called()
    stored = await only_record(records)
    await product.app.components.records.delete(stored)
    gone = await asyncio.wait_for(waiting, 15)
    assert (gone.status, gone.json["id"]) == (Gone.status, stored.id)


async def test_lease_of_a_deleted_generation_is_renewed_until_its_process_ends(product: Harness, records: Feed) -> None:
    product.fake_gemini.script.add(Scripted(delay=5))
    waiting = asyncio.create_task(product.generate(headers={"Idempotency-Key": "deleted"}))
    await product.called()
    stored = await only_record(records)
    await product.call("DELETE", f"/api/generations/{stored.id}")
    for document in await records.changed():
        await records.edit({**document, "leaseExpiresAt": iso(stored.lease_expires_at or NEVER)})

    async def renewed() -> bool:
        return await lease_expiry(records) > (stored.lease_expires_at or NEVER)

    await eventually(renewed)
    assert (await waiting).status == Gone.status
    assert await records.changed() == []
    assert await product.blob_names("catafract", stored.blob_stem) == []


async def test_host_with_a_clock_ahead_claims_no_running_generation(product: Harness, records: Feed) -> None:
    product.fake_gemini.released.clear()
    running = asyncio.create_task(product.generate())
    await product.called()
    record_id = (await only_record(records)).id
    async with clock_of(product, timedelta(minutes=10)) as ahead:
        assert [each for each in await ahead.app.find_unfinished() if record_id in each] == []
        await ahead.app.resume(QueueMessage(record_id, product.email).to_json().encode())
    product.fake_gemini.released.set()
    assert (await running).status == 200
    assert len(product.fake_gemini.calls) == 1


@pytest.mark.parametrize("minutes", [-10, 10])
async def test_host_with_a_wrong_clock_writes_correct_leases(minutes: int, product: Harness, records: Feed) -> None:
    product.fake_gemini.released.clear()
    async with clock_of(product, timedelta(minutes=minutes)) as wrong:
        running = asyncio.create_task(wrong.generate())
        await product.called()
        left = await lease_expiry(records) - datetime.now(UTC)
        assert timedelta(0) < left < timedelta(seconds=5)
        product.fake_gemini.released.set()
        assert (await running).status == 200


class clock_of:  # noqa: N801 - used as a function
    """The application on a host whose wall clock differs by `difference`."""

    def __init__(self, product: Harness, difference: timedelta) -> None:
        self._product = product
        self._difference = difference

    async def __aenter__(self) -> Harness:
        def now() -> datetime:
            return datetime.now(UTC) + self._difference

        # The session must be valid at the host's time, too.
        product = self._product
        self._app = Application(product.environment, Clock(now=now))
        return Shifted(
            self._app,
            product.fake_gemini,
            product.cosmos,
            product.blobs,
            product.environment,
            product.email,
            product.blob_base,
            now,
        )

    async def __aexit__(self, *_: object) -> None:
        await self._app.close()


async def test_claim_without_a_model_call_does_not_count_as_an_attempt(product: Harness) -> None:
    queued = await product.generate(headers={"Prefer": "respond-async"})
    outage = product.blobs.rule(
        Rule(
            lambda method, path: method == "GET" and "/inputs/" in path,
            1000,
            answer=blob_error(404, "ContainerNotFound"),
        )
    )
    for _ in range(3):
        with pytest.raises(StorageUnavailable):
            await product.app.resume(queued.enqueue[0].encode())
        record = await product.record(queued.json["id"])
        assert record is not None
        assert (record["leaseOwner"], record["attemptCount"]) == (None, 0)
    outage.times = 0
    await product.app.resume(queued.enqueue[0].encode())
    made = (await product.call("GET", f"/api/generations/{queued.json['id']}")).json
    assert made["status"] == "succeeded"
    assert len(product.fake_gemini.calls) == 1


async def test_failure_right_after_a_claim_releases_the_lease(product: Harness) -> None:
    queued = await product.generate(headers={"Prefer": "respond-async"})
    missing = blob_error(404, "ContainerNotFound")
    product.blobs.rule(Rule(lambda _, path: "comp=list" in path and "generated-" in path, 20, answer=missing))
    with pytest.raises(StorageUnavailable):
        await product.app.resume(queued.enqueue[0].encode())
    record = await product.record(queued.json["id"])
    assert record is not None
    assert (record["status"], record["leaseOwner"]) == ("running", None)


async def test_message_for_a_record_that_is_not_readable_yet_is_returned_to_the_queue(product: Harness) -> None:
    queued = await product.generate(headers={"Prefer": "respond-async"})
    late = product.cosmos.rule(Rule(reads_record, times=1, answer=cosmos_not_found(0)))
    with pytest.raises(StorageUnavailable):
        await product.app.resume(queued.enqueue[0].encode())
    assert late.hits == 1
    await product.app.resume(queued.enqueue[0].encode())
    assert len(product.fake_gemini.calls) == 1


async def test_old_message_for_a_deleted_record_is_completed(product: Harness) -> None:
    queued = await product.generate(headers={"Prefer": "respond-async"})
    await product.call("DELETE", f"/api/generations/{queued.json['id']}")
    with pytest.raises(StorageUnavailable):
        await product.app.resume(queued.enqueue[0].encode())
    old = QueueMessage(queued.json["id"], product.email, datetime.now(UTC) - timedelta(seconds=61)).to_json()
    await product.app.resume(old.encode())
    assert json.loads(old)["id"] == json.loads(queued.enqueue[0])["id"]
    assert product.fake_gemini.calls == []


@pytest.mark.parametrize("key", [{}, {"Idempotency-Key": "key"}])
async def test_new_generation_that_is_not_found_is_read_again(key: dict[str, str], product: Harness) -> None:
    queued = await product.generate(headers={"Prefer": "respond-async", **key})
    late = product.cosmos.rule(Rule(reads_record, times=2, answer=cosmos_not_found(0)))
    assert (await product.call("GET", f"/api/generations/{queued.json['id']}")).status == 200
    assert late.hits == 2


async def test_record_with_an_old_id_is_read_once(product: Harness) -> None:
    old = f"gen-{int((datetime.now(UTC) - timedelta(minutes=2)).timestamp() * 1000)}-00"
    await product.app.components.records.find(await product.app.sessions.user({"cookie": product.cookie}), "gen-0")
    before = len(product.cosmos.requests)
    assert (await product.call("GET", f"/api/generations/{old}")).status == 404
    assert len(product.cosmos.requests) == before + 1
