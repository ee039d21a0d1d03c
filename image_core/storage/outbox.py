"""What the storage could not take when a generation ended, kept in the private container until it can.

`finished/<id>.json` is a record in its final state, which Cosmos DB or the image container could not take. `images/<stem>.<extension>` is an image
that the image container could not take.
"""

import json

from image_core.errors import BlobMissing
from image_core.generations.record import Record
from image_core.generations.record_codec import from_document, to_document
from image_core.images.image import Image
from image_core.settings import Settings
from image_core.storage.blobs import Blobs

MAX_ENTRY_BYTES = 2_000_000
"""An item of Cosmos DB is not longer either."""


class Outbox:
    """Raises StorageUnavailable from every method while Blob Storage does not answer."""

    def __init__(self, blobs: Blobs, settings: Settings) -> None:
        self._blobs = blobs
        self._container = settings.storage_private_container

    async def put(self, record: Record) -> None:
        data = json.dumps(to_document(record), ensure_ascii=False).encode()
        await self._blobs.put(self._container, _name(record.id), data, "application/json", overwrite=True)

    async def read(self, record_id: str) -> Record | None:
        try:
            data = await self._blobs.read(self._container, _name(record_id), MAX_ENTRY_BYTES)
        except BlobMissing:
            return None
        return from_document(json.loads(data))

    async def ids(self) -> tuple[str, ...]:
        """The ids of all entries, oldest first."""
        return tuple(
            blob.name.removeprefix("finished/").removesuffix(".json")
            for blob in await self._blobs.find(self._container, "finished/")
        )

    async def delete(self, record_id: str) -> None:
        await self._blobs.delete(self._container, _name(record_id))

    async def put_image(self, stem: str, image: Image, owner: str) -> bool:
        """Keep an image. False where another one of its generation is kept already: that one counts."""
        name = f"images/{stem}.{image.extension}"
        written = await self._blobs.put(
            self._container, name, image.data, image.mime_type, overwrite=False, metadata={"owner": owner}
        )
        if not written:
            written = (await self._blobs.describe(self._container, name)).metadata.get("owner") == owner
        found = await self._blobs.find(self._container, f"images/{stem}.")
        return written and found[0].name == name

    async def image(self, stem: str, max_bytes: int) -> tuple[str, bytes] | None:
        """The name and the bytes of the image of a generation; None where none is kept."""
        found = await self._blobs.find(self._container, f"images/{stem}.")
        if not found:
            return None
        try:
            data = await self._blobs.read(self._container, found[0].name, max_bytes)
        except BlobMissing:
            return None
        return found[0].name.rsplit("/", 1)[-1], data

    async def delete_images(self, stem: str) -> None:
        for blob in await self._blobs.find(self._container, f"images/{stem}."):
            await self._blobs.delete(self._container, blob.name)


def _name(record_id: str) -> str:
    return f"finished/{record_id}.json"
