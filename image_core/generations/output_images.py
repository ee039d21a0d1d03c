"""Store, find and delete the images of generations: in their container, or in the outbox while it takes none."""

import asyncio
import logging
from functools import partial

from image_core.errors import BlobMissing, StorageUnavailable
from image_core.generations.context import Conversations
from image_core.generations.reading import MAX_OUTPUT_BYTES
from image_core.generations.record import Record, StoredTurn
from image_core.generations.retries import StorageRetries
from image_core.images.image import Image
from image_core.images.probe import read_header
from image_core.models.generated import Generated
from image_core.runtime.offload import offloaded
from image_core.storage.images import StoredImage, StoredImages
from image_core.storage.naming import image_name
from image_core.storage.outbox import Outbox

log = logging.getLogger("image_core.generations")

CONTAINER_SECONDS = 5.0
"""How long an image waits for its container before it goes into the outbox. A container that is being replaced is often
there again within seconds."""


class OutputImages:
    """Stores, finds and deletes the images of generations."""

    def __init__(
        self, images: StoredImages, outbox: Outbox, conversations: Conversations, retries: StorageRetries
    ) -> None:
        self._images = images
        self._outbox = outbox
        self._conversations = conversations
        self._retries = retries

    def url(self, name: str) -> str:
        """Return the permanent address of an image."""
        return self._images.url(name)

    async def store(self, record: Record, generated: Generated) -> tuple[StoredImage, StoredTurn | None]:
        """Store the image, repeatedly while the storage is down, and beside it the model's turn.

        Where the container does not take the image for CONTAINER_SECONDS, it goes into the outbox
        (`StoredImage.waiting`). Raises StorageUnavailable where the image cannot be stored.
        """
        keeping = asyncio.create_task(self._conversations.keep(record, generated.model, generated.turn))
        try:
            stored = await self._store(record, generated.image)
            turn = await keeping
        finally:
            keeping.cancel()
        return stored, turn if stored.mine else None  # another process's image counts, which this turn does not show

    async def _store(self, record: Record, image: Image) -> StoredImage:
        owner = record.lease_owner or ""
        container = self._retries.deadline(CONTAINER_SECONDS)

        async def put() -> StoredImage:
            try:
                return await self._images.put(record.user, record.blob_stem, image, owner)
            except StorageUnavailable:
                if container.remaining():
                    raise
                return await self._put_into_outbox(record, image, owner)

        return await self._retries.run(put)

    async def _put_into_outbox(self, record: Record, image: Image, owner: str) -> StoredImage:
        mine = await self._outbox.put_image(record.blob_stem, image, owner)
        name = image_name(record.blob_stem, image.extension)
        log.error("an image waits in the outbox", extra={"generation": record.id})
        return StoredImage(name, self._images.url(name), mine, waiting=True)

    async def find(self, record: Record) -> tuple[str, Image] | None:
        """Return the name and the image of a generation that was not completed; None where there is none.

        An image in the outbox is moved into its container, and stays in the outbox as well until the record has ended.
        Raises StorageUnavailable.
        """
        name = await self._images.find(record.user, record.blob_stem) or await self.move_from_outbox(record)
        if name is None:
            return None
        try:
            data = await self._images.read(record.user, name, MAX_OUTPUT_BYTES)
        except BlobMissing:
            return None
        return name, await _image(data)

    async def move_from_outbox(self, record: Record) -> str | None:
        """Copy the image of `record` from the outbox into its container; return its name, None where none waits.

        Raises StorageUnavailable.
        """
        kept = await self._outbox.image(record.blob_stem, MAX_OUTPUT_BYTES)
        if kept is None:
            return None
        image = await _image(kept[1])
        return (await self._images.put(record.user, record.blob_stem, image, record.lease_owner or "")).name

    async def delete(self, record: Record, name: str) -> None:
        """Delete one image of a generation that has another one."""
        await self._images.delete(record.user, name)

    async def delete_all(self, record: Record) -> None:
        """Delete everything that was stored beside the image of a generation, and the image."""
        await self._images.delete_all(record.user, record.blob_stem)

    async def delete_from_outbox(self, record: Record) -> None:
        """Delete the copy in the outbox, once the record has ended."""
        await self._outbox.delete_images(record.blob_stem)


async def _image(data: bytes) -> Image:
    header = await offloaded(len(data), partial(read_header, data))
    if header is None:
        raise StorageUnavailable("The stored image cannot be read")
    return Image(data, header.mime_type, header.width, header.height)
