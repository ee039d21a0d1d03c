"""Waiting with a clock, and times in ISO 8601."""

import asyncio
from datetime import UTC, datetime, timedelta, timezone

import pytest

from image_core.clock import from_iso, iso
from tests.support.fakes.clock import FakeClock


async def test_wait_ends_when_the_future_is_done() -> None:
    clock, future = FakeClock(), asyncio.get_running_loop().create_future()
    waiting = asyncio.ensure_future(clock.clock.wait(future, 5))
    await clock.settle()
    future.set_result(None)
    assert await waiting
    assert clock.monotonic() == 0


async def test_wait_ends_after_its_seconds_and_does_not_cancel_the_future() -> None:
    clock, future = FakeClock(), asyncio.get_running_loop().create_future()
    assert not await clock.run(clock.clock.wait(future, 5))
    assert (clock.monotonic(), future.cancelled()) == (5, False)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-25T12:00:00.123Z", datetime(2026, 11, 25, 12, 0, 0, 123000, tzinfo=UTC)),
        ("2026-11-25T13:00:00+01:00", datetime(2026, 11, 25, 12, tzinfo=UTC)),
        ("2026-11-25T12:00:00", datetime(2026, 11, 25, 12, tzinfo=UTC)),
    ],
)
def test_time_is_read_as_utc(text: str, moment: datetime) -> None:
    assert from_iso(text) == moment


def test_time_is_written_in_utc_with_milliseconds() -> None:
    assert iso(datetime(2026, 11, 25, 13, 0, 0, 123999, timezone(timedelta(hours=1)))) == "2026-11-25T12:00:00.123Z"
