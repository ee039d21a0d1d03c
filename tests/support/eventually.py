"""Wait for a condition without an event: the state of a database, of a fake service or of another process."""

import asyncio
import time
from collections.abc import Awaitable, Callable

PAUSE_SECONDS = 0.02
"""Between two evaluations of a condition, in seconds."""


async def eventually(condition: Callable[[], object], seconds: float = 30.0) -> None:
    """Wait until `condition()`, or what it returns to be awaited, is true. Raises TimeoutError after `seconds`."""
    async with asyncio.timeout(seconds):
        while True:
            result = condition()
            if isinstance(result, Awaitable):
                result = await result
            if result:
                return
            await asyncio.sleep(PAUSE_SECONDS)


def wait_until(condition: Callable[[], object], seconds: float = 30.0) -> None:
    """Do the same in a test without an event loop. Raises TimeoutError after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"the condition is not met after {seconds:g} seconds")
        time.sleep(PAUSE_SECONDS)
