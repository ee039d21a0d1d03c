"""Work on bytes: here where it is short, in a thread where the event loop would stand still for it."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

SHORT_BYTES = 2_000_000
"""Base64, SHA-256 and checksums take about a millisecond for each megabyte, which is what a change of thread and back costs
under load; so much may be done between two turns of the event loop."""


async def offloaded(size: int, call: Callable[[], T]) -> T:
    """`call()`, which goes over `size` bytes once or twice."""
    return call() if size <= SHORT_BYTES else await asyncio.to_thread(call)
