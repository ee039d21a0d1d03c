"""How a generation ends: the one place that writes `succeeded`, `failed` and `canceled`, and what it does when somebody else wrote first.

The rules of who may write:

- A generated image overrides a running record, and a failed or canceled one, regardless of which process holds the lease.
- A record that has its picture beats a picture in hand: mine is deleted, theirs is returned.
- `failed` and `canceled` are written by the holder of the lease only.
- A record that is being deleted, or is gone, takes nothing: my picture is deleted.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime

from image_core.clock import Clock
from image_core.errors import ImageError, ModelError, StorageUnavailable
from image_core.generations.failure import Failure
from image_core.generations.log_line import log_generation
from image_core.generations.outcome import Gone
from image_core.generations.reading import MAX_OUTPUT_BYTES
from image_core.generations.record import WARNING_PENDING, Record, Status
from image_core.images import probe
from image_core.images.image import Image
from image_core.models.generated import Attempt, Generated, merged
from image_core.storage.images import StoredImage, StoredImages
from image_core.storage.ledger import Ledger
from image_core.storage.outbox import Outbox
from image_core.storage.pseudonyms import Pseudonyms
from image_core.storage.records import Changed, Records

log = logging.getLogger("image_core.generations")

DATABASE_PATIENCE_SECONDS = 8.0
"""How long a finished record waits for Cosmos DB before it goes into the outbox: the caller of a picture that is
there should have it while the proxy in front still listens."""

PAUSE_SECONDS = 1.0

IMAGE_PATIENCE_SECONDS = 5.0
"""How long an image waits for its container before it goes into the outbox: a container that is being replaced is often back
within seconds."""

Ending = Callable[[Record], Record]


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of the outbox: how many entries are done, and the ids of those that wait on."""

    done: int
    waiting: frozenset[str]


