"""Writing what was billed while a generation runs: it never delays or fails the generation."""

import pytest

from image_core.errors import StorageUnavailable
from image_core.generations.record import Status
from tests.support.domain import ADA, Process
from tests.support.fakes.faults import Effect
from tests.support.logs import logged


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (StorageUnavailable(ADA.id), "the calls of a generation are written when it ends"),
        (ValueError(ADA.id), "the calls of a generation were not written: ValueError"),
    ],
    ids=["outage", "defect"],
)
async def test_call_that_cannot_be_written_is_logged_without_the_message_and_the_image_is_kept(
    error: Exception, message: str, caplog: pytest.LogCaptureFixture
) -> None:
    process = Process()

    async def fail() -> None:
        raise error

    process.store.entries.faults.add(Effect.APPLIED, "write_batch").before = fail
    record = await process.make()
    assert (record.status, [each.outcome for each in record.attempts]) == (Status.SUCCEEDED, ["ok"])
    assert process.store.billed() == []
    assert logged(caplog) == [(message, record.id)]
    assert ADA.id not in caplog.text
