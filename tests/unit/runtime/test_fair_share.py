"""A capacity is divided between users: nobody takes all of it, and queues are served one user after another."""

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from image_core.errors import Busy
from image_core.runtime.fair_share import FairShare

LONG_TIME = 60.0


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def most(share: FairShare, user: str) -> int:
    """How many units the user gets, one after another."""
    while share.try_acquire(user, 1):
        pass
    return share.taken_by(user)


def test_one_user_gets_half_and_each_further_one_as_much_as_is_left_free() -> None:
    share = FairShare(120)
    assert most(share, "first") == 60
    assert most(share, "second") == 30
    assert most(share, "third") == 15
    assert share.try_acquire("fourth", 15)


@pytest.mark.parametrize(("slots", "alone"), [(1, 1), (2, 1), (3, 1), (4, 2), (16, 8)])
def test_few_slots_leave_one_for_another_user(slots: int, alone: int) -> None:
    share = FairShare(slots)
    assert most(share, "first") == alone
    assert share.try_acquire("second", 1) == (slots > 1)


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.integers(1, 50)), max_size=60))
def test_whatever_is_acquired_the_capacity_holds_and_all_is_given_back(asked: Sequence[tuple[str, int]]) -> None:
    share, held = FairShare(100), list[tuple[str, int]]()
    for user, count in asked:
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
    await turns()
    share.release("x", 1)
    await asyncio.gather(*tasks)
    assert order == ["a", "b", "c", "a", "b", "a"]
    assert share.taken == 0


async def test_a_users_queue_that_does_not_fit_stands_in_no_other_users_way() -> None:
    share = FairShare(100)
    await share.acquire("slow", 40, LONG_TIME)
    waiting = asyncio.create_task(share.acquire("slow", 40, LONG_TIME))
    await turns()
    assert await share.acquire("quick", 30, 0)
    assert not waiting.done()
    share.release("quick", 30)
    share.release("slow", 40)
    assert await waiting


async def test_a_wait_ends_in_busy_and_leaves_the_queue() -> None:
    share = FairShare(1)
    await share.acquire("a", 1, LONG_TIME)
    with pytest.raises(Busy):
        async with share.slot("b", 0.01):
            raise AssertionError("there was no slot")
    share.release("a", 1)
    assert share.try_acquire("c", 1)


async def test_a_waiter_that_is_cancelled_lets_those_behind_it_in() -> None:
    share = FairShare(100)
    await share.acquire("a", 60, LONG_TIME)
    gone = asyncio.create_task(share.acquire("b", 80, LONG_TIME))
    behind = asyncio.create_task(share.acquire("b", 30, LONG_TIME))
    await turns()
    assert not behind.done()
    gone.cancel()
    assert await behind
    await asyncio.gather(gone, return_exceptions=True)
    assert share.taken == 90


async def test_a_waiter_that_is_cancelled_as_its_turn_comes_holds_nothing() -> None:
    share = FairShare(1)
    await share.acquire("a", 1, LONG_TIME)
    gone = asyncio.create_task(share.acquire("b", 1, LONG_TIME))
    await turns()
    share.release("a", 1)
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    assert share.taken == 0
