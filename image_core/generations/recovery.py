"""What stands behind a process that died: finding what it left, and bringing it to an end.

The timer finds and the queue runs: each message is one record, and any instance may take it. The timer is the retry.
"""

import json
import logging
from datetime import datetime, timedelta

from image_core.auth.user import User
from image_core.clock import Clock, iso
from image_core.errors import ImageError, StorageUnavailable
from image_core.generations.completion import Applied, Completion
from image_core.generations.history import History
from image_core.generations.outcome import Gone, Leased
from image_core.generations.record import Record, Status
from image_core.generations.runner import Runner
from image_core.storage.records import Records

log = logging.getLogger("image_core.generations")

MAX_MESSAGE_BYTES = 4096


class NotOurs(ValueError):
    """A queue message that names no generation. The queue's own rules put it aside."""


NOT_READABLE_SECONDS = 60.0
"""A record may be written by one instance and not be readable by another yet. A message that is younger is given back."""


def message(record_id: str, user_id: str, now: datetime | None = None) -> str:
    """What is put into the queue for one generation. `now` is the time of the message."""
    named = {"id": record_id, "userId": user_id}
    return json.dumps(named if now is None else {**named, "queuedAt": iso(now)})


def _read(body: bytes) -> tuple[str, str, str | None]:
    try:
        named = json.loads(body) if len(body) <= MAX_MESSAGE_BYTES else None
    except ValueError:
        named = None
    if not isinstance(named, dict):
        raise NotOurs("not a JSON object of a generation")
    record_id, user_id = named.get("id"), named.get("userId")
    if not (isinstance(record_id, str) and record_id and isinstance(user_id, str) and user_id):
        raise NotOurs("names no generation")
    queued_at = named.get("queuedAt")
    return record_id, user_id, queued_at if isinstance(queued_at, str) else None


class Recovery:
    """Raises StorageUnavailable while the storage does not answer: the host calls again."""

    def __init__(
        self, records: Records, completion: Completion, history: History, runner: Runner, clock: Clock
    ) -> None:
        self._records = records
        self._completion = completion
        self._history = history
        self._runner = runner
        self._clock = clock

    async def find(self) -> list[str]:
        """A message for every record that is unfinished and that nobody holds; the outbox is emptied on the way."""
        try:
            applied = await self._completion.apply_all()
        except ImageError as error:
            applied = Applied(0, frozenset())
            log.warning("the outbox could not be emptied: %s", error.code)
        # What waits in the outbox needs no model, only the storage: the next call tries it again.
        lapsed = [record for record in await self._records.unfinished() if record.id not in applied.waiting]
        if lapsed or applied != Applied(0, frozenset()):
            log.info(
                "recovery: %d to resume, %d from the outbox, %d wait there",
                len(lapsed),
                applied.done,
                len(applied.waiting),
            )
        now = self._records.now()
        return [message(record.id, record.user_id, now) for record in lapsed]

    async def resume(self, body: bytes) -> None:
        """Bring the generation of one message to its end. A message that comes twice changes nothing.

        Raises NotOurs, StorageUnavailable, Busy: the queue gives the message again.
        """
        record_id, user_id, queued_at = _read(body)
        record = await self._records.read(User(user_id), record_id)
        if record is None:
            oldest = iso(self._records.now() - timedelta(seconds=NOT_READABLE_SECONDS))
            if queued_at is not None and queued_at <= oldest:
                log.info("its record is gone", extra={"generation": record_id})
                return
            raise StorageUnavailable("The record is not readable yet")
        if record.status is Status.DELETING:
            await self._delete(record)
            return
        try:
            outcome = await self._runner.resume(record)
        except Leased:
            log.info("somebody else holds it", extra={"generation": record_id})
        except Gone:
            log.info("it was deleted meanwhile", extra={"generation": record_id})
        else:
            log.info("resumed: %s", outcome.record.status, extra={"generation": record_id})

    async def _delete(self, record: Record) -> None:
        """Go on with a deletion, unless its runner may still be storing a picture."""
        if record.lease_expires_at is None or record.lease_expires_at <= self._records.now():
            await self._history.finish_deleting(record)
