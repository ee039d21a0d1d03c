"""Schedule the sandboxes of one process: limit their number and memory, and share them fairly between users."""

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from image_core.errors import ImageTooLarge
from image_core.images.fault import Fault, NeedsMemory
from image_core.images.sandbox_memory import USUAL_MEMORY_BYTES, most_memory_bytes
from image_core.runtime.fair_share import FairShare

CONVERSIONS_AT_ONCE = 3
"""Maximum number of sandboxes. One user has one of them, so that two users leave one for a third."""

LARGE_AT_ONCE = 1
"""Sandboxes among them that may use more than the usual memory."""

T = TypeVar("T")

Convert = Callable[[bytes, int, int, int], Awaitable[T]]
"""Run a job in a sandbox, for a file, the maximum pixels of an image and of what is decoded, and the memory in
bytes."""


class SandboxRunner(Protocol):
    """Runs jobs in sandboxes. Implemented by `Sandboxes`."""

    async def run(self, data: bytes, user: str, wait_seconds: Callable[[], float], convert: Convert[T]) -> T:
        """Run `convert` for a file of a user. Raises Fault, Busy."""
        ...


class Sandboxes:
    """The sandboxes of one process. `max_pixels` limits the image, `max_decoded_pixels` what is decoded of it."""

    def __init__(self, max_pixels: int, max_decoded_pixels: int) -> None:
        self._max_pixels = max_pixels
        self._max_decoded_pixels = max_decoded_pixels
        self._usual = FairShare(CONVERSIONS_AT_ONCE)
        self._large = FairShare(LARGE_AT_ONCE)

    async def run(self, data: bytes, user: str, wait_seconds: Callable[[], float], convert: Convert[T]) -> T:
        """Run `convert` in a sandbox of the usual memory, and if that is too little in one that may use more.

        `wait_seconds` returns how long the user may still wait for a turn. Raises Fault, Busy.
        """
        max_pixels, max_decoded = self._max_pixels, self._max_decoded_pixels
        try:
            async with self._usual.slot(user, wait_seconds()):
                return await convert(data, max_pixels, max_decoded, USUAL_MEMORY_BYTES)
        except NeedsMemory:
            pass
        most = most_memory_bytes(max_decoded)
        try:
            # In this order: a request that waits for the large sandbox must not occupy another.
            async with self._large.slot(user, wait_seconds()), self._usual.slot(user, wait_seconds()):
                return await convert(data, max_pixels, max_decoded, most)
        except NeedsMemory:
            raise Fault(ImageTooLarge, f"decoding it takes more than {most // 2**20} MB of memory, the limit") from None
