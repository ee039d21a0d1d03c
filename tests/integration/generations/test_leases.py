"""Leases: renewed while a generation runs, lost to another process only, and compared by the database's clock."""

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
from tests.support.shifted_clock import Shifted

NEVER = datetime.min.replace(tzinfo=UTC)


@pytest.fixture
async def product(azurite_ports: AzuritePorts, cosmos_url: str) -> AsyncIterator[Harness]:
    """With the shortest lease: it is renewed every second."""
    async with harness(azurite_ports, cosmos_url, LEASE_SECONDS="3") as running:
        yield running


@pytest.fixture
async def records(product: Harness) -> AsyncIterator[Feed]:
    async with feed(product) as running:
        yield running


def replaces(method: str, path: str) -> bool:
    return method == "PUT" and "/docs/" in path


def reads_a_record(method: str, path: str) -> bool:
    return method == "GET" and "/generations/docs/gen-" in path


async def the_record(records: Feed) -> Record:
    (document,) = await records.changed()
    return from_document(document)


async def expires(records: Feed) -> datetime:
    return (await the_record(records)).lease_expires_at or NEVER


async def test_a_lease_is_renewed_while_its_generation_runs(product: Harness, records: Feed) -> None:
    release = asyncio.Event()
    product.blobs.rule(Rule(lambda method, path: method == "PUT" and "/catafract/" in path, before=release.wait))
    running = asyncio.create_task(product.generate())
    await product.called()
    first = await expires(records)

    async def renewed() -> bool:
        return await expires(records) >= first + timedelta(seconds=4)

    await eventually(renewed)
    record_id = (await the_record(records)).id
    assert [each for each in await product.app.find_unfinished() if record_id in each] == []
    async with product.another() as other:
        await other.app.resume(QueueMessage(record_id, product.email).to_json().encode())
    assert len(product.fake_gemini.calls) == 1
    release.set()
    assert (await running).status == 200
    assert "leaseExpiresAt" not in (await records.changed())[0]


async def test_a_renewal_that_fails_is_no_reason_to_stop(product: Harness) -> None:
    product.fake_gemini.script.add(Scripted(delay=3))
    lost = product.cosmos.rule(Rule(replaces, times=4, forward=False, deliver=False))
    assert (await product.generate()).status == 200
    assert lost.hits > 0
    assert len(product.fake_gemini.calls) == 1


async def test_a_process_that_loses_its_lease_to_another_stops_and_its_caller_gets_what_that_one_makes(
    product: Harness, records: Feed
) -> None:
    product.fake_gemini.script.add(Scripted(delay=20))
    waiting = asyncio.create_task(product.generate())
    await product.called()
    product.cosmos.rules.append(no_renewal := Rule(replaces, times=1000, forward=False, deliver=False))
    past = {**(await records.changed())[0], "leaseExpiresAt": "2026-01-01T00:00:00.000Z"}
    await records.edit(past)
    no_renewal.times = 0
    async with product.another() as other:
        await other.app.resume(QueueMessage(past["id"], product.email).to_json().encode())
    made = await asyncio.wait_for(waiting, 15)
    assert (made.status, made.json["warnings"]) == (200, [])
    assert len(product.fake_gemini.calls) == 2
    stored = await the_record(records)
    assert [attempt.outcome for attempt in stored.attempts] == ["lost", "ok"]
    assert stored.attempts[0].estimated_usd == stored.expected_usd
    today = (await product.call("GET", "/api/usage")).json["today"]
    assert (today["calls"], today["images"], today["unpricedCalls"]) == (2, 1, 1)


async def test_a_generation_that_was_removed_is_not_gone_on_with(product: Harness, records: Feed) -> None:
    product.fake_gemini.script.add(Scripted(delay=20))
    waiting = asyncio.create_task(product.generate())
    await product.called()
    stored = await the_record(records)
    await product.app.components.records.delete(stored)
    gone = await asyncio.wait_for(waiting, 15)
    assert (gone.status, gone.json["id"]) == (Gone.status, stored.id)


async def test_a_lease_outlasts_a_deletion_for_as_long_as_its_process_works(product: Harness, records: Feed) -> None:
    product.fake_gemini.script.add(Scripted(delay=5))
    waiting = asyncio.create_task(product.generate(headers={"Idempotency-Key": "deleted"}))
    await product.called()
    stored = await the_record(records)
    await product.call("DELETE", f"/api/generations/{stored.id}")
    for document in await records.changed():
        await records.edit({**document, "leaseExpiresAt": iso(stored.lease_expires_at or NEVER)})

    async def renewed() -> bool:
        return await expires(records) > (stored.lease_expires_at or NEVER)

    await eventually(renewed)
    assert (await waiting).status == Gone.status
    assert await records.changed() == []
    assert await product.blob_names("catafract", stored.blob_stem) == []


