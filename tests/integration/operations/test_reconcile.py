"""`make reconcile` finds each difference between images and records and fixes those with one right solution."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from azure.storage.blob import ContentSettings
from azure.storage.blob.aio import BlobServiceClient

from image_core.app import Application
from image_core.auth.user import User
from image_core.clock import Clock
from image_core.generations.record import Status
from image_core.generations.record_codec import to_document
from operations.reconcile import reconcile
from tests.support.harness import Harness, sample_image


def tomorrow() -> datetime:
    return datetime.now(UTC) + timedelta(days=1)


async def output(product: Harness, capsys: pytest.CaptureFixture[str], *, fix: bool = False) -> str:
    """Return what the command prints a day from now, when every image and record is old enough."""
    app = Application(product.environment, Clock(now=tomorrow))
    await reconcile(app.components.reconciliation, fix=fix)
    await app.close()
    return capsys.readouterr().out


async def test_complete_generation_is_not_listed(product: Harness, capsys: pytest.CaptureFixture[str]) -> None:
    made = (await product.generate()).json
    out = await output(product, capsys)
    assert made["id"] not in out
    assert made["imageUrl"].rsplit("/", 1)[-1] not in out


async def test_image_without_record_and_record_without_image_are_listed_and_not_changed(
    product: Harness, capsys: pytest.CaptureFixture[str]
) -> None:
    made = (await product.generate()).json
    gone = made["imageUrl"].rsplit("/", 1)[-1]
    stray = f"generated-1704067230000-{'c' * 32}.jpg"
    async with BlobServiceClient.from_connection_string(product.environment["DIRECT_STORAGE"]) as client:
        container = client.get_container_client("catafract")
        await container.delete_blob(gone)
        await container.upload_blob(stray, sample_image(), overwrite=True)
        for fix in (False, True):
            out = await output(product, capsys, fix=fix)
            assert f"CHECK  {made['id']}: this generation succeeded and its image is missing" in out
            assert f"CHECK  {stray}: this image has no record" in out
        await container.delete_blob(stray)
    await product.call("DELETE", f"/api/generations/{made['id']}")


async def test_generation_that_no_process_runs_is_resumed(product: Harness, capsys: pytest.CaptureFixture[str]) -> None:
    queued = (await product.generate(headers={"Prefer": "respond-async"})).json
    assert f"FIX    {queued['id']}: " in await output(product, capsys)
    assert f"FIXED  {queued['id']}: " in await output(product, capsys, fix=True)
    found = await product.record(queued["id"])
    assert found is not None
    assert found["status"] == "succeeded"
    assert queued["id"] not in await output(product, capsys)


async def test_cache_control_of_an_old_image_is_corrected(product: Harness, capsys: pytest.CaptureFixture[str]) -> None:
    made = (await product.generate()).json
    name = made["imageUrl"].rsplit("/", 1)[-1]
    async with BlobServiceClient.from_connection_string(product.environment["DIRECT_STORAGE"]) as client:
        blob = client.get_blob_client("catafract", name)
        old = ContentSettings(content_type="image/png", cache_control="public, max-age=31536000, immutable")
        await blob.set_http_headers(old)
        assert f"FIX    {name}: " in await output(product, capsys)
        await output(product, capsys, fix=True)
        now = (await blob.get_blob_properties()).content_settings
        assert (now.cache_control, now.content_type) == ("no-cache", "image/png")
    assert name not in await output(product, capsys)
    assert (await product.call("GET", f"/api/images/{name}")).body


async def test_outbox_entry_is_applied(product: Harness, capsys: pytest.CaptureFixture[str]) -> None:
    made = (await product.generate()).json
    parts = product.app.components
    user = User(product.email)
    record = await parts.records.read(user, made["id"])
    assert record is not None
    # The state after an outage of Cosmos DB: running, with the completion in the outbox.
    await parts.reconciliation._outbox.put(to_document(record))
    running = replace(
        record,
        status=Status.RUNNING,
        output_image_url=None,
        completed_at=None,
        lease_expires_at=datetime(2999, 1, 1, tzinfo=UTC),
    )
    await parts.records.replace(running)
    assert f"FIX    {record.id}: " in await output(product, capsys)
    await output(product, capsys, fix=True)
    assert (await product.call("GET", f"/api/generations/{made['id']}")).json["imageUrl"] == made["imageUrl"]
    assert record.id not in await output(product, capsys)
