"""Nothing that was paid for is lost, wherever the host dies or what is deleted: docs/reliability.md, row by row."""

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


async def one_picture_and_the_client_gets_it(faults: Rig, calls: int) -> dict[str, Any]:
    """One finished record, one image of it, and a client that asks again with its key has it: `calls` in all."""
    status, body = await faults.post(faults.hosts[-1])
    assert status == 200, body
    records = await faults.records()
    assert [record.status for record in records] == ["succeeded"]
    stem = records[0].blob_stem
    assert len([name for name in await faults.images() if name.startswith(f"{stem}.")]) == 1
    assert faults.model_calls == calls
    await faults.assert_reconciled()
    return body


async def test_killed_between_the_input_copies_and_the_record_pays_nothing(faults: Rig) -> None:
    host = await faults.start_host()
    faults.product.cosmos.rule(faults.kill_rule(host, creates_record, when="before", forward=False))
    assert await faults.post(host) == (0, {})
    assert faults.model_calls == 0
    await faults.start_host()
    await one_picture_and_the_client_gets_it(faults, calls=1)


async def test_killed_after_the_record_and_before_the_call_pays_once(faults: Rig) -> None:
    host = await faults.start_host()
    faults.product.cosmos.rule(faults.kill_rule(host, creates_record, when="after"))
    assert await faults.post(host) == (0, {})
    await faults.start_host()
    await faults.finished()
    await one_picture_and_the_client_gets_it(faults, calls=1)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "stopped"])
async def test_ended_during_the_model_call_pays_twice_at_most(faults: Rig, how: signal.Signals) -> None:
    faults.product.fake_gemini.latency = 5
    host = await faults.start_host()
    posting = asyncio.create_task(faults.post(host))
    await faults.called()
    host.signal(how)
    await posting
    assert await asyncio.to_thread(host.process.wait) == (0 if how == signal.SIGTERM else -signal.SIGKILL)
    faults.product.fake_gemini.latency = 0
    await faults.start_host()
    await faults.finished()
    await one_picture_and_the_client_gets_it(faults, calls=2)


async def test_killed_after_a_202_another_goes_on_when_the_lease_is_over(faults: Rig) -> None:
    """What Azure does at scale-in: an idle instance may be killed without notice, and a 202 leaves it idle."""
    faults.product.fake_gemini.latency = 8
    host = await faults.start_host()
    status, body = await faults.post(host, Prefer="wait=1")
    assert status == 202
    await faults.called()
    await host.kill()
    record = await faults.product.record(body["id"])
    assert record is not None
    assert record["leaseOwner"] is not None
    faults.product.fake_gemini.latency = 0
    await faults.start_host()
    await faults.finished()
    await one_picture_and_the_client_gets_it(faults, calls=2)


async def test_stopped_after_a_202_another_goes_on_at_once(faults: Rig) -> None:
    faults.product.fake_gemini.latency = 8
    host = await faults.start_host()
    status, body = await faults.post(host, Prefer="wait=1")
    assert status == 202
    await faults.called()
    host.signal(signal.SIGTERM)
    assert await asyncio.to_thread(host.process.wait) == 0
    record = await faults.product.record(body["id"])
    assert record is not None
    assert record["leaseOwner"] is None  # given back: the recovery need not wait for it
    faults.product.fake_gemini.latency = 0
    await faults.start_host()
    await faults.finished()
    await one_picture_and_the_client_gets_it(faults, calls=2)


async def test_a_generation_that_takes_longer_than_its_lease_is_run_once(faults: Rig) -> None:
    faults.product.fake_gemini.latency = LEASE + 3
    host = await faults.start_host()
    await faults.start_host()  # whose recovery looks every two seconds
    status, _ = await faults.post(host)
    assert status == 200
    await one_picture_and_the_client_gets_it(faults, calls=1)


