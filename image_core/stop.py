"""What happens when the platform asks this process to stop: leases are given back, then it stops as it would have.

Python workers are often just killed: this saves the recovery a wait, and nothing depends on it.
"""

import asyncio
import logging
import os
import signal
import threading
from collections.abc import Awaitable, Callable
from types import FrameType

log = logging.getLogger("image_core.stop")

LONGEST_SECONDS = 2.0


def on_stop_signal(release: Callable[[], Awaitable[int]], loop: asyncio.AbstractEventLoop) -> None:
    """Run `release` on `loop` when SIGTERM comes, and then what was to happen before. Does nothing off the main thread."""
    if threading.current_thread() is not threading.main_thread():
        return
    before = signal.getsignal(signal.SIGTERM)

    def go_on(number: int, frame: FrameType | None) -> None:
        """As if nobody had stood in between."""
        if callable(before):
            before(number, frame)
        elif before == signal.SIG_DFL:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGTERM)

    async def release_first(number: int, frame: FrameType | None) -> None:
        try:
            async with asyncio.timeout(LONGEST_SECONDS):
                log.info("stopping: gave back %d leases", await release())
        except TimeoutError:
            log.warning("stopping: the leases could not be given back in time")
        finally:
            go_on(number, frame)

    def stop(number: int, frame: FrameType | None) -> None:
        if loop.is_closed():
            go_on(number, frame)
        else:
            asyncio.run_coroutine_threadsafe(release_first(number, frame), loop)

    signal.signal(signal.SIGTERM, stop)
