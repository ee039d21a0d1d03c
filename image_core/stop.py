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
    """Run `release` on `loop` when SIGTERM comes, then what was to happen before. Does nothing off the main thread."""
    if threading.current_thread() is not threading.main_thread():
        return
    before = signal.getsignal(signal.SIGTERM)

    async def _release() -> None:
        try:
            async with asyncio.timeout(LONGEST_SECONDS):
                log.info("stopping: gave back %d leases", await release())
        except TimeoutError:
            log.warning("stopping: the leases could not be given back in time")
        if before == signal.SIG_DFL:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGTERM)

    def stop(number: int, frame: FrameType | None) -> None:
        asyncio.run_coroutine_threadsafe(_release(), loop)
        if callable(before):
            before(number, frame)

    signal.signal(signal.SIGTERM, stop)
