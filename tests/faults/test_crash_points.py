"""The rows of docs/reliability.md: no paid image is lost, wherever a host is killed."""

import asyncio
import signal
from collections.abc import AsyncIterator
from typing import Any

import pytest

from local.emulators import AzuritePorts
from local.gemini.script import finished
from tests.support.faulty_proxy import Rule
from tests.support.gemini_responses import part
from tests.support.harness import sample_image
from tests.support.hosts import LEASE, Rig, creates_record, replaces_record, rig, stores_image

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
async def faults(azurite_ports: AzuritePorts, cosmos_url: str) -> AsyncIterator[Rig]:
    async with rig(azurite_ports, cosmos_url) as made:
        yield made


async def assert_one_image(faults: Rig, calls: int) -> dict[str, Any]:
    """Repeat the request with its key, and check for one succeeded record, one image and `calls` model calls."""
    status, body = await faults.post(faults.hosts[-1])
    assert status == 200, body
    records = await faults.records()
    assert [record.status for record in records] == ["succeeded"]
    stem = records[0].blob_stem
    assert len([name for name in await faults.images() if name.startswith(f"{stem}.")]) == 1
    assert faults.model_calls == calls
    await faults.assert_reconciled()
    return body


async def test_kill_between_the_input_copies_and_the_record_pays_nothing(faults: Rig) -> None:
    host = await faults.start_host()
    faults.product.cosmos.rule(faults.kill_rule(host, creates_record, when="before", forward=False))
    assert await faults.post(host) == (0, {})
    assert faults.model_calls == 0
    await faults.start_host()
    await assert_one_image(faults, calls=1)


async def test_kill_after_the_record_and_before_the_call_pays_once(faults: Rig) -> None:
    host = await faults.start_host()
    faults.product.cosmos.rule(faults.kill_rule(host, creates_record, when="after"))
    assert await faults.post(host) == (0, {})
    await faults.start_host()
    await faults.finished()
    await assert_one_image(faults, calls=1)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["SIGKILL", "SIGTERM"])
async def test_end_of_the_process_during_the_model_call_pays_twice_at_most(faults: Rig, number: signal.Signals) -> None:
    faults.product.fake_gemini.released.clear()
    host = await faults.start_host()
    posting = asyncio.create_task(faults.post(host))
    await faults.called()
    host.signal(number)
    await posting
    assert await asyncio.to_thread(host.process.wait) == (0 if number == signal.SIGTERM else -signal.SIGKILL)
    faults.product.fake_gemini.released.set()
    await faults.start_host()
    await faults.finished()
    await assert_one_image(faults, calls=2)


async def test_kill_after_a_202_is_recovered_when_the_lease_has_expired(faults: Rig) -> None:
    """At scale-in, Azure may kill an idle instance without notice, and after a 202 an instance counts as idle."""
    faults.product.fake_gemini.released.clear()
    host = await faults.start_host()
    status, body = await faults.post(host, Prefer="wait=1")
    assert status == 202
    await faults.called()
    await host.kill()
    record = await faults.product.record(body["id"])
    assert record is not None
    assert record["leaseOwner"] is not None
    faults.product.fake_gemini.released.set()
    await faults.start_host()
    await faults.finished()
    await assert_one_image(faults, calls=2)


async def test_shutdown_after_a_202_is_recovered_at_once(faults: Rig) -> None:
    faults.product.fake_gemini.released.clear()
    host = await faults.start_host()
    status, body = await faults.post(host, Prefer="wait=1")
    assert status == 202
    await faults.called()
    host.signal(signal.SIGTERM)
    assert await asyncio.to_thread(host.process.wait) == 0
    record = await faults.product.record(body["id"])
    assert record is not None
    assert record["leaseOwner"] is None  # released: the recovery need not wait for its expiry
    faults.product.fake_gemini.released.set()
    await faults.start_host()
    await faults.finished()
    await assert_one_image(faults, calls=2)


async def test_generation_that_takes_longer_than_its_lease_runs_once(faults: Rig) -> None:
    faults.product.fake_gemini.latency = LEASE + 3
    host = await faults.start_host()
    await faults.start_host()  # whose recovery runs every two seconds
    status, _ = await faults.post(host)
    assert status == 200
    await assert_one_image(faults, calls=1)


async def test_kill_after_the_image_is_stored_pays_once(faults: Rig) -> None:
    host = await faults.start_host()
    faults.product.blobs.rule(faults.kill_rule(host, stores_image, when="after"))
    assert await faults.post(host) == (0, {})
    await faults.start_host()
    await faults.finished()
    body = await assert_one_image(faults, calls=1)
    assert body["warnings"][0].startswith("recovered")
    assert body["text"] is None
    assert body["usage"] is None or body["usage"]["costUsd"] == faults.product.fake_gemini.billed_usd


