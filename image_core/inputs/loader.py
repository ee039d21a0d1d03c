"""Load all inputs of a request at the same time, and prepare each as an image that models accept."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar
from urllib.parse import urlsplit, urlunsplit

from image_core.auth.user import User
from image_core.errors import BlobTooLarge, Busy, Conflict, ImageTooLarge, InvalidImage, UnsupportedImage
from image_core.images.fault import Fault, MaskFault
from image_core.images.image import Image
from image_core.images.masked_edit import PreparedEdit, prepare_in_sandbox
from image_core.images.passthrough import as_it_is
from image_core.images.region import Shapes
from image_core.images.sandbox import convert_in_sandbox
from image_core.images.sandbox_scheduler import Convert, Sandboxes
from image_core.inputs.fetcher import Fetcher
from image_core.inputs.fit import MAX_INLINE_BYTES, RESERVED_BYTES, check_fit, fitted
from image_core.inputs.owned_urls import OwnBlob, OwnedUrls, OwnImages, OwnResult, own_image
from image_core.inputs.sources import Inline, parse
from image_core.runtime.fair_share import FairShare
from image_core.runtime.memory_budget import Claim
from image_core.runtime.offload import ended, in_thread, offloaded
from image_core.storage.naming import api_url

CHECKS_AT_ONCE = 3
"""Threads that check untrusted files. The event loop's thread pool has at least five, so that some are always free."""