async def test_killed_after_the_picture_is_stored_pays_once(faults: Rig) -> None:
    host = await faults.start_host()
    faults.product.blobs.rule(faults.kill_rule(host, stores_image, when="after"))
    assert await faults.post(host) == (0, {})
    await faults.start_host()
    await faults.finished()
    body = await one_picture_and_the_client_gets_it(faults, calls=1)
    assert body["warnings"][0].startswith("recovered")
    assert body["text"] is None
    assert body["usage"] is None or body["usage"]["costUsd"] == faults.product.fake_gemini.billed_usd


async def test_killed_between_conversion_and_store_ends_in_the_wanted_format(faults: Rig) -> None:
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


async def test_killed_during_the_finish_pays_once(faults: Rig) -> None:
    host = await faults.start_host()
    stored = asyncio.Event()

    async def note() -> None:
        stored.set()

    faults.product.blobs.rule(Rule(stores_image, after=note))
    # The bill is written beside the upload of the image: what is meant is the first write behind both.
    finishes = lambda method, path: stored.is_set() and replaces_record(method, path)  # noqa: E731 - a condition, used once
    faults.product.cosmos.rule(faults.kill_rule(host, finishes, when="before", forward=False))
    assert await faults.post(host) == (0, {})
    await faults.start_host()
    await faults.finished()
    await one_picture_and_the_client_gets_it(faults, calls=1)


async def test_a_finish_whose_acknowledgement_is_lost_is_a_finish(faults: Rig) -> None:
    host = await faults.start_host()
    faults.product.cosmos.rule(Rule(replaces_record, deliver=False))
    status, body = await faults.post(host)
    assert (status, body["warnings"]) == (200, [])
    await one_picture_and_the_client_gets_it(faults, calls=1)


async def test_without_the_database_at_the_end_the_client_has_its_picture(faults: Rig) -> None:
    faults.product.fake_gemini.latency = 1
    host = await faults.start_host()
    posting = asyncio.create_task(faults.post(host))
    await faults.called()
    faults.product.cosmos.unreachable = True
    restored = asyncio.get_running_loop().call_later(30, faults.product.cosmos.reconnect)
    status, body = await posting
    assert status == 200
    assert body["imageBase64"]
    assert body["warnings"][0].startswith("record_pending")
    assert faults.product.cosmos.unreachable
    await faults.until(lambda: not faults.product.cosmos.unreachable)
    restored.cancel()
    await faults.finished()
    await one_picture_and_the_client_gets_it(faults, calls=1)


async def test_without_the_storage_at_the_end_the_picture_waits_in_memory(
    azurite_ports: AzuritePorts, cosmos_url: str
) -> None:
    # The outage takes longer than a lease: renewing it goes on.
    async with rig(azurite_ports, cosmos_url) as faults:
        faults.product.fake_gemini.latency = 1
        host = await faults.start_host()
        posting = asyncio.create_task(faults.post(host))
        await faults.called()
        faults.product.blobs.unreachable = True
        asyncio.get_running_loop().call_later(10, faults.product.blobs.reconnect)
        status, body = await posting
        assert (status, body["warnings"]) == (200, [])
        await one_picture_and_the_client_gets_it(faults, calls=1)


@pytest.mark.parametrize("what", ["cosmos", "blobs"])
async def test_without_storage_at_the_start_nothing_is_paid(faults: Rig, what: str) -> None:
    host = await faults.start_host()
    proxy = getattr(faults.product, what)
    proxy.unreachable = True
    status, body = await faults.post(host)
    assert (status, body["code"], body["retryable"]) == (503, "storage_unavailable", True)
    assert faults.model_calls == 0
    proxy.unreachable = False
    await one_picture_and_the_client_gets_it(faults, calls=1)


async def test_killed_during_the_recovery_itself_ends_in_a_clear_failure_that_a_retry_mends(faults: Rig) -> None:
    faults.product.fake_gemini.latency = 6
    for calls in (1, 2):
        host = await faults.start_host()
        posting = asyncio.create_task(faults.post(host)) if calls == 1 else None
        await faults.until(lambda calls=calls: faults.model_calls >= calls)
        await host.kill()
        if posting is not None:
            await posting
    faults.product.fake_gemini.latency = 0
    host = await faults.start_host()
    await faults.finished()
    records = await faults.records()
    failed = await faults.product.record(records[0].id)
    assert failed is not None
    assert (failed["error"]["code"], failed["error"]["retryable"]) == ("interrupted", True)
    assert faults.model_calls == 2
    await one_picture_and_the_client_gets_it(faults, calls=3)


