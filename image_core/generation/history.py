"""A user's generations: reading, listing, deleting. Another user's are not there."""

from datetime import timedelta

from image_core.clock import Clock, iso
from image_core.errors import NotFound
from image_core.generation.log_line import log_generation
from image_core.settings import Settings
from image_core.store.ledger import Ledger
from image_core.store.outbox import Outbox
from image_core.store.pictures import Pictures
from image_core.store.pseudonyms import Pseudonyms
from image_core.store.record import Record
from image_core.store.records import Page, Records
from image_core.user import User

DELETE_AGAIN_SECONDS = 30
"""After this the recovery goes on with a deletion that was begun and not finished."""


class History:
    """Raises StorageUnavailable from every method while the storage does not answer."""

    def __init__(
        self,
        records: Records,
        pictures: Pictures,
        outbox: Outbox,
        ledger: Ledger,
        pseudonyms: Pseudonyms,
        settings: Settings,
        clock: Clock,
    ) -> None:
        self._records = records
        self._pictures = pictures
        self._outbox = outbox
        self._ledger = ledger
        self._pseudonyms = pseudonyms
        self._settings = settings
        self._clock = clock

    async def read(self, user: User, record_id: str) -> Record:
        """Raises NotFound where there is none, or it is another user's, or it is being deleted."""
        record = await self._records.find(user, record_id)
        if record is None or record.status == "deleting":
            raise NotFound
        return record

    async def page(self, user: User, limit: int, continuation: str | None) -> Page:
        return await self._records.page(user, limit, continuation)

    async def delete(self, user: User, record_id: str) -> None:
        """Hide the generation everywhere at once, then remove its picture and its record. Raises NotFound.

        While another runs it the record stays, hidden, until the lease is over: its runner could still store a picture.
        """
        record = await self.read(user, record_id)
        now = self._records.now()
        soon = iso(now + timedelta(seconds=DELETE_AGAIN_SECONDS))
        was_leased = record.leased(iso(now))

        def hidden(stored: Record) -> Record | None:
            nonlocal was_leased
            if stored.status == "deleting":
                return None
            was_leased = stored.status == "running" and stored.leased(iso(now))
            until = max(soon, stored.lease_expires_at or "") if was_leased else soon
            return stored.deleting(until, leased=was_leased)

        deleting = await self._records.change(record, hidden)
        if deleting is None:
            raise NotFound
        if was_leased:
            return
        await self.finish_deleting(deleting)

    async def finish_deleting(self, record: Record) -> None:
        """Remove what a hidden record still has; safe to repeat."""
        if record.blob_stem:
            await self._pictures.delete_all(record.user, record.blob_stem)
        elif record.output_image_url:  # of the original product, which wrote no stem
            await self._pictures.delete_original(record.user, record.output_image_url)
        await self._outbox.delete(record.id)
        # The change feed shows what is there: a record that goes before it was read would take its bill along.
        await self._ledger.write(record)
        await self._pseudonyms.prepare_log()
        log_generation(record, iso(self._clock.now()), self._pseudonyms)
        await self._records.delete(record)
