"""Make renditions of stored images when they are first asked for, and convert or compose what a model made."""

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import Protocol, TypeVar

from image_core.auth.user import User
from image_core.clock import Clock, Deadline
from image_core.errors import BlobMissing, Busy, ImageTooLarge, NotFound, StorageUnavailable
from image_core.generations.reading import MAX_OUTPUT_BYTES, Opened
from image_core.generations.record import MaskedEdit, Record
from image_core.images.fault import Fault
from image_core.images.image import Image, Target
from image_core.images.masked_edit import ComposedEdit, compose_in_sandbox
from image_core.images.sandbox import convert_in_sandbox
from image_core.images.sandbox_scheduler import Convert
from image_core.runtime.memory_budget import MemoryBudget
from image_core.runtime.offload import ended
from image_core.runtime.telemetry import where
from image_core.storage.blobs import Blob, Blobs
from image_core.storage.input_copies import InputCopies
from image_core.storage.naming import is_copy
from image_core.storage.renditions import Renditions

log = logging.getLogger("image_core.generations")

T = TypeVar("T")

MAKE_SECONDS = 60.0
"""Maximum time for making one rendition, from the wait for memory to its blob, in seconds."""

CONVERT_SECONDS = 30.0
"""Maximum time for converting a new image, with the wait for a sandbox: the image has yet to be stored."""

COMPOSE_SECONDS = 150.0
"""The longest that composing a masked edit takes, with the reading of what it is composed of and the waits for both."""

PAUSE_SECONDS = 1.0
"""Between two tries to compose, while the storage or every sandbox is not available."""

SOURCE_COPIES = 2
"""Copies of an image while it is converted: ours, and the one on its way to the sandbox."""


class SandboxRunner(Protocol):
    """What runs jobs in sandboxes (`images.sandbox_scheduler.Sandboxes`)."""

    async def run(self, data: bytes, user: str, wait_seconds: Callable[[], float], convert: Convert[T]) -> T:
        """Run `convert` for a file of a user. Raises Fault, Busy."""
        ...


class Rendering:
    """Makes images of images. There is one for the process: many requests for a rendition at once make it once."""

    def __init__(
        self,
        blobs: Blobs,
        renditions: Renditions,
        copies: InputCopies,
        sandboxes: SandboxRunner,
        memory_budget: MemoryBudget,
        clock: Clock,
    ) -> None:
        self._blobs = blobs
        self._copies = copies
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
            # A caller that goes away does not end what others wait for; what is not ready now is ready the next time.
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

    async def convert(self, user: User, image: Image, target: Target) -> Image | None:
        """Return `image` in another format; None where that fails: what was paid for is kept as it is."""
        deadline = self._clock.deadline(CONVERT_SECONDS)
        convert = partial(convert_in_sandbox, target=target)
        try:
            async with asyncio.timeout(CONVERT_SECONDS):
                return await self._sandboxes.run(image.data, user.id, deadline.remaining, convert)
        except Fault as fault:
            log.warning("an image could not be converted to %s: %s", target.format, fault.details)
        except Busy as busy:
            log.warning("an image could not be converted to %s: %s", target.format, busy.details)
        except Exception as error:  # noqa: BLE001 - no defect of a conversion may lose an image that was paid for
            log.error("converting an image failed: %s", where(error))  # noqa: TRY400 - no stack needed
        return None

    async def compose(
        self, record: Record, edit: MaskedEdit, answer: Image, target: Target, seconds: float
    ) -> ComposedEdit | None:
        """Return the first input of `record` with what a model made in it, as `target` says; None where that fails.

        While the storage or every sandbox is not available it is tried again, for `seconds` in all.
        """
        deadline = self._clock.deadline(seconds)
        while True:
            try:
                async with asyncio.timeout(deadline.remaining()):
                    return await self._composed(record, edit, answer, target, deadline)
            except (StorageUnavailable, Busy, TimeoutError) as error:
                if deadline.remaining() <= PAUSE_SECONDS:
                    log.warning("a masked edit could not be composed in time: %s", type(error).__name__)
                    return None
            except Fault as fault:
                log.warning("a masked edit could not be composed: %s", fault.details)
                return None
            except Exception as error:  # noqa: BLE001 - no defect of composing may lose an image that was paid for
                log.error("composing a masked edit failed: %s", where(error))  # noqa: TRY400 - no stack needed
                return None
            await self._clock.sleep(PAUSE_SECONDS)

    async def _composed(
        self, record: Record, edit: MaskedEdit, answer: Image, target: Target, deadline: Deadline
    ) -> ComposedEdit:
        user = record.user
        (mask,) = await self._copies.read_all(user, (edit.mask,))
        if edit.original is None:
            (first,) = await self._copies.read_all(user, record.inputs[:1])
            data = first.data
        else:
            data = await self._copies.read_original(user, edit.original, edit.edited_bytes)
        compose = partial(compose_in_sandbox, mask=mask.data, answer=answer.data, box=edit.crop.box, target=target)
        return await self._sandboxes.run(data, user.id, deadline.remaining, compose)

    async def close(self) -> None:
        """Cancel what is being made: it is made again when it is asked for."""
        making = tuple(self._making.values())
        for task in making:
            task.cancel()
        await ended(*making)


def version(name: str, image: Opened) -> str:
    """Return what changes when an image does: not its ETag for input copies, which are written again each time."""
    return name if is_copy(name) else image.blob.etag.strip('"')
