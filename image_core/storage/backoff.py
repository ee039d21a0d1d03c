"""Pauses between the tries of one operation."""

import logging
import random as stdlib_random

from image_core.clock import Clock
from image_core.errors import StorageUnavailable

log = logging.getLogger("image_core.storage")

TRIES = 8
"""How often one operation is tried: a write over newer versions, or a read of what cannot be read here yet."""
FIRST_PAUSE_SECONDS = 0.05
LONGEST_PAUSE_SECONDS = 1.0


class Backoff:
    """Makes the pauses of operations that are tried several times."""

    def __init__(self, clock: Clock, random: stdlib_random.Random | None = None) -> None:
        self._clock = clock
        self._random = random or stdlib_random.Random()  # noqa: S311 - jitter, no secret

    def start(self) -> "Tries":
        """Return the tries of one operation."""
        return Tries(self._clock, self._random)


class Tries:
    """The tries of one operation: call `pause` after each that did not succeed."""

    def __init__(self, clock: Clock, random: stdlib_random.Random) -> None:
        self._clock = clock
        self._random = random
        self._made = 0

    async def pause(self) -> None:
        """Wait before the next try: not at all after the first, then exponentially longer, with full jitter.

        Raises StorageUnavailable after TRIES tries.
        """
        self._made += 1
        if self._made >= TRIES:
            log.warning("given up after %d tries over newer versions", self._made)
            raise StorageUnavailable
        if self._made > 1:
            longest = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2**self._made)
            await self._clock.sleep(self._random.uniform(0, longest))
