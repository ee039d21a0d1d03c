"""Finished records that Cosmos DB could not take when they were finished: kept as blobs until it can."""

import json

from image_core.errors import BlobMissing
from image_core.settings import Settings
from image_core.store.blobs import Blobs
from image_core.store.record import Record

MAX_ENTRY_BYTES = 2_000_000
"""An item of Cosmos DB is not longer either."""


class Outbox:
    """Entries `finished/<id>.json` in the private container. Raises StorageUnavailable."""

    def __init__(self, blobs: Blobs, settings: Settings) -> None:
        self._blobs = blobs
        self._container = settings.storage_private_container

    async def put(self, record: Record) -> None:
        data = json.dumps(record.to_item(), ensure_ascii=False).encode()
        await self._blobs.put(self._container, _name(record.id), data, "application/json", overwrite=True)

    async def read(self, record_id: str) -> Record | None:
        try:
            data = await self._blobs.read(self._container, _name(record_id), MAX_ENTRY_BYTES)
        except BlobMissing:
            return None
        return Record.from_item(json.loads(data))

    async def ids(self) -> tuple[str, ...]:
        """The ids of all entries, oldest first."""
        return tuple(
            blob.name.removeprefix("finished/").removesuffix(".json")
            for blob in await self._blobs.find(self._container, "finished/")
        )

    async def delete(self, record_id: str) -> None:
        await self._blobs.delete(self._container, _name(record_id))


def _name(record_id: str) -> str:
    return f"finished/{record_id}.json"
