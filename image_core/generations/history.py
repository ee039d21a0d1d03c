"""Read, list and delete a user's generations. Those of other users are not found."""

from datetime import timedelta

from image_core.auth.user import User
from image_core.clock import Clock
from image_core.errors import NotFound
from image_core.generations.accounting import Accounting
from image_core.generations.record import Record, Status
from image_core.generations.record_codec import from_document
from image_core.generations.records import Page, Records
from image_core.storage.images import StoredImages
from image_core.storage.naming import may_be_newer
from image_core.storage.outbox import Outbox

DELETE_AGAIN_SECONDS = 30
"""After this the recovery continues a deletion that was not completed."""

NEW = timedelta(seconds=60)
NEW_TRIES = 4
NEW_PAUSE_SECONDS = 0.25
"""Session consistency ends at the instance: what another one wrote may take a moment to be readable here."""


class History:
    """A user's generations. Every method raises StorageUnavailable while the storage does not answer."""

    def __init__(
        self,
        records: Records,
        images: StoredImages,
        outbox: Outbox,
        accounting: Accounting,
        clock: Clock,
    ) -> None:
        self._records = records
        self._images = images
        self._outbox = outbox
        self._accounting = accounting
        self._clock = clock

    async def read(self, user: User, record_id: str, *, may_be_new: bool = False) -> Record:
        """Return a generation. Raises NotFound where there is none, or it is another user's, or it is being deleted.

        With `may_be_new` a record that another instance may have written a moment ago is read again, for a second.
        """
        record = await self._records.find(user, record_id)
        tries = 0
        while record is None and may_be_new and tries < NEW_TRIES and may_be_newer(record_id, self._clock.now(), NEW):
            await self._clock.sleep(NEW_PAUSE_SECONDS)
            record = await self._records.find(user, record_id)
            tries += 1
        if record is None or record.status is Status.DELETING:
            raise NotFound
        return record

    async def page(self, user: User, limit: int, continuation: str | None) -> Page:
        """Read a page of the user's generations, newest first. Raises InvalidRequest for a wrong continuation."""
        return await self._records.page(user, limit, continuation)

    async def tree(self, user: User, root_id: str, limit: int, continuation: str | None) -> Page:
        """Read a page of the generations that descend from one, oldest first. Raises as `page` does."""
        return await self._records.tree(user, root_id, limit, continuation)

    async def delete(self, user: User, record_id: str) -> None:
        """Hide the generation everywhere at once, then remove its image and its record. Raises NotFound.

        While a process runs it the record stays, hidden, until the lease is over: that process may still store an
        image.
        """
        record = await self.read(user, record_id)
        now = self._records.now()
        soon = now + timedelta(seconds=DELETE_AGAIN_SECONDS)

        def hidden(stored: Record) -> Record | None:
            if stored.status is Status.DELETING:
                return None
            leased = stored.status is Status.RUNNING and stored.leased(now)
            until = max(soon, stored.lease_expires_at or soon) if leased else soon
            return stored.deleting(until, leased=leased)

        deleting = await self._records.change(record, hidden)
        if deleting is None:
            raise NotFound
        if not deleting.leased(now):
            await self.finish_deleting(deleting)

    async def finish_deleting(self, record: Record) -> None:
        """Remove what a hidden record still has; safe to repeat."""
        if record.blob_stem:
            await self._images.delete_all(record.user, record.blob_stem)
        elif record.output_image_url:  # of the original product, which wrote no stem
            await self._images.delete_original(record.user, record.output_image_url)
        # The change feed shows what is there: of a record that is removed before it was read nothing would be billed.
        entry = await self._outbox.read(record.id)
        waiting = None if entry is None else from_document(entry)
        if waiting is not None and waiting.blob_stem == record.blob_stem:
            record = record.billed(waiting.attempts)
        elif record.completed_at is None:  # its process may have called a model before it died
            record = record.billed(record.lost(self._clock.now()))
        await self._accounting.enter(record)
        if record.blob_stem:
            await self._outbox.delete_images(record.blob_stem)
        await self._outbox.delete(record.id)
        await self._accounting.log(record)
        await self._records.delete(record)
