"""Find the generations that processes left when they died, and bring them to their end.

The timer queues a message for each such record, and any instance may run it. What fails, the next timer queues again.
"""

import logging
from datetime import timedelta

from image_core.auth.user import User
from image_core.errors import ImageError, StorageUnavailable
from image_core.generations.history import History
from image_core.generations.outbox_delivery import Delivered, OutboxDelivery
from image_core.generations.queue_message import QueueMessage
from image_core.generations.record import Record, Status
from image_core.generations.records import Records
from image_core.generations.result import Gone, LeasedElsewhere
from image_core.generations.runner import Runner

log = logging.getLogger("image_core.generations")

NOT_READABLE_SECONDS = 60.0
"""A younger message is given back: a record may be written by one instance and not be readable by another yet."""

NOTHING = Delivered(0, frozenset())


class Recovery:
    """Finds and resumes generations. The host calls again after StorageUnavailable."""

    def __init__(self, records: Records, delivery: OutboxDelivery, history: History, runner: Runner) -> None:
        self._records = records
        self._delivery = delivery
        self._history = history
        self._runner = runner

    async def find(self) -> list[str]:
        """Return a message for every record that has not ended and that no process runs; apply the outbox first."""
        try:
            delivered = await self._delivery.apply_all()
        except ImageError as error:
            delivered = NOTHING
            log.warning("the outbox could not be applied: %s", error.code)
        # What waits in the outbox needs no model, only the storage: the next call tries it again.
        lapsed = [record for record in await self._records.unfinished() if record.id not in delivered.waiting]
        if lapsed or delivered != NOTHING:
            log.info(
                "recovery: %d to resume, %d from the outbox, %d wait there",
                len(lapsed),
                delivered.applied,
                len(delivered.waiting),
            )
        now = self._records.now()
        return [QueueMessage(record.id, record.user_id, now).to_json() for record in lapsed]

    async def resume(self, body: bytes) -> None:
        """Bring the generation of one message to its end. A message that comes twice changes nothing.

        Raises InvalidMessage, StorageUnavailable, Busy: the queue gives the message again.
        """
        message = QueueMessage.from_json(body)
        record_id = message.record_id
        record = await self._records.read(User(message.user_id), record_id)
        if record is None:
            oldest = self._records.now() - timedelta(seconds=NOT_READABLE_SECONDS)
            if message.queued_at is not None and message.queued_at <= oldest:
                log.info("its record is gone", extra={"generation": record_id})
                return
            raise StorageUnavailable("The record is not readable yet")
        if record.status is Status.DELETING:
            await self._delete(record)
            return
        try:
            result = await self._runner.resume(record)
        except LeasedElsewhere:
            log.info("another process runs it", extra={"generation": record_id})
        except Gone:
            log.info("it was deleted meanwhile", extra={"generation": record_id})
        else:
            log.info("resumed: %s", result.record.status, extra={"generation": record_id})

    async def _delete(self, record: Record) -> None:
        """Continue a deletion, unless the process that ran the generation may still be storing an image."""
        if record.lease_expires_at is None or record.lease_expires_at <= self._records.now():
            await self._history.finish_deleting(record)
