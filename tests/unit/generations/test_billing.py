"""The bill of a run: its writes beside the image."""

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

import pytest

from image_core.clock import Clock
from image_core.generations.billed_calls import BilledCalls
from image_core.generations.record import Record
from image_core.models.generated import Attempt, Options, Usage

if TYPE_CHECKING:
    from image_core.generations.accounting import Accounting
    from image_core.generations.lease import Lease

RECORD = Record(
    id="gen-1",
    user_id="ada@example.com",
    prompt="a watercolor",
    input_images=(),
    inputs=(),
    options=Options(),
    created_at=datetime(2026, 11, 25, 12, tzinfo=UTC),
    request_hash="",
    blob_stem="generated-1",
)


class BrokenLease:
    """A lease whose record cannot be written, for a reason that nothing foresees."""

    record = RECORD
    clock = Clock()

    async def change(self, change: Any) -> None:
        raise ValueError(RECORD.user_id)


async def test_a_bill_that_breaks_ends_no_generation_and_is_logged_without_its_message(
    caplog: pytest.LogCaptureFixture,
) -> None:
    bill = BilledCalls(cast("Lease", BrokenLease()), cast("Accounting", None))
    bill.note(Attempt("gemini-3-pro-image", "ok", 10, Usage(1, 1, 0.1, {}, {})))
    with caplog.at_level(logging.ERROR):
        assert await bill.settled() == RECORD
    assert "the calls of a generation were not written" in caplog.text
    assert RECORD.user_id not in caplog.text
