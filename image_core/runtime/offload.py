"""Work on bytes: here where it is short, in a thread where the event loop would stand still for it."""

import asyncio
import sys
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")

SHORT_BYTES = 2_000_000
"""Base64, SHA-256 and checksums take about a millisecond for each megabyte, which is what a change of thread and back costs
under load; so much may be done between two turns of the event loop."""

TURN_SECONDS = 0.0005
"""How long a thread keeps the interpreter while others want it. Python's 5 ms are what the event loop then waits for at each of
its steps, while a thread reads the structure of a large file."""


def shorten_thread_turns() -> None:
    """Let the event loop have the interpreter sooner while threads of `in_thread` work. For the whole process."""
    sys.setswitchinterval(TURN_SECONDS)


async def offloaded(size: int, call: Callable[[], T]) -> T:
    """`call()`, which goes over `size` bytes once or twice."""
    return call() if size <= SHORT_BYTES else await in_thread(call)


async def in_thread(call: Callable[[], T]) -> T:
    """`call()` in a thread. A cancellation waits for its end: until then the thread has what it works on."""
    work = asyncio.ensure_future(asyncio.to_thread(call))
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        await ended(work)
        raise


async def ended(*work: "asyncio.Future[Any]") -> None:
    """Wait until all of `work` is done, whatever became of it and however often the waiting task is cancelled."""
    cancelled = False
    while not all(each.done() for each in work):
        try:
            await asyncio.wait(work)
        except asyncio.CancelledError:
            cancelled = True
    for each in work:
        if not each.cancelled():
            each.exception()  # it has been seen
    if cancelled:
        raise asyncio.CancelledError