async def test_kill_between_conversion_and_storing_gives_the_requested_format(faults: Rig) -> None:
    host = await faults.start_host()
    options = {"outputFormat": "webp", "outputQuality": 80}
    faults.product.blobs.rule(faults.kill_rule(host, stores_image, when="before", forward=False))
    assert await faults.post(host, options=options) == (0, {})
    await faults.start_host()
    await faults.finished()
    status, body = await faults.post(faults.hosts[-1], options=options)
    assert (status, body["mimeType"], body["warnings"]) == (200, "image/webp", [])
    (record,) = await faults.records()
    stored = [name for name in await faults.images() if record.blob_stem in name]
    assert stored == [f"{record.blob_stem}.webp"]
    assert faults.model_calls == 2
    await faults.assert_reconciled()


async def test_kill_before_the_completion_is_written_pays_once(faults: Rig) -> None:
    host = await faults.start_host()
    stored = asyncio.Event()

    async def set_stored() -> None:
        stored.set()

    faults.product.blobs.rule(Rule(stores_image, after=set_stored))
    # The billed call is written during the upload; the completion is the first write after the upload.

    def completes(method: str, path: str) -> bool:
        return stored.is_set() and replaces_record(method, path)

    faults.product.cosmos.rule(faults.kill_rule(host, completes, when="before", forward=False))
    assert await faults.post(host) == (0, {})
    await faults.start_host()
    await faults.finished()
    await assert_one_image(faults, calls=1)


async def test_completion_whose_acknowledgement_is_lost_counts(faults: Rig) -> None:
    host = await faults.start_host()
    faults.product.cosmos.rule(Rule(replaces_record, deliver=False))
    status, body = await faults.post(host)
    assert (status, body["warnings"]) == (200, [])
    await assert_one_image(faults, calls=1)


async def test_database_outage_before_the_completion_still_answers_with_the_image(faults: Rig) -> None:
    faults.product.fake_gemini.released.clear()
    host = await faults.start_host()
    posting = asyncio.create_task(faults.post(host))
    await faults.called()
    faults.product.cosmos.unreachable = True
    faults.product.fake_gemini.released.set()
    restored = asyncio.get_running_loop().call_later(30, faults.product.cosmos.reconnect)
    status, body = await posting
    assert status == 200
    assert body["imageBase64"]
    assert body["warnings"][0].startswith("record_pending")
    assert faults.product.cosmos.unreachable
    await faults.until(lambda: not faults.product.cosmos.unreachable)
    restored.cancel()
    await faults.finished()
    await assert_one_image(faults, calls=1)


async def test_storage_outage_before_the_image_is_stored_keeps_it_in_memory(
    azurite_ports: AzuritePorts, cosmos_url: str
) -> None:
    # The outage takes longer than a lease, which is renewed meanwhile.
    async with rig(azurite_ports, cosmos_url) as faults:
        faults.product.fake_gemini.released.clear()
        host = await faults.start_host()
        posting = asyncio.create_task(faults.post(host))
        await faults.called()
        faults.product.blobs.unreachable = True
        faults.product.fake_gemini.released.set()
        asyncio.get_running_loop().call_later(10, faults.product.blobs.reconnect)
        status, body = await posting
        assert (status, body["warnings"]) == (200, [])
        await assert_one_image(faults, calls=1)


@pytest.mark.parametrize("service", ["cosmos", "blobs"])
async def test_outage_before_the_start_is_503_without_a_call(faults: Rig, service: str) -> None:
    host = await faults.start_host()
    proxy = getattr(faults.product, service)
    proxy.unreachable = True
    status, body = await faults.post(host)
    assert (status, body["code"], body["retryable"]) == (503, "storage_unavailable", True)
    assert faults.model_calls == 0
    proxy.unreachable = False
    await assert_one_image(faults, calls=1)


async def test_kill_during_the_recovery_fails_the_generation_and_a_retry_succeeds(faults: Rig) -> None:
    faults.product.fake_gemini.released.clear()
    for calls in (1, 2):
        host = await faults.start_host()
        posting = asyncio.create_task(faults.post(host)) if calls == 1 else None
        await faults.until(lambda calls=calls: faults.model_calls >= calls)
        await host.kill()
        if posting is not None:
            await posting
    faults.product.fake_gemini.released.set()
    host = await faults.start_host()
    await faults.finished()
    records = await faults.records()
    failed = await faults.product.record(records[0].id)
    assert failed is not None
    assert (failed["error"]["code"], failed["error"]["retryable"]) == ("interrupted", True)
    assert faults.model_calls == 2
    await assert_one_image(faults, calls=3)


