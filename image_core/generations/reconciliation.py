"""Compare images with records, and find what was started and never completed."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from image_core.generations.outbox_delivery import OutboxDelivery
from image_core.generations.queue_message import QueueMessage
from image_core.generations.record import Status, Summary
from image_core.generations.records import Records
from image_core.generations.recovery import Recovery
from image_core.storage.blobs import Blob, Blobs
from image_core.storage.images import REVALIDATE
from image_core.storage.naming import (
    INPUTS,
    RENDITIONS,
    TURNS,
    InputBlob,
    RenditionBlob,
    TurnBlob,
    is_own_stem,
    last_segment,
    name_in,
    stem_of,
)
from image_core.storage.outbox import Outbox


class Kind(StrEnum):
    """The kinds of differences."""

    IMAGE_WITHOUT_RECORD = "image_without_record"
    RECORD_WITHOUT_IMAGE = "record_without_image"
    LEASE_EXPIRED = "lease_expired"
    OUTBOX_ENTRY = "outbox_entry"
    LONG_CACHE = "long_cache"
    RENDITION_WITHOUT_IMAGE = "rendition_without_image"
    TURN_WITHOUT_RECORD = "turn_without_record"


@dataclass(frozen=True, slots=True)
class Finding:
    """One difference between images and records. `fix` is None where a person has to decide."""

    kind: Kind
    name: str
    fix: Callable[[], Awaitable[object]] | None = None


@dataclass(frozen=True, slots=True)
class ImagePlaces:
    """Where images are. `public`: browsers read them from their container."""

    container: str
    private_container: str
    public: bool
    young_seconds: float
    """An image that is younger may have a record that is not written yet."""


class Reconciliation:
    """Reads all records and blobs: for operators and for tests. Raises StorageUnavailable."""

    def __init__(
        self,
        records: Records,
        blobs: Blobs,
        outbox: Outbox,
        delivery: OutboxDelivery,
        recovery: Recovery,
        places: ImagePlaces,
    ) -> None:
        self._records = records
        self._blobs = blobs
        self._outbox = outbox
        self._delivery = delivery
        self._recovery = recovery
        self._places = places

    async def findings(self) -> list[Finding]:
        """Return all differences."""
        now = self._records.now()
        young = now - timedelta(seconds=self._places.young_seconds)
        # First the images, then the records: what is made in between has its record already.
        images = await self._blobs.find(self._places.container, "")
        renditions = await self._blobs.find(self._places.private_container, RENDITIONS)
        copies = await self._blobs.find(self._places.private_container, INPUTS) if renditions else ()
        turns = await self._blobs.find(self._places.private_container, TURNS)
        waiting = await self._outbox.ids()
        records = [record async for record in self._records.everything()]
        stems = {record.blob_stem for record in records if record.blob_stem}
        names = {last_segment(image.name) for image in images}
        found = [
            Finding(Kind.IMAGE_WITHOUT_RECORD, image.name)
            for image in images
            if (stem := stem_of(last_segment(image.name)))
            and is_own_stem(stem)
            and stem not in stems
            and image.created < young
        ]
        found += [
            Finding(Kind.RECORD_WITHOUT_IMAGE, record.id)
            for record in records
            if record.status == Status.SUCCEEDED and name_in(record.output_image_url or "") not in names
        ]
        found += [
            Finding(Kind.LEASE_EXPIRED, record.id, self._resume(record))
            for record in records
            if record.lease_expires_at is not None and record.lease_expires_at <= now
        ]
        found += [
            Finding(Kind.LONG_CACHE, image.name, self._revalidate(image))
            for image in images
            if self._places.public and "immutable" in (image.cache_control or "")
        ]
        sources = names | {blob.copy_name for copy in copies if (blob := InputBlob.parse(copy.name))}
        found += [
            Finding(Kind.RENDITION_WITHOUT_IMAGE, rendition.name, self._delete_private(rendition.name))
            for rendition in renditions
            if (made := RenditionBlob.parse(rendition.name)) and made.name not in sources and rendition.created < young
        ]
        found += [
            Finding(Kind.TURN_WITHOUT_RECORD, turn.name, self._delete_private(turn.name))
            for turn in turns
            if (stored := TurnBlob.parse(turn.name)) and stored.stem not in stems and turn.created < young
        ]
        return found + [Finding(Kind.OUTBOX_ENTRY, record_id, self._apply(record_id)) for record_id in waiting]

    def _revalidate(self, blob: Blob) -> Callable[[], Awaitable[object]]:
        """Return the fix of what was stored before `no-cache`: browsers reuse it without the headers of a download."""
        return lambda: self._blobs.set_headers(self._places.container, blob.name, blob.content_type, REVALIDATE)

    def _delete_private(self, name: str) -> Callable[[], Awaitable[object]]:
        """Return the fix of what a process left that died while it stored something beside a deleted image."""
        return lambda: self._blobs.delete(self._places.private_container, name)

    def _resume(self, record: Summary) -> Callable[[], Awaitable[object]]:
        return lambda: self._recovery.resume(QueueMessage(record.id, record.user_id).to_json().encode())

    def _apply(self, record_id: str) -> Callable[[], Awaitable[object]]:
        return lambda: self._delivery.apply_id(record_id)
