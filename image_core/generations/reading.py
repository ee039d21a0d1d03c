"""Read stored images and input copies: for an answer, for their owner by name, and as inputs."""

from dataclasses import dataclass, replace

from image_core.auth.user import User
from image_core.errors import BlobMissing, InvalidImage, NotFound, StorageUnavailable
from image_core.generations.record import Record, Status
from image_core.generations.records import Records
from image_core.generations.result import Result
from image_core.images.fault import Fault
from image_core.images.image import Image
from image_core.inputs.owned_urls import OwnBlob, OwnResult, missing
from image_core.runtime.memory_budget import Claim
from image_core.storage.blobs import Blob, Blobs, Reserve
from image_core.storage.images import StoredImages
from image_core.storage.naming import Locations, name_in
from image_core.storage.renditions import Renditions

MAX_OUTPUT_BYTES = 100_000_000
"""More than any model answers: an image that was stored is always read back whole."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A blob that its owner may read."""

    container: str
    blob: Blob


class Reading:
    """Reads stored images. Every method raises StorageUnavailable while the storage does not answer."""

    def __init__(
        self, blobs: Blobs, images: StoredImages, renditions: Renditions, records: Records, own: Locations
    ) -> None:
        self._blobs = blobs
        self._images = images
        self._renditions = renditions
        self._records = records
        self._own = own

    async def image(self, result: Result, claim: Claim) -> Image:
        """Return the image of a generation: from memory, else from its blob, and then `claim` holds it.

        Raises Busy, StorageUnavailable.
        """
        if result.image is not None:
            return result.image
        record = result.record
        try:
            data = await self._images.read(record.user, stored_name(record), MAX_OUTPUT_BYTES, claim.enter)
        except BlobMissing as error:
            raise StorageUnavailable("The image is not there; its record remains") from error
        return Image(data, record.mime_type or "image/png", record.width or 0, record.height or 0)

    async def open(self, user: User, name: str) -> Opened:
        """Return what `/api/images/NAME` is for `user`. Raises NotFound where that is nothing, or another user's."""
        for place in self._own.find(user, name):
            try:
                blob = await self._blobs.describe(place.container, place.path)
            except BlobMissing:
                continue
            if place.in_folder or await self._owns(user, name, blob):
                return Opened(place.container, blob)
        raise NotFound

    async def delete(self, user: User, name: str) -> None:
        """Remove the image `name` of `user` and its renditions. Raises NotFound."""
        opened = await self.open(user, name)
        await self._blobs.delete(opened.container, opened.blob.name)
        await self._renditions.delete_of_image(user, name)

    def shown(self, record: Record) -> Record:
        """Return `record` with addresses that can be read now, whatever `IMAGE_ACCESS` was when they were written."""
        url = record.output_image_url
        return replace(
            record,
            output_image_url=None if url is None else self._images.current_url(url),
            input_images=tuple(map(self._images.current_url, record.input_images)),
        )

    async def open_result(self, record: Record) -> Opened:
        """Return the image of a generation that succeeded. Raises NotFound where its blob is gone."""
        return await self.open(record.user, stored_name(record))

    async def _owns(self, user: User, name: str, blob: Blob) -> bool:
        """Return whether an image outside of folders is `user`'s, by metadata or a record of the original product."""
        known = await self._images.belongs_to(user, name, blob)
        return await self._records.names_image(user, name) if known is None else known

    async def read_input(
        self, user: User, own: OwnBlob | OwnResult, max_bytes: int, reserve: Reserve | None = None
    ) -> bytes:
        """Read a stored image as an input, after `reserve` has found memory for it.

        Raises Fault where it is not there for `user`, BlobTooLarge.
        """
        if isinstance(own, OwnResult):
            own = await self._result(user, own.record_id)
        for place in own.places:
            try:
                # Anybody may read a public image by its address; a private one only its owner.
                if self._own.private and not place.in_folder:
                    blob = await self._blobs.describe(place.container, place.path)
                    if not await self._owns(user, own.name, blob):
                        continue
                return await self._blobs.read(place.container, place.path, max_bytes, reserve)
            except BlobMissing:
                continue
        raise missing()

    async def _result(self, user: User, record_id: str) -> OwnBlob:
        record = await self._records.find(user, record_id)
        if record is None or record.status is Status.DELETING:
            raise missing()
        if record.status is not Status.SUCCEEDED:
            raise Fault(
                InvalidImage, "its generation has no image" + (" yet" if record.status is Status.RUNNING else "")
            )
        name = stored_name(record)
        return OwnBlob(name, self._own.find(record.user, name))

    async def read(self, opened: Opened, offset: int, length: int) -> bytes:
        """Return `length` bytes from `offset`. Raises NotFound where it was deleted meanwhile."""
        try:
            return await self._blobs.read_range(opened.container, opened.blob.name, offset, length)
        except BlobMissing:
            raise NotFound from None


def stored_name(record: Record) -> str:
    """Return the name under which `/api/images` has the image of a generation that succeeded."""
    return name_in(record.output_image_url or "")