async def test_a_process_that_wakes_with_a_picture_in_hand_after_its_lease_deletes_it(faults: Rig) -> None:
    host = await faults.start_host()
    awake = asyncio.Event()

    async def sleep() -> None:
        host.signal(signal.SIGSTOP)
        await awake.wait()

    faults.product.blobs.rule(Rule(stores_image, before=sleep))
    posting = asyncio.create_task(faults.post(host))
    await faults.called()
    faults.product.fake_gemini.script.add(
        finished("STOP", part(sample_image()))
    )  # a JPEG: another name than the first one's
    other = await faults.start_host()
    await faults.finished()
    awake.set()
    host.signal(signal.SIGCONT)
    status, late = await posting
    assert status == 200
    assert late["imageUrl"].endswith(".jpg")
    faults.hosts.append(other)
    body = await one_picture_and_the_client_gets_it(faults, calls=2)
    assert body["imageUrl"] == late["imageUrl"]


async def test_deleted_while_it_runs_nothing_is_left(faults: Rig) -> None:
    faults.product.fake_gemini.latency = 3
    host = await faults.start_host()
    posting = asyncio.create_task(faults.post(host))
    await faults.called()
    (record,) = await faults.records()
    assert await faults.call(host, "DELETE", f"generations/{record.id}") == (204, None)
    assert (await faults.call(host, "GET", f"generations/{record.id}"))[0] == 404
    assert (await faults.call(host, "DELETE", f"generations/{record.id}"))[0] == 404
    status, body = await posting
    assert (status, body["code"], body["id"]) == (404, "not_found", record.id)
    await faults.until(lambda: nothing_left(faults, record.blob_stem))
    await faults.assert_reconciled()


async def nothing_left(faults: Rig, stem: str) -> bool:
    pictures = [name for name in await faults.images() if name.startswith(stem)]
    return not pictures and not await faults.records()


async def test_killed_during_a_deletion_the_rest_is_deleted_by_another(faults: Rig) -> None:
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


async def test_killed_while_a_running_generation_is_deleted_nothing_is_left(faults: Rig) -> None:
    faults.product.fake_gemini.latency = 4
    host = await faults.start_host()
    posting = asyncio.create_task(faults.post(host))
    await faults.called()
    (record,) = await faults.records()
    faults.product.blobs.rule(faults.kill_rule(host, stores_image, when="after"))
    assert (await faults.call(host, "DELETE", f"generations/{record.id}"))[0] == 204
    assert await posting == (0, {})
    await faults.start_host()
    await faults.until(lambda: nothing_left(faults, record.blob_stem))
    await faults.assert_reconciled()


async def test_fifty_clients_with_one_key_pay_once_and_have_the_same(faults: Rig) -> None:
    faults.product.fake_gemini.latency = 2
    hosts = [await faults.start_host(), await faults.start_host()]
    answers = await asyncio.gather(*(faults.post(hosts[number % 2], "one key") for number in range(50)))
    assert {status for status, _ in answers} == {400}
    answers = await asyncio.gather(*(faults.post(hosts[number % 2], "one-key") for number in range(50)))
    assert {status for status, _ in answers} == {200}
    assert len({body["imageBase64"] for _, body in answers}) == 1
    assert len({body["id"] for _, body in answers}) == 1
    assert faults.model_calls == 1


async def test_two_hosts_side_by_side_recover_a_generation_once(faults: Rig) -> None:
    host = await faults.start_host()
    faults.product.cosmos.rule(faults.kill_rule(host, creates_record, when="after"))
    await faults.post(host)
    await asyncio.gather(faults.start_host(), faults.start_host())
    await faults.finished()
    await one_picture_and_the_client_gets_it(faults, calls=1)
