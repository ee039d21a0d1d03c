"""How long a program of the local stack lives: until it is told to stop, or whoever started it is gone."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable


async def until_told_to_stop() -> None:
    """Until SIGTERM or SIGINT comes, or standard input, where it is a pipe, is closed."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    watch_parent(stop.set)
    await stop.wait()


def watch_parent(stop: Callable[[], None]) -> None:
    """Call `stop` when the other end of standard input, where it is a pipe, is closed: so a killed parent is noticed."""
    loop = asyncio.get_running_loop()

    def ended() -> None:
        if not os.read(sys.stdin.fileno(), 1024):
            loop.remove_reader(sys.stdin.fileno())
            stop()

    if sys.stdin is not None and not sys.stdin.isatty():
        try:
            loop.add_reader(sys.stdin.fileno(), ended)
        except (OSError, ValueError, PermissionError):
            return  # a file, or nothing: there is no parent to watch