EARLIER = -1
"""The position of the image of an earlier generation: before those of the request, which are counted from 0."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class LoadedInput:
    """An image, and its URL without query, fragment and user; None where its bytes were in the request."""

    image: Image
    address: str | None
    converted: bool = False
    """Whether its pixels were encoded again, in another type, size, depth or orientation."""
    original: bytes | None = None
    """The unchanged file, where this input is to be edited and its pixels were encoded again."""
    earlier: bool = False
    """Whether it is the image of an earlier generation, and not one of the request."""

    @property
    def edited(self) -> bytes:
        """The file whose pixels a masked edit preserves."""
        return self.image.data if self.original is None else self.original


@dataclass(frozen=True, slots=True)
class InputLimits:
    """The limits of one input (`MAX_IMAGE_BYTES`, `MAX_IMAGE_PIXELS`), and of all together in a request to a model."""

    max_bytes: int
    max_pixels: int
    max_bytes_together: int = MAX_INLINE_BYTES - RESERVED_BYTES


class Loader:
    """Loads inputs. There is one for the process: it has the connections, and limits checks and conversions."""

    def __init__(
        self,
        limits: InputLimits,
        own: OwnedUrls,
        images: OwnImages,
        fetcher: Fetcher,
        sandboxes: Sandboxes,
        convert: Convert[Image] = convert_in_sandbox,
    ) -> None:
        self._limits = limits
        self._own = own
        self._images = images
        self._fetcher = fetcher
        self._convert = convert
        self._sandboxes = sandboxes
        self._checks = FairShare(CHECKS_AT_ONCE)

    async def load_all(
        self,
        images: Sequence[str],
        user: User,
        claim: Claim,
        earlier: str | None = None,
        *,
        edit_first: bool = False,
    ) -> tuple[LoadedInput, ...]:
        """Load every input, in order; `claim` is charged with their bytes. Equal strings are loaded once.

        `earlier` is the id of a generation of the user, whose image comes first. It is read from the storage, and the
        limit for the bytes of one image, which is for what callers send, does not apply to it. With `edit_first` the
        file of the first one is kept, for `prepare_edit`.

        Raises the InputError of the first that failed, ImagesTooLarge, StorageUnavailable, or Busy where they are not
        ready in the time that the claim may wait; the others are then cancelled. Raises Conflict where the image of
        `earlier` cannot be used.
        """
        sources: dict[int, str | OwnResult] = dict(enumerate(images))
        if earlier is not None:
            sources = {EARLIER: OwnResult(earlier), **sources}
        first = min(sources)
        first_positions: dict[str | OwnResult, int] = {}
        for position, source in sources.items():
            first_positions.setdefault(source, position)
        tasks = {
            source: asyncio.create_task(
                self._at_position(
                    position, partial(self._load, source, user, claim, keep=edit_first and position == first)
                )
            )
            for source, position in first_positions.items()
        }
        try:
            done, waiting = await asyncio.wait(
                tasks.values(), timeout=claim.wait_seconds(), return_when=asyncio.FIRST_EXCEPTION
            )
        finally:
            for task in tasks.values():
                task.cancel()
            # The caller releases their memory next: no thread and no sandbox may still use it.
            await ended(*tasks.values())
        for task in tasks.values():  # in the order of their positions
            if task in done and (error := task.exception()) is not None:
                raise error
        if waiting:
            raise Busy("The images could not be loaded and converted in time", retry_after=5)
        try:
            async with asyncio.timeout(claim.wait_seconds()):
                loaded = await self._fitted(
                    {position: tasks[source].result() for position, source in sources.items()}, claim
                )
        except TimeoutError:
            raise Busy("The images could not be made smaller in time", retry_after=5) from None
        return tuple(each if each.converted else replace(each, original=None) for each in loaded)

    async def prepare_edit(
        self, mask: str, inputs: Sequence[LoadedInput], shapes: Shapes, max_side: int, user: User, claim: Claim
    ) -> PreparedEdit | None:
        """Load a mask, and prepare the edit of the first of `inputs`. Returns None where all of it is to be edited.

        `mask` is in any of the forms of an input. Raises InputError, ImagesTooLarge, StorageUnavailable, Busy; Conflict
        where the image of an earlier generation cannot be edited.
        """
        position = EARLIER if inputs[0].earlier else 0
        try:
            async with asyncio.timeout(claim.wait_seconds()):
                data = await self._mask(mask, user, claim)
                prepare = partial(prepare_in_sandbox, mask=data, shapes=shapes, max_side=max_side)
                run = partial(self._sandboxes.run, inputs[0].edited, claim.user_id, claim.wait_seconds, prepare)
                edit = await self._at_position(position, run)
        except MaskFault as fault:
            kind = InvalidImage if fault.kind is UnsupportedImage else fault.kind
            raise kind(None, fault.details) from fault
        except TimeoutError:
            raise Busy("The mask could not be applied in time", retry_after=5) from None
        if edit is not None:
            claim.take(len(edit.sent.data) + len(edit.mask.data))
            check_fit([edit.sent, *(each.image for each in inputs[1:])], self._limits.max_bytes_together)
        return edit

    async def _mask(self, text: str, user: User, claim: Claim) -> bytes:
        """Return the file of a mask. Raises MaskFault, Busy."""
        try:
            data, _ = await self._bytes(text, user, claim)
        except Fault as fault:
            raise MaskFault(fault.kind, fault.details) from fault
        if len(data) > self._limits.max_bytes:
            raise MaskFault(ImageTooLarge, self._too_large().details)
        return data

    async def _fitted(self, loaded: Mapping[int, LoadedInput], claim: Claim) -> tuple[LoadedInput, ...]:
        """Scale images down where they are too large for one model call. Raises ImagesTooLarge, Busy, InputError."""
        positions = tuple(loaded)

        async def shrink(index: int, image: Image, side: int) -> Image:
            return await self._at_position(positions[index], partial(self._shrunk, image, side, claim))

        images = await fitted([each.image for each in loaded.values()], shrink, self._limits.max_bytes_together)
        return tuple(
            each if image is each.image else replace(each, image=image, converted=True)
            for each, image in zip(loaded.values(), images, strict=True)
        )

    async def _shrunk(self, image: Image, side: int, claim: Claim) -> Image:
        smaller = await self._converted(image.data, claim, partial(convert_in_sandbox, max_side=side))
        claim.release_part(len(image.data))
        claim.take(len(smaller.data))
        return smaller

    async def load_upload(self, data: bytes, claim: Claim) -> Image:
        """Check an uploaded file and prepare it like an input. Raises InputError, Busy."""
        try:
            async with asyncio.timeout(claim.wait_seconds()):
                image, _ = await self._at_position(0, partial(self._prepare, data, claim))
        except TimeoutError:
            raise Busy("The image could not be converted in time", retry_after=5) from None
        return image

    async def _at_position(self, position: int, load: Callable[[], Awaitable[T]]) -> T:
        try:
            return await load()
        except MaskFault:
            raise
        except Fault as fault:
            if position == EARLIER:
                raise Conflict(fault.details) from fault
            raise fault.kind(position, fault.details) from fault

    async def _load(self, given: str | OwnResult, user: User, claim: Claim, *, keep: bool) -> LoadedInput:
        data, address = await self._bytes(given, user, claim)
        most = MAX_INLINE_BYTES if isinstance(given, OwnResult) else None
        image, converted = await self._prepare(data, claim, 0 if address is None else len(data), most)
        if keep:
            claim.take(len(data))
        return LoadedInput(image, address, converted, data if keep else None, isinstance(given, OwnResult))

    async def _bytes(self, given: str | OwnResult, user: User, claim: Claim) -> tuple[bytes, str | None]:
        """Return the file of an input or a mask, and its URL, if any: then `claim` is charged. Raises Fault, Busy."""
        if isinstance(given, OwnResult):
            data = await self._images.read_input(user, given, MAX_INLINE_BYTES, claim.grow)
            return data, api_url(given.record_id)
        source = parse(given)
        if isinstance(source, Inline):
            # The claim for the request's body includes what is decoded from it.
            async with self._checks.slot(claim.user_id, claim.wait_seconds()):
                return await offloaded(len(source.text), source.decode), None
        own = own_image(source.url, user, self._own)
        data = await (self._fetcher.fetch(source.url, claim) if own is None else self._read_own(user, own, claim))
        return data, shown(source.url)

    async def _read_own(self, user: User, own: OwnBlob | OwnResult, claim: Claim) -> bytes:
        """Return the bytes of a stored image; `claim` is charged with them. Raises Fault, Busy."""
        try:
            return await self._images.read_input(user, own, self._limits.max_bytes, claim.grow)
        except BlobTooLarge as error:
            raise self._too_large() from error

    def _too_large(self) -> Fault:
        return Fault(ImageTooLarge, f"it has more than {self._limits.max_bytes:,} bytes, which is the limit")

    async def _prepare(
        self, data: bytes, claim: Claim, held: int = 0, max_bytes: int | None = None
    ) -> tuple[Image, bool]:
        """Check a file and convert it if necessary. Returns whether it was converted, too. Raises Fault, Busy.

        `claim` is then charged with the image instead of the `held` bytes of the file.
        """
        if len(data) > (max_bytes or self._limits.max_bytes):
            raise self._too_large()
        user, max_pixels = claim.user_id, self._limits.max_pixels
        async with self._checks.slot(user, claim.wait_seconds()):
            # In a thread for every size: a small file may have many parts.
            image = await in_thread(partial(as_it_is, data, max_pixels))
        converted = image is None
        if image is None:
            image = await self._converted(data, claim, self._convert)
        claim.release_part(held)
        claim.take(len(image.data))
        return image, converted

    async def _converted(self, data: bytes, claim: Claim, convert: Convert[Image]) -> Image:
        return await self._sandboxes.run(data, claim.user_id, claim.wait_seconds, convert)

    async def close(self) -> None:
        """Close the connections of the fetcher."""
        await self._fetcher.close()


def shown(url: str) -> str:
    """Return a URL without the parts that may be secret: user, query and fragment."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rsplit("@", 1)[-1], parts.path, "", ""))
