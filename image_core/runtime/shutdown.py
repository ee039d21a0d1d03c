"""Release the leases on SIGTERM, then end the process with the exit code 0.

Azure's Python worker has no handler for SIGTERM and ends by the signal, which the platform reports as an error (143);
exit 0 is a clean end. There is no other notice: at scale-in a process may be killed without any. Releasing saves other
processes the wait for the leases to expire; nothing depends on it.
"""

import asyncio
import logging
import os
import signal
import sys
import threading
from collections.abc import Awaitable, Callable
from types import FrameType

log = logging.getLogger("image_core.runtime.shutdown")

LONGEST_SECONDS = 2.0
"""Seconds that releasing may take. The process ends a second later in any case, even if its event loop is blocked."""


def on_shutdown_signal(
    release: Callable[[], Awaitable[int]], event_loop: Callable[[], asyncio.AbstractEventLoop | None]
) -> None:
    """Run `release` on the event loop when SIGTERM comes, and end the process. Does nothing off the main thread.

    `event_loop` is asked when the signal comes; without one the process ends at once. A handler that was there before
    is called instead of ending the process: the host that set it decides.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    before = signal.getsignal(signal.SIGTERM)
    if before == signal.SIG_IGN:
        return
    stopping = threading.Event()

    def end(number: int, frame: FrameType | None) -> None:
        if callable(before):
            before(number, frame)
            return
        # Not sys.exit: it would wait for running tasks and threads, which need not end.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)

    async def release_first(number: int, frame: FrameType | None) -> None:
        try:
            async with asyncio.timeout(LONGEST_SECONDS):
                log.info("shutdown: released %d leases", await release())
        except TimeoutError:
            log.warning("shutdown: the leases could not be released in time")
        finally:
            end(number, frame)

    def stop(number: int, frame: FrameType | None) -> None:
        if stopping.is_set():
            return
        stopping.set()
        loop = event_loop()
        if loop is None or loop.is_closed():
            end(number, frame)
            return
        if not callable(before):
            blocked = threading.Timer(LONGEST_SECONDS + 1, os._exit, (0,))
            blocked.daemon = True
            blocked.start()
        asyncio.run_coroutine_threadsafe(release_first(number, frame), loop)

    signal.signal(signal.SIGTERM, stop)