class Completion:
    """Writes the end of a generation. No method returns before the end is kept somewhere."""

    def __init__(
        self,
        records: Records,
        pictures: StoredImages,
        outbox: Outbox,
        ledger: Ledger,
        pseudonyms: Pseudonyms,
        clock: Clock,
    ) -> None:
        self._records = records
        self._pictures = pictures
        self._outbox = outbox
        self._ledger = ledger
        self._pseudonyms = pseudonyms
        self._clock = clock

    def _now(self) -> datetime:
        return self._clock.now()

    async def store(self, record: Record, picture: Image, seconds: float) -> StoredImage:
        """Put an image away, again and again for `seconds` while the storage is down. Raises StorageUnavailable.

        Where the image container does not take it for IMAGE_PATIENCE_SECONDS, it goes into the outbox: see `postpone`.
        """
        deadline = self._clock.deadline(seconds)
        patience = self._clock.deadline(min(IMAGE_PATIENCE_SECONDS, seconds))
        owner = record.lease_owner or ""
        while True:
            try:
                return await self._pictures.put(record.user, record.blob_stem, picture, owner)
            except StorageUnavailable:
                if not patience.remaining() and (kept := await self._into_outbox_image(record, picture, owner)):
                    return kept
                if deadline.remaining() <= PAUSE_SECONDS:
                    raise
                await self._clock.sleep(PAUSE_SECONDS)

    async def _into_outbox_image(self, record: Record, picture: Image, owner: str) -> StoredImage | None:
        try:
            mine = await self._outbox.put_image(record.blob_stem, picture, owner)
        except StorageUnavailable:
            return None
        name = f"{record.blob_stem}.{picture.extension}"
        log.error("an image waits in the outbox", extra={"generation": record.id})
        return StoredImage(name, self._pictures.url(name), mine, waiting=True)

    async def postpone(self, record: Record, generated: Generated, stored: StoredImage, seconds: float) -> None:
        """Keep the end with an image that waits in the outbox there, too. The recovery writes it when the image container is back."""
        if stored.mine:  # else another process's image counts, and its end
            finished = record.succeeded(stored.url, generated, record.lease_owner, self._now())
            await self._into_outbox(finished, seconds)

    async def image_from_outbox(self, record: Record) -> str | None:
        """Move the image of `record` from the outbox into the image container; its name, None where none waits.

        The outbox keeps its copy until the record has ended.
        """
        kept = await self._outbox.image(record.blob_stem, MAX_OUTPUT_BYTES)
        if kept is None:
            return None
        _, data = kept
        header = await asyncio.to_thread(probe.read_header, data)
        if header is None:
            raise StorageUnavailable("The image in the outbox cannot be read")
        picture = Image(data, header.mime_type, header.width, header.height)
        return (await self._pictures.put(record.user, record.blob_stem, picture, record.lease_owner or "")).name

    async def succeed(self, record: Record, generated: Generated, stored: StoredImage, seconds: float) -> Record:
        """The end with a picture that is stored. Raises Gone where the generation was deleted meanwhile."""
        now = self._now()

        def ending(base: Record) -> Record:
            succeeded = base.succeeded(stored.url, generated, record.lease_owner, now)
            return replace(succeeded, timings=record.timings, turn=record.turn)

        return await self._keep(record, ending, stored.name, seconds)

    async def recover(self, record: Record, name: str, picture: Image, seconds: float) -> Record:
        """The end with a picture that was found."""
        now, url = self._now(), self._pictures.url(name)
        finished = await self._keep(record, lambda base: base.recovered(url, picture, now), name, seconds)
        await self._outbox.delete_images(record.blob_stem)
        return finished

    async def fail(
        self, record: Record, error: ImageError, seconds: float, attempts: tuple[Attempt, ...] = ()
    ) -> Record:
        """The end without a picture. `attempts` are those that the record may not have yet."""
        now = self._now()
        warnings = error.warnings if isinstance(error, ModelError) else ()
        failure = Failure.of(error)

        def ending(base: Record) -> Record:
            return replace(base.failed(failure, attempts, warnings, now), timings=record.timings)

        return await self._keep(record, ending, None, seconds)

    async def cancel(self, record: Record, seconds: float, attempts: tuple[Attempt, ...] = ()) -> Record:
        """The end that its caller asked for. `attempts` are those that the record may not have yet."""
        now = self._now()

        def ending(base: Record) -> Record:
            return replace(base.canceled(attempts, now), timings=record.timings)

        return await self._keep(record, ending, None, seconds)

    async def _keep(self, record: Record, ending: Ending, name: str | None, seconds: float) -> Record:
        patience = self._clock.deadline(min(DATABASE_PATIENCE_SECONDS, seconds))
        while True:
            try:
                return await self._settle(record, ending, name)
            except StorageUnavailable:
                if patience.remaining() <= PAUSE_SECONDS:
                    break
                await self._clock.sleep(PAUSE_SECONDS)
        finished = ending(record)
        await self._into_outbox(finished, seconds)
        return replace(finished, warnings=(*finished.warnings, WARNING_PENDING))

    async def _into_outbox(self, finished: Record, seconds: float) -> None:
        deadline = self._clock.deadline(seconds)
        while True:
            try:
                return await self._outbox.put(finished)
            except StorageUnavailable:
                if deadline.remaining() <= PAUSE_SECONDS:
                    raise
                await self._clock.sleep(PAUSE_SECONDS)

    async def _settle(self, record: Record, ending: Ending, name: str | None) -> Record:
        """Write `ending` of the newest version, as far as the rules allow. `name` is the picture in hand."""
        stored: Record | None = record
        tries = 0
        while True:
            if stored is None or _is_gone(stored, record):
                await self._drop(ending(record), name, stored)
                raise Gone(record.id)
            if stored.status is Status.SUCCEEDED:
                if name is not None and stored.output_image_url != self._pictures.url(name):
                    await self._pictures.delete(record.user, name)
                return stored
            if name is None and stored.lease_owner != record.lease_owner:
                return stored
            try:
                return await self._records.replace(ending(stored))
            except Changed as changed:
                stored = changed.stored
            tries += 1
            await self._records.pause(tries)

    async def _drop(self, record: Record, name: str | None, stored: Record | None) -> None:
        if name is not None:
            await self._pictures.delete_all(record.user, record.blob_stem)
        mine = stored if stored is not None and stored.blob_stem == record.blob_stem else None
        # What was paid for stays in the ledger and in the log, whatever becomes of the record.
        base = mine or record
        ended = replace(base, attempts=merged(base.attempts, record.attempts), timings=record.timings)
        await self._ledger.write(ended)
        await self._pseudonyms.prepare_log()
        log_generation(ended, self._now(), self._pseudonyms)
        if mine is not None:
            await self._records.delete(mine)

    async def log_gone(self, record: Record, made: tuple[Attempt, ...]) -> None:
        """Write the log line of a generation whose record went while it ran: the ledger has the calls that it made."""
        gone = replace(record, status=Status.DELETING, attempts=merged(record.attempts, made))
        await self._pseudonyms.prepare_log()
        log_generation(gone, self._now(), self._pseudonyms)

    async def apply(self, entry: Record) -> Record:
        """Write an entry of the outbox where it belongs, and only then remove the entry. Raises Gone as an ending does."""
        try:
            finished = await self._apply(entry)
        except Gone:
            await self._remove(entry)
            raise
        await self._remove(entry)
        return finished

    async def _remove(self, entry: Record) -> None:
        # The image first: an entry without one was applied, an image without an entry would stay.
        await self._outbox.delete_images(entry.blob_stem)
        await self._outbox.delete(entry.id)

    async def _apply(self, entry: Record) -> Record:
        stored = await self._records.read(entry.user, entry.id)
        if stored is None or _is_gone(stored, entry):
            await self._pictures.delete_all(entry.user, entry.blob_stem)
            await self._drop(entry, None, stored)
            raise Gone(entry.id)
        name = None if entry.output_image_url is None else entry.output_image_url.rsplit("/", 1)[-1]
        if stored.status is Status.SUCCEEDED:
            if name is not None and stored.output_image_url != entry.output_image_url:
                await self._pictures.delete(entry.user, name)
            return stored
        same_run = stored.run_id == entry.run_id and stored.lease_owner in {None, entry.lease_owner}
        if name is None and not same_run:
            # Another process has the lease since, or had it. What this one paid stays on the bill.
            await self._ledger.write(entry)
            return await self._records.change(stored, lambda base: _with_bill(base, entry)) or stored
        if name is not None:
            await self.image_from_outbox(entry)

        def ending(base: Record) -> Record:
            attempts = merged(base.attempts, entry.attempts)
            return replace(entry, etag=base.etag, attempts=attempts, attempt_count=base.attempt_count)

        return await self._settle(stored, ending, name)

    async def from_outbox(self, record: Record) -> Record | None:
        """The end of `record` that waits in the outbox, written; None where none waits."""
        entry = await self._outbox.read(record.id)
        if entry is None:
            return None
        if entry.blob_stem != record.blob_stem:  # of a generation that was deleted, whose key is used again
            with suppress(Gone):
                await self.apply(entry)
            return None
        return await self.apply(entry)

    async def apply_all(self) -> Applied:
        """Write every entry of the outbox. One that the storage does not take yet does not stop the others."""
        done, waiting = 0, []
        for record_id in await self._outbox.ids():
            try:
                entry = await self._outbox.read(record_id)
                if entry is not None:
                    await self.apply(entry)
            except Gone:
                pass  # deleted meanwhile: there is nothing left to finish
            except StorageUnavailable:
                waiting.append(record_id)
                continue
            done += 1
        return Applied(done, frozenset(waiting))


def _with_bill(base: Record, entry: Record) -> Record | None:
    billed = base.billed(entry.attempts)
    return None if billed.attempts == base.attempts else billed


def _is_gone(stored: Record, mine: Record) -> bool:
    """Whether what was begun as `mine` was deleted. Another stem is another generation: its key was free again."""
    return stored.status is Status.DELETING or stored.blob_stem != mine.blob_stem
