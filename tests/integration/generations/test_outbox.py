"""A completion in the outbox is applied only to the run that it belongs to."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from image_core.errors import ModelUnavailable, NoImage
from image_core.generations.failure import Failure
from image_core.generations.record import Record
from image_core.generations.record_codec import from_document, to_document
from tests.support.change_feed import Feed, feed
from tests.support.harness import Harness

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
async def records(product: Harness) -> AsyncIterator[Feed]:
    async with feed(product) as running:
        yield running


async def queued(product: Harness, records: Feed) -> tuple[str, Record]:
    """Queue a generation and return its message and its record."""
    answer = await product.generate(headers={"Prefer": "respond-async"})
    (document,) = await records.changed()
    return answer.enqueue[0], from_document(document)


async def test_failure_in_the_outbox_does_not_replace_a_run_of_another_process(product: Harness, records: Feed) -> None:
    message, record = await queued(product, records)
    outbox = product.app.components.reconciliation._outbox
    await outbox.put(
        to_document(replace(record, lease_owner="one").failed(Failure.of(ModelUnavailable()), (), (), NOW))
    )
    await records.edit({**to_document(record), "leaseOwner": "another", "leaseExpiresAt": "2999-01-01T00:00:00.000Z"})
    await product.app.find_unfinished()
    (document,) = await records.changed()
    assert (document["status"], document["leaseOwner"]) == ("running", "another")
    assert record.id not in await outbox.ids()
    assert message


async def test_completion_of_a_deleted_generation_does_not_end_the_next_one_with_its_key(
    product: Harness, records: Feed
) -> None:
    message, record = await queued(product, records)
    outbox = product.app.components.reconciliation._outbox
    await outbox.put(
        to_document(replace(record, blob_stem="generated-earlier").failed(Failure.of(NoImage()), (), (), NOW))
    )
    await product.app.resume(message.encode())
    (document,) = await records.changed()
    assert document["status"] == "succeeded"
    assert record.id not in await outbox.ids()
