"""A capacity is divided between users: no user takes all of it, and queues are served round-robin."""

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from image_core.errors import Busy
from image_core.runtime.fair_share import FairShare

LONG_TIME = 60.0


async def run_tasks(count: int = 5) -> None:
    """Run all tasks until they wait."""
    for _ in range(count):
        await asyncio.sleep(0)


def acquire_all(share: FairShare, user: str) -> int:
    """Acquire units until no more are granted, and return their number."""
    while share.try_acquire(user, 1):
        pass
    return share.taken_by(user)


def test_first_user_gets_half_and_each_other_user_half_of_the_rest() -> None:
    share = FairShare(120)
    assert acquire_all(share, "first") == 60
    assert acquire_all(share, "second") == 30
    assert acquire_all(share, "third") == 15
    assert share.try_acquire("fourth", 15)


@pytest.mark.parametrize(("slots", "alone"), [(1, 1), (2, 1), (3, 1), (4, 2), (16, 8)])
def test_user_alone_leaves_slots_for_another_user(slots: int, alone: int) -> None:
    share = FairShare(slots)
    assert acquire_all(share, "first") == alone
    assert share.try_acquire("second", 1) == (slots > 1)


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.integers(1, 50)), max_size=60))
def test_capacity_is_never_exceeded_and_all_of_it_is_released(requests: Sequence[tuple[str, int]]) -> None:
    share, held = FairShare(100), list[tuple[str, int]]()
    for user, count in requests:
        if share.try_acquire(user, count):
            held.append((user, count))
        assert share.taken == sum(count for _, count in held) <= 100
        for each in "abcd":
            assert share.taken_by(each) <= max(50, max((c for u, c in held if u == each), default=0))
    for user, count in held:
        share.release(user, count)
    assert share.taken == 0


async def test_queues_are_served_round_robin() -> None:
    share, order = FairShare(1), list[str]()
    await share.acquire("x", 1, LONG_TIME)

    async def one(user: str) -> None:
        async with share.slot(user, LONG_TIME):
            order.append(user)

    tasks = [asyncio.create_task(one(user)) for user in ("a", "a", "a", "b", "c", "b")]
    await run_tasks()
    share.release("x", 1)
    await asyncio.gather(*tasks)
    assert order == ["a", "b", "c", "a", "b", "a"]
    assert share.taken == 0


async def test_waiting_user_does_not_block_another_user() -> None:
    share = FairShare(100)
    await share.acquire("slow", 40, LONG_TIME)
    waiting = asyncio.create_task(share.acquire("slow", 40, LONG_TIME))
    await run_tasks()
    assert await share.acquire("quick", 30, 0)
    assert not waiting.done()
    share.release("quick", 30)
    share.release("slow", 40)
    assert await waiting


async def test_wait_that_ends_as_busy_leaves_the_queue() -> None:
    share = FairShare(1)
    await share.acquire("a", 1, LONG_TIME)
    with pytest.raises(Busy):
        async with share.slot("b", 0.01):
            raise AssertionError("there was no slot")
    share.release("a", 1)
    assert share.try_acquire("c", 1)


async def test_canceled_wait_does_not_block_those_behind_it() -> None:
    share = FairShare(100)
    await share.acquire("a", 60, LONG_TIME)
    canceled = asyncio.create_task(share.acquire("b", 80, LONG_TIME))
    behind = asyncio.create_task(share.acquire("b", 30, LONG_TIME))
    await run_tasks()
    assert not behind.done()
    canceled.cancel()
    assert await behind
    await asyncio.gather(canceled, return_exceptions=True)
    assert share.taken == 90


async def test_wait_that_is_canceled_when_it_is_granted_holds_nothing() -> None:
    share = FairShare(1)
    await share.acquire("a", 1, LONG_TIME)
    canceled = asyncio.create_task(share.acquire("b", 1, LONG_TIME))
    await run_tasks()
    share.release("a", 1)
    canceled.cancel()
    await asyncio.gather(canceled, return_exceptions=True)
    assert share.taken == 0
