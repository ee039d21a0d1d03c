"""The memory budget refuses or holds bodies at once, grants working memory in turn, and never refuses paid images."""

import asyncio

import pytest

from image_core.auth.user import User
from image_core.clock import Clock, Deadline
from image_core.errors import Busy, ImagesTooLarge
from image_core.runtime.memory_budget import WORKER_COPIES, MemoryBudget

ADA, BOB, EVE = User("ada@example.com"), User("bob@example.com"), User("eve@example.com")
LONG_TIME = 60.0


def budget() -> MemoryBudget:
    """Return a budget of 600 bytes for bodies and 400 of working memory."""
    return MemoryBudget(1000)


def soon() -> Deadline:
    return Clock().deadline(0.01)


async def run_tasks(count: int = 5) -> None:
    """Run all tasks until they wait."""
    for _ in range(count):
        await asyncio.sleep(0)


def test_body_counts_as_often_as_the_worker_keeps_it() -> None:
    memory = budget()
    with memory.body(100) as body:
        assert memory.held == 100 * WORKER_COPIES
        body.assign(ADA.id)
        assert memory.held == 100 * WORKER_COPIES
    assert memory.held == 0


def test_body_that_does_not_fit_is_refused_at_once_and_holds_nothing() -> None:
    memory = budget()
    with memory.body(120) as first:
        first.assign(ADA.id)
        with memory.body(100) as second:
            second.assign(BOB.id)
            with pytest.raises(Busy), memory.body(100):
                raise AssertionError("the body was not refused")
        assert memory.held == 120 * WORKER_COPIES
    assert memory.held == 0


def test_bodies_of_one_user_take_no_more_than_they_leave_free() -> None:
    memory = budget()
    with memory.body(100) as first:
        first.assign(ADA.id)
        with pytest.raises(Busy), memory.body(100) as second:
            second.assign(ADA.id)
        with memory.body(100) as others:
            others.assign(BOB.id)
    assert memory.held == 0


def test_bodies_without_a_verified_session_have_the_share_of_one_user() -> None:
    memory = budget()
    with memory.body(100), pytest.raises(Busy), memory.body(100):
        raise AssertionError("the body was not refused")
    with memory.body(100) as first:
        first.assign(ADA.id)
        with memory.body(100):
            assert memory.held == 200 * WORKER_COPIES


async def test_bodies_take_nothing_from_working_memory() -> None:
    memory = budget()
    with memory.body(240):
        async with memory.entered(ADA.id, 400):
            assert memory.held == 1000


async def test_request_larger_than_the_budget_runs_alone() -> None:
    memory = budget()
    async with memory.entered(ADA.id, 900):
        with pytest.raises(Busy):
            await memory.claim(BOB.id, soon()).enter(1)
    assert memory.held == 0


async def test_request_waits_for_memory_and_is_refused_after_its_deadline() -> None:
    memory = budget()
    first = memory.claim(ADA.id)
    await first.enter(400)
    waiting = asyncio.create_task(memory.claim(BOB.id).enter(100))
    await run_tasks()
    assert not waiting.done()
    with pytest.raises(Busy) as refused:
        await memory.claim(EVE.id, soon()).enter(100)
    assert refused.value.retry_after
    first.release()
    await waiting
    assert memory.held == 100


async def test_growth_within_the_share_is_immediate_and_beyond_it_refused() -> None:
    memory = budget()
    with memory.claim(ADA.id, soon()) as claim:
        await claim.grow(100)
        await claim.grow(100)
        with memory.claim(ADA.id, soon()) as another, pytest.raises(Busy):
            await another.grow(100)
        assert memory.held == 200
    assert memory.held == 0


async def test_claim_beyond_half_of_the_capacity_is_too_large() -> None:
    with budget().claim(ADA.id) as claim:
        await claim.grow(150)
        with pytest.raises(ImagesTooLarge):
            await claim.grow(100)


async def test_paid_image_is_never_refused() -> None:
    memory = budget()
    first = memory.claim(ADA.id)
    await first.enter(400)
    paid = memory.claim(ADA.id)
    await paid.receive(300, 0.01)
    assert memory.held == 700
    paid.release()
    assert memory.held == 400


async def test_paid_image_gets_memory_before_other_requests_of_its_user() -> None:
    memory = budget()
    first = memory.claim(ADA.id)
    await first.enter(400)
    waiting = asyncio.create_task(memory.claim(ADA.id).enter(300))
    await run_tasks()
    paid = asyncio.create_task(memory.claim(ADA.id).receive(300, LONG_TIME))
    await run_tasks()
    first.release()
    await run_tasks()
    assert (paid.done(), waiting.done()) == (True, False)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)


async def test_claim_releases_no_more_than_it_has() -> None:
    memory = budget()
    with memory.claim(ADA.id) as claim:
        claim.take(70)
        claim.release_part(1000)
        assert memory.held == 0
    assert memory.held == 0
