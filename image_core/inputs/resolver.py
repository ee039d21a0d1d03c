"""Resolve host names that callers send, in separate threads.

`getaddrinfo` blocks its thread until it answers, and cannot be cancelled: a name whose servers never answer takes half
a minute. In the event loop's own pool a few such names would block everything that uses it.
"""

import asyncio
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from functools import partial
from typing import Any

from aiohttp.abc import AbstractResolver, ResolveResult

from image_core.runtime.fair_share import FairShare

LOOKUPS_AT_ONCE = 16
SECONDS = 5.0
"""Maximum time of one look-up, with the wait for a thread. A thread that takes longer counts for its user until it
ends."""

lookup_user: ContextVar[str] = ContextVar("lookup_user", default="")
"""The user for whom the current task resolves names."""

Lookup = Callable[..., list[tuple[Any, ...]]]


class BoundedResolver(AbstractResolver):
    """Resolves names for aiohttp. One user has a fair share of the threads."""

    def __init__(
        self, lookup: Lookup = socket.getaddrinfo, threads: int = LOOKUPS_AT_ONCE, seconds: float = SECONDS
    ) -> None:
        self._lookup = lookup
        self._seconds = seconds
        self._share = FairShare(threads)
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="look-up")

    @property
    def idle(self) -> bool:
        """Whether no look-up is running."""
        return self._share.taken == 0

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return the addresses of `host`. Raises OSError where there are none, or none in time."""
        user = lookup_user.get()
        deadline = asyncio.get_running_loop().time() + self._seconds
        if not await self._share.acquire(user, 1, self._seconds):
            raise OSError(f"no thread for a look-up within {self._seconds:g} seconds")
        call = partial(self._lookup, host, port, type=socket.SOCK_STREAM, family=family, flags=socket.AI_ADDRCONFIG)
        work = asyncio.get_running_loop().run_in_executor(self._threads, call)

        def ended(done: "asyncio.Future[list[tuple[Any, ...]]]") -> None:
            self._share.release(user, 1)
            if not done.cancelled():
                done.exception()  # marks it as retrieved: the caller may have been cancelled

        work.add_done_callback(ended)
        try:
            async with asyncio.timeout_at(deadline):
                found = await asyncio.shield(work)
        except TimeoutError:
            raise OSError(f"no answer from DNS within {self._seconds:g} seconds") from None
        return [
            ResolveResult(
                hostname=host,
                host=address[0],
                port=address[1],
                family=kind,
                proto=protocol,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for kind, _, protocol, _, address in found
        ]

    async def close(self) -> None:
        """Cancel the look-ups that wait, and do not wait for those that run."""
        self._threads.shutdown(wait=False, cancel_futures=True)
