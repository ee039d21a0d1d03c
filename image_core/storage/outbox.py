"""The outbox: completed records and images that could not be stored yet, kept in the private container until they can.

An entry is the document of a completed record, which the database or the image container could not take. Images are
those that the image container could not take.
"""

import json
from typing import Any

from image_core.errors import BlobMissing
from image_core.images.image import Image
from image_core.storage.blobs import Blob, Blobs, put_as
from image_core.storage.documents import Document
from image_core.storage.naming import OUTBOX_RECORDS, OutboxImage, OutboxRecord, image_name, stem_of

MAX_ENTRY_BYTES = 2_000_000
"""The longest entry, which is also the longest document of Cosmos DB."""


class Outbox:
    """Keeps records and images. Every method raises StorageUnavailable while Blob Storage does not answer."""

    def __init__(self, blobs: Blobs, private_container: str) -> None:
        self._blobs = blobs
        self._container = private_container

    async def put(self, document: Document) -> None:
        """Keep the document of a completed record, instead of an earlier one with its id."""
        data = json.dumps(document, ensure_ascii=False).encode()
        path = OutboxRecord(document["id"]).path
        await self._blobs.put(self._container, path, data, "application/json", overwrite=True)

    async def read(self, record_id: str) -> Document | None:
        """Return the entry of one record, or None."""
        try:
            data = await self._blobs.read(self._container, OutboxRecord(record_id).path, MAX_ENTRY_BYTES)
        except BlobMissing:
            return None
        document: dict[str, Any] = json.loads(data)
        return document

    async def ids(self) -> tuple[str, ...]:
        """Return the ids of all entries, oldest first."""
        blobs = await self._blobs.find(self._container, OUTBOX_RECORDS)
        entries = (OutboxRecord.parse(blob.name) for blob in blobs)
        return tuple(entry.record_id for entry in entries if entry is not None)

    async def delete(self, record_id: str) -> None:
        """Delete the entry of one record; one that does not exist is no error."""
        await self._blobs.delete(self._container, OutboxRecord(record_id).path)

    async def put_image(self, stem: str, image: Image, owner: str) -> bool:
        """Keep an image. Returns False where another image of the generation is kept already: that one counts."""
        path = OutboxImage(image_name(stem, image.extension)).path
        mine = await put_as(self._blobs, self._container, path, image, owner)
        return mine and (await self._images(stem))[0].name == path

    async def image(self, stem: str, max_bytes: int) -> tuple[str, bytes] | None:
        """Return the name and the bytes of the oldest image of a generation; None where none is kept."""
        found = await self._images(stem)
        name = None if not found else OutboxImage.parse(found[0].name)
        if name is None:
            return None
        try:
            data = await self._blobs.read(self._container, name.path, max_bytes)
        except BlobMissing:
            return None
        return name.name, data

    async def delete_images(self, stem: str) -> None:
        """Delete every image of a generation."""
        for blob in await self._images(stem):
            await self._blobs.delete(self._container, blob.name)

    async def _images(self, stem: str) -> list[Blob]:
        """Return the images of a generation, oldest first."""
        found = await self._blobs.find(self._container, OutboxImage(f"{stem}.").path)
        parsed = ((OutboxImage.parse(blob.name), blob) for blob in found)
        return [blob for image, blob in parsed if image is not None and stem_of(image.name) == stem]