async def test_process_suspended_past_its_lease_deletes_its_late_image(faults: Rig) -> None:
    host = await faults.start_host()
    resumed = asyncio.Event()

    async def suspend() -> None:
        host.signal(signal.SIGSTOP)
        await resumed.wait()

    faults.product.blobs.rule(Rule(stores_image, before=suspend))
    posting = asyncio.create_task(faults.post(host))
    await faults.called()
    faults.product.fake_gemini.script.add(
        finished("STOP", part(sample_image()))
    )  # a JPEG, whose name differs from that of the first image
    other = await faults.start_host()
    await faults.finished()
    resumed.set()
    host.signal(signal.SIGCONT)
    status, late = await posting
    assert status == 200
    assert late["imageUrl"].endswith(".jpg")
    faults.hosts.append(other)
    body = await assert_one_image(faults, calls=2)
    assert body["imageUrl"] == late["imageUrl"]


async def test_deletion_while_it_runs_leaves_nothing(faults: Rig) -> None:
    faults.product.fake_gemini.released.clear()
    host = await faults.start_host()
    posting = asyncio.create_task(faults.post(host))
    await faults.called()
    (record,) = await faults.records()
    assert await faults.call(host, "DELETE", f"generations/{record.id}") == (204, None)
    assert (await faults.call(host, "GET", f"generations/{record.id}"))[0] == 404
    assert (await faults.call(host, "DELETE", f"generations/{record.id}"))[0] == 404
    faults.product.fake_gemini.released.set()
    status, body = await posting
    assert (status, body["code"], body["id"]) == (404, "not_found", record.id)
    await faults.until(lambda: nothing_left(faults, record.blob_stem))
    await faults.assert_reconciled()


async def nothing_left(faults: Rig, stem: str) -> bool:
    images = [name for name in await faults.images() if name.startswith(stem)]
    return not images and not await faults.records()


async def test_kill_during_a_deletion_is_completed_by_another_host(faults: Rig) -> None:
    host = await faults.start_host()
    status, body = await faults.post(host)
    assert status == 200
    (record,) = await faults.records()
    faults.product.cosmos.rule(faults.kill_rule(host, replaces_record, when="after"))
    with pytest.raises(OSError):
        await faults.call(host, "DELETE", f"generations/{body['id']}")
    other = await faults.start_host()
    assert (await faults.call(other, "GET", f"generations/{body['id']}"))[0] == 404
    await faults.until(lambda: nothing_left(faults, record.blob_stem))
    await faults.assert_reconciled()


async def test_kill_during_a_generation_that_is_deleted_leaves_nothing(faults: Rig) -> None:
    faults.product.fake_gemini.released.clear()
    host = await faults.start_host()
    posting = asyncio.create_task(faults.post(host))
    await faults.called()
    (record,) = await faults.records()
    faults.product.blobs.rule(faults.kill_rule(host, stores_image, when="after"))
    assert (await faults.call(host, "DELETE", f"generations/{record.id}"))[0] == 204
    faults.product.fake_gemini.released.set()
    assert await posting == (0, {})
    await faults.start_host()
    await faults.until(lambda: nothing_left(faults, record.blob_stem))
    await faults.assert_reconciled()


async def test_fifty_requests_with_one_key_pay_once_and_get_the_same_image(faults: Rig) -> None:
    faults.product.fake_gemini.latency = 2
    hosts = [await faults.start_host(), await faults.start_host()]
    answers = await asyncio.gather(*(faults.post(hosts[number % 2], "one key") for number in range(50)))
    assert {status for status, _ in answers} == {400}
    answers = await asyncio.gather(*(faults.post(hosts[number % 2], "one-key") for number in range(50)))
    assert {status for status, _ in answers} == {200}
    assert len({body["imageBase64"] for _, body in answers}) == 1
    assert len({body["id"] for _, body in answers}) == 1
    assert faults.model_calls == 1


async def test_two_hosts_recover_a_generation_once(faults: Rig) -> None:
    host = await faults.start_host()
    faults.product.cosmos.rule(faults.kill_rule(host, creates_record, when="after"))
    await faults.post(host)
    await asyncio.gather(faults.start_host(), faults.start_host())
    await faults.finished()
    await assert_one_image(faults, calls=1)
