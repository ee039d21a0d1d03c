"""The bytes of a process: whoever comes while much is held waits for a turn, and what is paid for is never refused."""

import asyncio

import pytest

from image_core.errors import Busy
from image_core.inflight import InflightBytes

LONG_TIME = 60.0


def inflight(limit: int = 1000, at_ease: int = 100, patience: float = LONG_TIME) -> InflightBytes:
    return InflightBytes(limit, at_ease, patience)


async def turns(count: int = 5) -> None:
    """Let whoever can go on do so."""
    for _ in range(count):
        await asyncio.sleep(0)


async def test_what_fits_enters_at_once() -> None:
    bytes_ = inflight()
    async with bytes_.entered(60), bytes_.entered(40):
        assert bytes_.held == 100
    assert bytes_.held == 0


async def test_one_that_is_larger_than_all_ease_enters_alone() -> None:
    bytes_ = inflight()
    async with bytes_.entered(900):
        assert bytes_.held == 900


async def test_those_who_wait_enter_in_the_order_of_their_coming() -> None:
    bytes_, entered = inflight(), list[int]()
    first = bytes_.claim()
    await first.enter(100)

    async def one(number: int, count: int) -> None:
        async with bytes_.entered(count):
            entered.append(number)
            await asyncio.sleep(0.01)

    tasks = [asyncio.create_task(one(number, count)) for number, count in enumerate((60, 60, 10, 10))]
    await turns()
    assert entered == []
    first.release()
    await turns()
    assert entered == [0]  # the third would have room beside it, and does not overtake the second
    await asyncio.gather(*tasks)
    assert entered == [0, 1, 2, 3]
    assert bytes_.held == 0


async def test_patience_ends_and_the_limit_decides() -> None:
    bytes_ = inflight(limit=150, patience=0.01)
    held = bytes_.claim()
    await held.enter(100)
    late = bytes_.claim()
    await late.enter(50)
    assert bytes_.held == 150
    with pytest.raises(Busy):
        await bytes_.claim().enter(1)
    assert bytes_.held == 150


async def test_what_is_paid_for_waits_no_longer_than_it_may_and_is_never_refused() -> None:
    bytes_ = inflight(limit=100)
    held = bytes_.claim()
    await held.enter(100)
    paid = bytes_.claim()
    await paid.receive(70, 0.01)
    assert bytes_.held == 170
    paid.release()
    assert bytes_.held == 100


async def test_one_who_gives_up_stands_in_nobodys_way() -> None:
    bytes_ = inflight()
    held = bytes_.claim()
    await held.enter(100)
    gone = asyncio.create_task(bytes_.claim().enter(80))
    await turns()
    behind = bytes_.claim()
    waiting = asyncio.create_task(behind.enter(80))
    await turns()
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    held.release()
    await waiting
    assert bytes_.held == 80
    behind.release()
    assert bytes_.held == 0


async def test_those_behind_one_who_gives_up_enter_at_once_where_they_have_room() -> None:
    bytes_ = inflight()
    held = bytes_.claim()
    await held.enter(60)
    gone = asyncio.create_task(bytes_.claim().enter(80))
    await turns()
    behind = asyncio.create_task(bytes_.claim().enter(30))
    await turns()
    assert not behind.done()
    gone.cancel()
    async with asyncio.timeout(LONG_TIME / 10):
        await behind
    assert bytes_.held == 90


async def test_one_who_gives_up_as_the_turn_comes_holds_what_its_claim_releases() -> None:
    bytes_ = inflight()
    held = bytes_.claim()
    await held.enter(100)

    async def request() -> None:
        async with bytes_.entered(80):
            raise AssertionError("it was cancelled before")

    gone = asyncio.create_task(request())
    await turns()
    held.release()
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    assert bytes_.held == 0
