"""Fair division of a fixed capacity (bytes, threads, subprocesses, connections) between the users of one process.

A user may take more as long as at least as much stays free as the user then has: alone at most half of the capacity,
beside one other at most a third, beside two a quarter. (Dynamic thresholds, as in Choudhury and Hahne, "Dynamic Queue
Length Thresholds for Shared-Memory Packet Switches", 1998.) A user who has nothing may take all that is free. So
something is left for a later user, however much the others ask for.

Requests wait in a queue per user; the queues are served round-robin.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from image_core.errors import Busy

RETRY_AFTER_SECONDS = 5


class FairShare:
    """Divides `capacity` units between users. Not thread-safe: for one event loop.

    `oversized`: whether a request for more than the capacity is granted while nothing else is taken.
    """

    def __init__(self, capacity: int, *, oversized: bool = False) -> None:
        self.capacity = capacity
        self.taken = 0
        self._oversized = oversized
        self._taken_by: dict[str, int] = {}
        self._queues: OrderedDict[str, deque[_Waiter]] = OrderedDict()

    def taken_by(self, user: str) -> int:
        """Return the units that `user` has."""
        return self._taken_by.get(user, 0)

    def try_acquire(self, user: str, count: int) -> bool:
        """Take `count` units if they are within the user's share now. Requests that wait are not considered."""
        if not self._fits(user, count):
            return False
        self.take(user, count)
        return True

    async def acquire(self, user: str, count: int, seconds: float, *, first: bool = False) -> bool:
        """Take `count` units, waiting at most `seconds` for the user's turn. Returns False where it did not come.

        `first`: before the other requests of the same user.
        """
        if user not in self._queues and self.try_acquire(user, count):
            return True
        if seconds <= 0:
            return False
        waiter = _Waiter(count, asyncio.get_running_loop().create_future())
        queue = self._queues.setdefault(user, deque())
        queue.appendleft(waiter) if first else queue.append(waiter)
        self._serve()  # it may fit where another of the same user does not
        try:
            await asyncio.wait((waiter.turn,), timeout=seconds)
        except BaseException:
            if not self._withdrawn(user, waiter):
                self.release(user, count)
            raise
        return not self._withdrawn(user, waiter)

    def take(self, user: str, count: int) -> None:
        """Take `count` units even beyond the share: for what cannot be refused."""
        self.taken += count
        self._taken_by[user] = self._taken_by.get(user, 0) + count

    def release(self, user: str, count: int) -> None:
        """Return `count` units, and grant the requests whose turn it is."""
        self.taken -= count
        left = self._taken_by.get(user, 0) - count
        if left > 0:
            self._taken_by[user] = left
        else:
            self._taken_by.pop(user, None)
        self._serve()

    @asynccontextmanager
    async def slot(self, user: str, seconds: float) -> AsyncIterator[None]:
        """Hold one unit while the block runs. Raises Busy after `seconds` without one."""
        if not await self.acquire(user, 1, seconds):
            raise Busy("Too much is waiting to be processed", retry_after=RETRY_AFTER_SECONDS)
        try:
            yield
        finally:
            self.release(user, 1)

    def _fits(self, user: str, count: int) -> bool:
        free, own = self.capacity - self.taken, self.taken_by(user)
        if own == 0:
            return count <= free or (self._oversized and self.taken == 0)
        return own + count <= free - count

    def _withdrawn(self, user: str, waiter: "_Waiter") -> bool:
        """Take a waiter out of its queue; False where it has its units already."""
        if waiter.turn.done():
            return False
        queue = self._queues[user]
        queue.remove(waiter)
        if not queue:
            del self._queues[user]
        self._serve()
        return True

    def _serve(self) -> None:
        """Grant what fits, one request of each user in turn, until a whole round grants nothing."""
        granted = True
        while granted:
            granted = False
            for user in tuple(self._queues):
                queue = self._queues[user]
                if not self.try_acquire(user, queue[0].count):
                    continue
                queue.popleft().turn.set_result(None)
                granted = True
                if queue:
                    self._queues.move_to_end(user)
                else:
                    del self._queues[user]


class _Waiter:
    def __init__(self, count: int, turn: asyncio.Future[None]) -> None:
        self.count = count
        self.turn = turn
