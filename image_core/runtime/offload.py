"""Run small CPU-bound work inline, and large work in a thread, so that the event loop is not blocked."""

import asyncio
import sys
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")

SHORT_BYTES = 2_000_000
"""Size up to which work runs inline. Base64, SHA-256 and checksums take about a millisecond for each megabyte, which is
what switching to a thread and back costs under load."""

TURN_SECONDS = 0.0005
"""Seconds that a thread keeps the interpreter while others want it. With Python's 5 ms the event loop waits so long at
each of its steps while a thread reads the structure of a large file."""


def shorten_thread_turns() -> None:
    """Return the interpreter to the event loop sooner while threads of `in_thread` work. For the whole process."""
    sys.setswitchinterval(TURN_SECONDS)


async def offloaded(size: int, call: Callable[[], T]) -> T:
    """Return `call()`, whose work is linear in `size` bytes: run inline or in a thread."""
    return call() if size <= SHORT_BYTES else await in_thread(call)


async def in_thread(call: Callable[[], T]) -> T:
    """Return `call()`, run in a thread. A cancellation waits for its end: until then the thread uses its arguments."""
    work = asyncio.ensure_future(asyncio.to_thread(call))
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        await ended(work)
        raise


async def ended(*work: "asyncio.Future[Any]") -> None:
    """Wait until all of `work` is done, successful or not, even if the waiting task is cancelled."""
    cancelled = False
    while not all(each.done() for each in work):
        try:
            await asyncio.wait(work)
        except asyncio.CancelledError:
            cancelled = True
    for each in work:
        if not each.cancelled():
            each.exception()  # marks it as retrieved: asyncio would log it
    if cancelled:
        raise asyncio.CancelledError
