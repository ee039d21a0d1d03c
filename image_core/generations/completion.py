"""Complete or fail a generation: the only module that writes `succeeded`, `failed` and `canceled`.

Who may write:

- A generated image overrides a running record, and a failed or canceled one, regardless of who holds the lease.
- A record that has its image keeps it: a second image is deleted, and the stored record is returned.
- `failed` and `canceled` are written by the process that holds the lease only.
- Nothing is written into a record that is being deleted or is gone: the image is deleted.
"""

import logging
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from image_core.clock import Clock
from image_core.errors import Canceled, ImageError, Interrupted, ModelError, StorageUnavailable
from image_core.generations.accounting import Accounting
from image_core.generations.failure import Failure
from image_core.generations.output_images import OutputImages
from image_core.generations.record import WARNING_PENDING, Record, Status, total
from image_core.generations.record_codec import to_document, usage_document
from image_core.generations.records import Records
from image_core.generations.result import Gone
from image_core.generations.retries import StorageRetries
from image_core.images.image import Image
from image_core.models.generated import Attempt, Generated, merged
from image_core.storage.images import StoredImage
from image_core.storage.naming import name_in
from image_core.storage.outbox import Outbox

log = logging.getLogger("image_core.generations")

DATABASE_SECONDS = 8.0
"""How long a completed record waits for Cosmos DB before it goes into the outbox: the image is stored, and its caller
should get it before the proxy in front gives up."""

Transition = Callable[[Record], Record]


class Completion:
    """Completes records. Each method returns when the end is stored, in the database or in the outbox."""

    def __init__(
        self,
        records: Records,
        images: OutputImages,
        outbox: Outbox,
        accounting: Accounting,
        retries: StorageRetries,
        clock: Clock,
    ) -> None:
        self._records = records
        self._images = images
        self._outbox = outbox
        self._accounting = accounting
        self._retries = retries
        self._clock = clock

    async def succeed(self, record: Record, generated: Generated, stored: StoredImage) -> Record:
        """Complete a generation whose image is stored. Raises Gone where it was deleted meanwhile."""
        now = self._clock.now()

        def succeeded(base: Record) -> Record:
            completed = base.succeeded(stored.url, generated, record.lease_owner, now)
            return replace(completed, timings=record.timings, turn=record.turn)

        return await self._write(record, succeeded, stored.name)

    async def postpone(self, record: Record, generated: Generated, stored: StoredImage) -> None:
        """Put the completed record into the outbox, where its image is: `outbox_delivery` applies both."""
        if stored.mine:  # else another process's image counts, and its record
            completed = record.succeeded(stored.url, generated, record.lease_owner, self._clock.now())
            await self._into_outbox(completed)

    async def recover(self, record: Record, name: str, image: Image) -> Record:
        """Complete a generation with an image that was found. Raises Gone."""
        now, url = self._clock.now(), self._images.url(name)
        completed = await self._write(record, lambda base: base.recovered(url, image, now), name)
        await self._images.delete_from_outbox(record)
        return completed

    async def fail(self, record: Record, error: ImageError, attempts: tuple[Attempt, ...] = ()) -> Record:
        """Complete a generation without an image. `attempts` may be missing in the record so far. Raises Gone."""
        now = self._clock.now()
        warnings = error.warnings if isinstance(error, ModelError) else ()
        failure = Failure.of(error)

        def failed(base: Record) -> Record:
            return replace(base.failed(failure, attempts, warnings, now), timings=record.timings)

        return await self._write(record, failed, None)

    async def interrupt(self, record: Record) -> Record:
        """Fail a generation whose processes have died too often. Raises Gone."""
        return await self.fail(record, Interrupted(), record.lost(self._clock.now()))

    async def cancel(self, record: Record, attempts: tuple[Attempt, ...] = ()) -> Record:
        """Complete a generation that its caller has canceled. `attempts` as for `fail`. Raises Gone."""
        now = self._clock.now()

        def canceled(base: Record) -> Record:
            usage = total(merged(base.attempts, attempts))
            failure = Failure.of(Canceled(None if usage is None else usage_document(usage)))
            return replace(base.canceled(failure, attempts, now), timings=record.timings)

        return await self._write(record, canceled, None)

    async def cancel_unstarted(self, record: Record) -> Record:
        """Cancel a generation before this process called a model for it; an earlier process may have. Raises Gone."""
        lost = record.lost(self._clock.now())
        await self._accounting.enter_lost(record, lost)
        return await self.cancel(record, lost)

    async def _write(self, record: Record, transition: Transition, name: str | None) -> Record:
        try:
            return await self._retries.run(partial(self.settle, record, transition, name), DATABASE_SECONDS)
        except StorageUnavailable:
            completed = transition(record)
        await self._into_outbox(completed)
        return replace(completed, warnings=(*completed.warnings, WARNING_PENDING))

    async def _into_outbox(self, completed: Record) -> None:
        await self._retries.run(partial(self._outbox.put, to_document(completed)))

    async def settle(self, record: Record, transition: Transition, name: str | None) -> Record:
        """Write `transition` of the newest version of `record`, as far as the rules allow; return what is stored then.

        `name` is the image that the transition names, None where it names none. Raises Gone, StorageUnavailable.
        """

        def allowed(stored: Record) -> Record | None:
            if stored.is_gone(record) or stored.status is Status.SUCCEEDED:
                return None
            if name is None and stored.lease_owner != record.lease_owner:
                return None
            return transition(stored)

        stored = await self._records.change(record, allowed)
        if stored is None or stored.is_gone(record):
            if name is not None:
                await self._images.delete_all(record)
            await self.drop(transition(record), stored)
            raise Gone(record.id)
        if name is not None and name_in(stored.output_image_url or "") != name:
            await self._images.delete(record, name)  # another process's image counts
        return stored

    async def drop(self, completed: Record, stored: Record | None) -> None:
        """Account for a generation that was deleted while it ran, and remove its record if that is `stored`."""
        mine = stored if stored is not None and stored.blob_stem == completed.blob_stem else None
        base = mine or completed
        attempts = merged(base.attempts, completed.attempts)
        await self._accounting.close(replace(base, attempts=attempts, timings=completed.timings))
        if mine is not None:
            await self._records.delete(mine)
