"""The bill of a run: its writes beside the image."""

import logging
from typing import TYPE_CHECKING, Any, cast

import pytest

from image_core.auth.user import User
from image_core.clock import Clock
from image_core.generations.billed_calls import BilledCalls
from image_core.models.generated import Attempt, Usage
from tests.support.records import make

if TYPE_CHECKING:
    from image_core.generations.accounting import Accounting
    from image_core.generations.lease import Lease

RECORD = make(User("ada@example.com"))


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