async def test_a_host_whose_clock_is_ahead_claims_nothing_that_runs(product: Harness, records: Feed) -> None:
    product.fake_gemini.script.add(Scripted(delay=4))
    running = asyncio.create_task(product.generate())
    await product.called()
    now = (await the_record(records)).id
    async with clock_of(product, timedelta(minutes=10)) as ahead:
        assert [each for each in await ahead.app.find_unfinished() if now in each] == []
        await ahead.app.resume(QueueMessage(now, product.email).to_json().encode())
    assert (await running).status == 200
    assert len(product.fake_gemini.calls) == 1


@pytest.mark.parametrize("minutes", [-10, 10])
async def test_the_leases_of_a_host_with_a_wrong_clock_are_right(minutes: int, product: Harness, records: Feed) -> None:
    product.fake_gemini.script.add(Scripted(delay=2))
    async with clock_of(product, timedelta(minutes=minutes)) as wrong:
        running = asyncio.create_task(wrong.generate())
        await product.called()
        left = await expires(records) - datetime.now(UTC)
        assert timedelta(0) < left < timedelta(seconds=5)
        assert (await running).status == 200


class clock_of:  # noqa: N801 - used as a function
    """The product on a host whose wall clock differs by `difference`."""

    def __init__(self, product: Harness, difference: timedelta) -> None:
        self._product = product
        self._difference = difference

    async def __aenter__(self) -> Harness:
        def now() -> datetime:
            return datetime.now(UTC) + self._difference

        # A session that is valid at both times: the difference is the host's and not the front end's.
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


async def test_a_claim_that_called_no_model_uses_up_no_attempt(product: Harness) -> None:
    queued = await product.generate(headers={"Prefer": "respond-async"})
    away = product.blobs.rule(
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
    away.times = 0
    await product.app.resume(queued.enqueue[0].encode())
    made = (await product.call("GET", f"/api/generations/{queued.json['id']}")).json
    assert made["status"] == "succeeded"
    assert len(product.fake_gemini.calls) == 1


async def test_a_listing_that_fails_right_after_a_claim_gives_the_lease_back(product: Harness) -> None:
    queued = await product.generate(headers={"Prefer": "respond-async"})
    missing = blob_error(404, "ContainerNotFound")
    product.blobs.rule(Rule(lambda _, path: "comp=list" in path and "generated-" in path, 20, answer=missing))
    with pytest.raises(StorageUnavailable):
        await product.app.resume(queued.enqueue[0].encode())
    record = await product.record(queued.json["id"])
    assert record is not None
    assert (record["status"], record["leaseOwner"]) == ("running", None)


async def test_a_message_for_a_record_that_is_not_readable_yet_is_given_back(product: Harness) -> None:
    queued = await product.generate(headers={"Prefer": "respond-async"})
    late = product.cosmos.rule(Rule(reads_a_record, times=1, answer=cosmos_not_found(0)))
    with pytest.raises(StorageUnavailable):
        await product.app.resume(queued.enqueue[0].encode())
    assert late.hits == 1
    await product.app.resume(queued.enqueue[0].encode())
    assert len(product.fake_gemini.calls) == 1


async def test_an_old_message_for_a_record_that_is_gone_is_done_with(product: Harness) -> None:
    queued = await product.generate(headers={"Prefer": "respond-async"})
    await product.call("DELETE", f"/api/generations/{queued.json['id']}")
    with pytest.raises(StorageUnavailable):
        await product.app.resume(queued.enqueue[0].encode())
    old = QueueMessage(queued.json["id"], product.email, datetime.now(UTC) - timedelta(seconds=61)).to_json()
    await product.app.resume(old.encode())
    assert json.loads(old)["id"] == json.loads(queued.enqueue[0])["id"]
    assert product.fake_gemini.calls == []


@pytest.mark.parametrize("key", [{}, {"Idempotency-Key": "key"}])
async def test_the_status_of_a_new_generation_is_looked_for_again(key: dict[str, str], product: Harness) -> None:
    queued = await product.generate(headers={"Prefer": "respond-async", **key})
    late = product.cosmos.rule(Rule(reads_a_record, times=2, answer=cosmos_not_found(0)))
    assert (await product.call("GET", f"/api/generations/{queued.json['id']}")).status == 200
    assert late.hits == 2


async def test_an_old_id_is_looked_for_once(product: Harness) -> None:
    old = f"gen-{int((datetime.now(UTC) - timedelta(minutes=2)).timestamp() * 1000)}-00"
    await product.app.components.records.find(await product.app.sessions.user({"cookie": product.cookie}), "gen-0")
    before = len(product.cosmos.requests)
    assert (await product.call("GET", f"/api/generations/{old}")).status == 404
    assert len(product.cosmos.requests) == before + 1
