"""Apply what waits in the outbox: completed records that Cosmos DB or the image container could not take."""

from contextlib import suppress
from dataclasses import dataclass, replace

from image_core.errors import StorageUnavailable
from image_core.generations.accounting import Accounting
from image_core.generations.completion import Completion
from image_core.generations.output_images import OutputImages
from image_core.generations.record import Record, Status
from image_core.generations.record_codec import from_document
from image_core.generations.records import Records
from image_core.generations.result import Gone, Result
from image_core.models.generated import merged
from image_core.storage.naming import name_in
from image_core.storage.outbox import Outbox


@dataclass(frozen=True, slots=True)
class Delivered:
    """How many entries of the outbox were applied, and the ids of those that still wait."""

    applied: int
    waiting: frozenset[str]


class OutboxDelivery:
    """Applies entries of the outbox, and finds the completed record or the image of a generation that has not ended."""

    def __init__(
        self, records: Records, images: OutputImages, outbox: Outbox, accounting: Accounting, completion: Completion
    ) -> None:
        self._records = records
        self._images = images
        self._outbox = outbox
        self._accounting = accounting
        self._completion = completion

    async def apply_all(self) -> Delivered:
        """Apply every entry; one that the storage does not take yet does not stop others. Raises StorageUnavailable."""
        applied, waiting = 0, []
        for record_id in await self._outbox.ids():
            try:
                await self.apply_id(record_id)
            except StorageUnavailable:
                waiting.append(record_id)
                continue
            applied += 1
        return Delivered(applied, frozenset(waiting))

    async def apply_id(self, record_id: str) -> None:
        """Apply the entry of one record, if there is one. Raises StorageUnavailable."""
        entry = await self._outbox.read(record_id)
        if entry is not None:
            with suppress(Gone):  # deleted meanwhile: there is nothing left to complete
                await self.apply(from_document(entry))

    async def completed(self, record: Record) -> Record | None:
        """Apply the entry that completes `record` and return the result; None where none waits. Raises Gone."""
        document = await self._outbox.read(record.id)
        if document is None:
            return None
        entry = from_document(document)
        if entry.blob_stem != record.blob_stem:  # of a generation that was deleted, whose key is used again
            with suppress(Gone):
                await self.apply(entry)
            return None
        return await self.apply(entry)

    async def recovered(self, record: Record) -> Result | None:
        """Complete a generation whose process died after it stored the image; return None where there is no image."""
        found = await self._images.find(record)
        if found is None:
            return None
        name, image = found
        return Result(await self._completion.recover(record, name, image), image)

    async def apply(self, entry: Record) -> Record:
        """Write an entry where it still belongs, and only then remove it. Raises Gone, StorageUnavailable."""
        try:
            stored = await self._write(entry)
        except Gone:
            await self._remove(entry)
            raise
        await self._remove(entry)
        return stored

    async def _write(self, entry: Record) -> Record:
        stored = await self._records.read(entry.user, entry.id)
        if stored is None or stored.is_gone(entry):
            await self._images.delete_all(entry)
            await self._completion.drop(entry, stored)
            raise Gone(entry.id)
        name = None if entry.output_image_url is None else name_in(entry.output_image_url)
        if stored.status is Status.SUCCEEDED:
            if name is not None and name_in(stored.output_image_url or "") != name:
                await self._images.delete(entry, name)
            return stored
        same_run = stored.run_id == entry.run_id and stored.lease_owner in {None, entry.lease_owner}
        if name is None and not same_run:
            # Another process has had the lease since. What this one paid stays in the record.
            await self._accounting.enter(entry)
            return await self._records.change(stored, lambda base: _billed(base, entry)) or stored
        if name is not None:
            await self._images.move_from_outbox(entry)

        def completed(base: Record) -> Record:
            attempts = merged(base.attempts, entry.attempts)
            return replace(entry, etag=base.etag, attempts=attempts, attempt_count=base.attempt_count)

        return await self._completion.settle(stored, completed, name)

    async def _remove(self, entry: Record) -> None:
        # The image first: an entry without one was applied, an image without an entry would stay.
        await self._images.delete_from_outbox(entry)
        await self._outbox.delete(entry.id)


def _billed(base: Record, entry: Record) -> Record | None:
    billed = base.billed(entry.attempts)
    return None if billed.attempts == base.attempts else billed
