"""Make renditions of stored images when they are first asked for."""

import asyncio
from functools import partial

from image_core.auth.user import User
from image_core.clock import Clock, Deadline
from image_core.errors import BlobMissing, Busy, ImageTooLarge, NotFound
from image_core.generations.reading import MAX_OUTPUT_BYTES, Opened
from image_core.images.fault import Fault
from image_core.images.image import Target
from image_core.images.sandbox import convert_in_sandbox
from image_core.images.sandbox_scheduler import SandboxRunner
from image_core.runtime.memory_budget import MemoryBudget
from image_core.runtime.offload import ended
from image_core.storage.blobs import Blob, Blobs
from image_core.storage.naming import is_copy
from image_core.storage.renditions import Renditions

MAKE_SECONDS = 60.0
"""Maximum time for making one rendition, from the wait for memory to its blob, in seconds."""

SOURCE_COPIES = 2
"""Copies of an image while it is converted: ours, and the one on its way to the sandbox."""


class RenditionMaker:
    """Makes renditions. There is one for the process: many requests for a rendition at once make it once."""

    def __init__(
        self,
        blobs: Blobs,
        renditions: Renditions,
        sandboxes: SandboxRunner,
        memory_budget: MemoryBudget,
        clock: Clock,
    ) -> None:
        self._blobs = blobs
        self._renditions = renditions
        self._sandboxes = sandboxes
        self._memory_budget = memory_budget
        self._clock = clock
        self._making: dict[str, asyncio.Task[Blob]] = {}

    async def open(self, user: User, name: str, image: Opened, target: Target, deadline: Deadline) -> Opened:
        """Return the rendition of an image that `user` may read; make it where there is none, until `deadline`.

        Raises Busy; NotFound where the image is deleted meanwhile; InputError where it cannot be decoded.
        """
        path, source = self._renditions.path(user, name, target), version(name, image)
        blob = await self._renditions.find(path, source)
        if blob is None:
            making = self._making.get(path)
            if making is None:
                making = asyncio.create_task(self._make(user, path, source, image, target))
                self._making[path] = making
                making.add_done_callback(partial(self._made, path))
            # It is finished even if this caller disconnects: other callers wait for it, or request it later.
            if not await self._clock.wait(making, deadline.remaining()):
                raise Busy("The rendition is still being made", retry_after=5)
            blob = making.result()
        return Opened(self._renditions.container, blob)

    def _made(self, path: str, making: "asyncio.Task[Blob]") -> None:
        del self._making[path]
        if not making.cancelled():
            making.exception()  # its callers may all have gone away

    async def _make(self, user: User, path: str, source: str, image: Opened, target: Target) -> Blob:
        if image.blob.size > MAX_OUTPUT_BYTES:
            raise ImageTooLarge(0, f"it has more than {MAX_OUTPUT_BYTES:,} bytes, which is the limit")
        deadline = self._clock.deadline(MAKE_SECONDS)
        async with self._memory_budget.entered(user.id, SOURCE_COPIES * image.blob.size, deadline) as claim:
            try:
                data = await self._blobs.read(image.container, image.blob.name, MAX_OUTPUT_BYTES)
            except BlobMissing:
                raise NotFound from None
            convert = partial(convert_in_sandbox, target=target)
            try:
                rendition = await self._sandboxes.run(data, user.id, claim.wait_seconds, convert)
            except Fault as fault:
                raise fault.kind(0, fault.details) from fault
            claim.take(len(rendition.data))
            blob = await self._renditions.put(path, source, target, rendition)
        try:
            await self._blobs.describe(image.container, image.blob.name)
        except BlobMissing:  # a deletion may have looked for renditions before this one was there
            await self._renditions.delete(path)
            raise NotFound from None
        return blob

    async def close(self) -> None:
        """Cancel what is being made: it is made again when it is asked for."""
        making = tuple(self._making.values())
        for task in making:
            task.cancel()
        await ended(*making)


def version(name: str, image: Opened) -> str:
    """Return what changes when an image does: not its ETag for input copies, which are written again each time."""
    return name if is_copy(name) else image.blob.etag.strip('"')
