"""All inputs of a request: loaded at the same time, in their order, each made into a picture that a model takes."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar
from urllib.parse import quote, urlsplit, urlunsplit

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
from image_core.inputs.sources import OWN_PATH, Inline, parse
from image_core.runtime.fair_share import FairShare
from image_core.runtime.memory_budget import Claim
from image_core.runtime.offload import ended, in_thread, offloaded
from image_core.settings import Settings

CHECKS_AT_ONCE = 3
"""Threads that read the structure of untrusted files. The event loop's own pool has five at least: one is always left."""

EARLIER = -1
"""The place of the image of an earlier generation: before those of the request, which are counted from 0."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class LoadedInput:
    """A picture, and the address it came from without query, fragment and user; None where it came with the request."""

    picture: Image
    address: str | None
    converted: bool = False
    """Whether its pixels were encoded again: another kind, size, depth or orientation."""
    original: bytes | None = None
    """The file as it came, of a first input that is to be edited and whose pixels were encoded again."""

    @property
    def edited(self) -> bytes:
        """The file whose pixels a masked edit keeps."""
        return self.picture.data if self.original is None else self.original


class Loader:
    """One for the process: it keeps the connections, and the bounds on checking and converting."""

    def __init__(
        self,
        settings: Settings,
        own: OwnedUrls,
        images: OwnImages,
        fetcher: Fetcher | None = None,
        convert: Convert[Image] = convert_in_sandbox,
        most_together: int = MAX_INLINE_BYTES - RESERVED_BYTES,
        sandboxes: Sandboxes | None = None,
    ) -> None:
        self._settings = settings
        self._own = own
        self._images = images
        self._fetcher = fetcher or Fetcher(settings)
        self._convert = convert
        self._most_together = most_together
        self._sandboxes = sandboxes or Sandboxes(settings)
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
        """Load every input, in order; `claim` holds their bytes. The same string twice is loaded once.

        `earlier` is the id of a generation of the user, whose image comes first. It is read from the storage, and the
        limit for the bytes of one image, which is for what callers send, does not apply to it. With `edit_first` the file
        of the first one is kept, for `prepare_edit`.

        Raises the InputError of the first that failed, ImagesTooLarge, StorageUnavailable, or Busy where they are not
        ready in the time that the claim may wait; the others are then given up. Raises Conflict where the image of
        `earlier` cannot be used.
        """
        sources: dict[int, str | OwnResult] = dict(enumerate(images))
        if earlier is not None:
            sources = {EARLIER: OwnResult(earlier), **sources}
        first = min(sources)
        first_places: dict[str | OwnResult, int] = {}
        for place, source in sources.items():
            first_places.setdefault(source, place)
        tasks = {
            source: asyncio.create_task(
                self._placed(place, partial(self._load, source, user, claim, keep=edit_first and place == first))
            )
            for source, place in first_places.items()
        }
        try:
            done, waiting = await asyncio.wait(
                tasks.values(), timeout=claim.wait_seconds(), return_when=asyncio.FIRST_EXCEPTION
            )
        finally:
            for task in tasks.values():
                task.cancel()
            # The caller gives their memory back next: no thread and no sandbox may still be using it.
            await ended(*tasks.values())
        for task in tasks.values():  # in the order of their places
            if task in done and (error := task.exception()) is not None:
                raise error
        if waiting:
            raise Busy("The images could not be loaded and converted in time", retry_after=5)
        try:
            async with asyncio.timeout(claim.wait_seconds()):
                loaded = await self._fitted({place: tasks[source].result() for place, source in sources.items()}, claim)
        except TimeoutError:
            raise Busy("The images could not be made smaller in time", retry_after=5) from None
        return tuple(each if each.converted else replace(each, original=None) for each in loaded)

    async def prepare_edit(
        self, mask: str, inputs: Sequence[LoadedInput], shapes: Shapes, max_side: int, user: User, claim: Claim
    ) -> PreparedEdit | None:
        """Load a mask, and prepare the edit of the first of `inputs`; None where all of it is to be edited.

        `mask` is in any of the forms of an input. Raises InputError, ImagesTooLarge, StorageUnavailable, Busy.
        """
        try:
            async with asyncio.timeout(claim.wait_seconds()):
                data = await self._mask(mask, user, claim)
                prepare = partial(prepare_in_sandbox, mask=data, shapes=shapes, max_side=max_side)
                edit = await self._sandboxes.run(inputs[0].edited, claim.user_id, claim.wait_seconds, prepare)
        except MaskFault as fault:
            kind = InvalidImage if fault.kind is UnsupportedImage else fault.kind
            raise kind(None, fault.details) from fault
        except Fault as fault:
            raise fault.kind(0, fault.details) from fault
        except TimeoutError:
            raise Busy("The mask could not be applied in time", retry_after=5) from None
        if edit is not None:
            claim.take(len(edit.sent.data) + len(edit.mask.data))
            check_fit([edit.sent, *(each.picture for each in inputs[1:])], self._most_together)
        return edit

    async def _mask(self, text: str, user: User, claim: Claim) -> bytes:
        """The file of a mask. Raises MaskFault, Busy."""
        try:
            data, _ = await self._bytes(text, user, claim)
        except Fault as fault:
            raise MaskFault(fault.kind, fault.details) from fault
        if len(data) > self._settings.max_image_bytes:
            raise MaskFault(ImageTooLarge, self._too_large().details)
        return data

    async def _fitted(self, loaded: Mapping[int, LoadedInput], claim: Claim) -> tuple[LoadedInput, ...]:
        """Make images smaller where all of them are too large for one call of a model. Raises ImagesTooLarge, Busy, InputError."""
        places = tuple(loaded)

        async def shrink(index: int, picture: Image, side: int) -> Image:
            return await self._placed(places[index], partial(self._shrunk, picture, side, claim))

        pictures = await fitted([each.picture for each in loaded.values()], shrink, self._most_together)
        return tuple(
            each if picture is each.picture else replace(each, picture=picture, converted=True)
            for each, picture in zip(loaded.values(), pictures, strict=True)
        )

    async def _shrunk(self, picture: Image, side: int, claim: Claim) -> Image:
        smaller = await self._converted(picture.data, claim, partial(convert_in_sandbox, max_side=side))
        claim.release_part(len(picture.data))
        claim.take(len(smaller.data))
        return smaller

    async def load_upload(self, data: bytes, claim: Claim) -> Image:
        """A file that was uploaded, checked and prepared as an input is. Raises InputError, Busy."""
        try:
            async with asyncio.timeout(claim.wait_seconds()):
                picture, _ = await self._placed(0, partial(self._prepare, data, claim))
        except TimeoutError:
            raise Busy("The image could not be converted in time", retry_after=5) from None
        return picture

    async def _placed(self, place: int, load: Callable[[], Awaitable[T]]) -> T:
        try:
            return await load()
        except Fault as fault:
            if place == EARLIER:
                raise Conflict(fault.details) from fault
            raise fault.kind(place, fault.details) from fault

    async def _load(self, given: str | OwnResult, user: User, claim: Claim, *, keep: bool) -> LoadedInput:
        data, address = await self._bytes(given, user, claim)
        most = MAX_INLINE_BYTES if isinstance(given, OwnResult) else None
        picture, converted = await self._prepare(data, claim, 0 if address is None else len(data), most)
        if keep:
            claim.take(len(data))
        return LoadedInput(picture, address, converted, data if keep else None)

    async def _bytes(self, given: str | OwnResult, user: User, claim: Claim) -> tuple[bytes, str | None]:
        """The file of an input or a mask, and its address; `claim` holds it where it has one. Raises Fault, Busy."""
        if isinstance(given, OwnResult):
            data = await self._images.read_input(user, given, MAX_INLINE_BYTES, claim.grow)
            return data, f"{OWN_PATH}{quote(given.record_id)}"
        source = parse(given)
        if isinstance(source, Inline):
            # The request's own claim covers what is decoded from its body.
            async with self._checks.slot(claim.user_id, claim.wait_seconds()):
                return await offloaded(len(source.text), source.decode), None
        own = own_image(source.url, user, self._own)
        data = await (self._fetcher.fetch(source.url, claim) if own is None else self._read_own(user, own, claim))
        return data, shown(source.url)

    async def _read_own(self, user: User, own: OwnBlob | OwnResult, claim: Claim) -> bytes:
        """The bytes of one of our own images; `claim` holds them. Raises Fault, Busy."""
        try:
            return await self._images.read_input(user, own, self._settings.max_image_bytes, claim.grow)
        except BlobTooLarge as error:
            raise self._too_large() from error

    def _too_large(self) -> Fault:
        return Fault(ImageTooLarge, f"it has more than {self._settings.max_image_bytes:,} bytes, which is the limit")

    async def _prepare(
        self, data: bytes, claim: Claim, held: int = 0, max_bytes: int | None = None
    ) -> tuple[Image, bool]:
        """Check the file and convert it where it must be; whether it was. Raises Fault, Busy.

        Afterwards `claim` holds the image instead of the `held` bytes that it was made from.
        """
        if len(data) > (max_bytes or self._settings.max_image_bytes):
            raise self._too_large()
        user, max_pixels = claim.user_id, self._settings.max_image_pixels
        async with self._checks.slot(user, claim.wait_seconds()):
            # In a thread whatever its size: a small file may have many parts.
            picture = await in_thread(partial(as_it_is, data, max_pixels))
        converted = picture is None
        if picture is None:
            picture = await self._converted(data, claim, self._convert)
        claim.release_part(held)
        claim.take(len(picture.data))
        return picture, converted

    async def _converted(self, data: bytes, claim: Claim, convert: Convert[Image]) -> Image:
        return await self._sandboxes.run(data, claim.user_id, claim.wait_seconds, convert)

    async def close(self) -> None:
        await self._fetcher.close()


def shown(url: str) -> str:
    """An address as it is kept and shown: without what may be a secret."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rsplit("@", 1)[-1], parts.path, "", ""))
