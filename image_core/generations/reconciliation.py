"""Compare images with records, and find what was started and never completed."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from image_core.clock import Clock, iso
from image_core.generations.completion import Completion
from image_core.generations.outcome import Gone
from image_core.generations.record import Status
from image_core.generations.recovery import Recovery, message
from image_core.settings import Settings
from image_core.storage.blobs import Blob, Blobs
from image_core.storage.images import REVALIDATE
from image_core.storage.input_copies import PREFIX as INPUT
from image_core.storage.outbox import Outbox
from image_core.storage.records import Records, Summary
from image_core.storage.renditions import PREFIX as RENDITIONS

_OURS = re.compile(r"(?:.*/)?(generated-\d{10,17}-[0-9a-f]{32})\.[a-z]+")


class Kind(StrEnum):
    """What can be wrong."""

    IMAGE_WITHOUT_RECORD = "image_without_record"
    RECORD_WITHOUT_IMAGE = "record_without_image"
    LEASE_EXPIRED = "lease_expired"
    OUTBOX_ENTRY = "outbox_entry"
    LONG_CACHE = "long_cache"
    RENDITION_WITHOUT_IMAGE = "rendition_without_image"


@dataclass(frozen=True, slots=True)
class Finding:
    """One difference between images and records. `fix` is None where a person has to decide."""

    kind: Kind
    name: str
    fix: Callable[[], Awaitable[object]] | None = None


class Reconciliation:
    """Reads all records and blobs: for operators and for tests. Raises StorageUnavailable."""

    def __init__(
        self,
        records: Records,
        blobs: Blobs,
        outbox: Outbox,
        completion: Completion,
        recovery: Recovery,
        settings: Settings,
        clock: Clock,
    ) -> None:
        self._records = records
        self._blobs = blobs
        self._outbox = outbox
        self._completion = completion
        self._recovery = recovery
        self._settings = settings
        self._clock = clock

    async def findings(self) -> list[Finding]:
        """Return all differences."""
        now = self._records.now()
        young = now - timedelta(seconds=self._settings.lease_seconds)
        # First the pictures, then the records: what is made in between has its record already.
        pictures = await self._blobs.find(self._settings.storage_container, "")
        renditions = await self._blobs.find(self._settings.storage_private_container, RENDITIONS)
        copies = await self._blobs.find(self._settings.storage_private_container, "inputs/") if renditions else ()
        waiting = await self._outbox.ids()
        records = [record async for record in self._records.everything()]
        stems = {record.blob_stem for record in records if record.blob_stem}
        names = {picture.name.rsplit("/", 1)[-1] for picture in pictures}
        found = [
            Finding(Kind.IMAGE_WITHOUT_RECORD, picture.name)
            for picture in pictures
            if (ours := _OURS.fullmatch(picture.name)) and ours[1] not in stems and picture.created < young
        ]
        found += [
            Finding(Kind.RECORD_WITHOUT_IMAGE, record.id)
            for record in records
            if record.status == Status.SUCCEEDED and (record.output_image_url or "").rsplit("/", 1)[-1] not in names
        ]
        found += [
            Finding(Kind.LEASE_EXPIRED, record.id, self._resume(record))
            for record in records
            if record.lease_expires_at is not None and record.lease_expires_at <= iso(now)
        ]
        found += [
            Finding(Kind.LONG_CACHE, picture.name, self._revalidate(picture))
            for picture in pictures
            if self._settings.image_access == "public" and "immutable" in (picture.cache_control or "")
        ]
        sources = names | {f"{INPUT}{copy.name.rsplit('/', 1)[-1]}" for copy in copies}
        found += [
            Finding(Kind.RENDITION_WITHOUT_IMAGE, rendition.name, self._delete_rendition(rendition.name))
            for rendition in renditions
            if rendition.name.split("/")[-2] not in sources and rendition.created < young
        ]
        return found + [Finding(Kind.OUTBOX_ENTRY, record_id, self._apply(record_id)) for record_id in waiting]

    def _revalidate(self, blob: Blob) -> Callable[[], Awaitable[object]]:
        """What was stored before `no-cache`: browsers reuse it without the headers that a download needs."""
        return lambda: self._blobs.set_headers(
            self._settings.storage_container, blob.name, blob.content_type, REVALIDATE
        )

    def _delete_rendition(self, name: str) -> Callable[[], Awaitable[object]]:
        """What is left where a process died between storing a rendition and seeing that its image was deleted meanwhile."""
        return lambda: self._blobs.delete(self._settings.storage_private_container, name)

    def _resume(self, record: Summary) -> Callable[[], Awaitable[object]]:
        return lambda: self._recovery.resume(message(record.id, record.user_id).encode())

    def _apply(self, record_id: str) -> Callable[[], Awaitable[object]]:
        async def apply() -> None:
            entry = await self._outbox.read(record_id)
            if entry is not None:
                try:
                    await self._completion.apply(entry)
                except Gone:
                    return  # it was deleted meanwhile, and so is the entry now

        return apply
