"""What stands behind a process that died: finding what it left, and bringing it to an end.

The timer finds and the queue runs: each message is one record, and any instance may take it. The timer is the retry.
"""

import json
import logging

from image_core.clock import Clock, iso
from image_core.errors import ImageError
from image_core.generation.endings import Endings
from image_core.generation.history import History
from image_core.generation.outcome import Gone, Leased
from image_core.generation.run import Runner
from image_core.store.record import Record
from image_core.store.records import Records
from image_core.user import User

log = logging.getLogger("image_core.generation")

MAX_MESSAGE_BYTES = 4096


class NotOurs(ValueError):
    """A queue message that names no generation. The queue's own rules put it aside."""


def message(record_id: str, user_id: str) -> str:
    """What is put into the queue for one generation."""
    return json.dumps({"id": record_id, "userId": user_id})


def _read(body: bytes) -> tuple[str, str]:
    try:
        named = json.loads(body) if len(body) <= MAX_MESSAGE_BYTES else None
    except ValueError:
        named = None
    if not isinstance(named, dict):
        raise NotOurs("not a JSON object of a generation")
    record_id, user_id = named.get("id"), named.get("userId")
    if not (isinstance(record_id, str) and record_id and isinstance(user_id, str) and user_id):
        raise NotOurs("names no generation")
    return record_id, user_id


class Recovery:
    """Raises StorageUnavailable while the storage does not answer: the host calls again."""

    def __init__(self, records: Records, endings: Endings, history: History, runner: Runner, clock: Clock) -> None:
        self._records = records
        self._endings = endings
        self._history = history
        self._runner = runner
        self._clock = clock

    async def find(self) -> list[str]:
        """A message for every record that is unfinished and that nobody holds; the outbox is emptied on the way."""
        try:
            applied = await self._endings.apply_all()
        except ImageError as error:
            applied = 0
            log.warning("the outbox could not be emptied: %s", error.code)
        lapsed = await self._records.unfinished()
        if lapsed or applied:
            log.info("recovery: %d to resume, %d from the outbox", len(lapsed), applied)
        return [message(record.id, record.user_id) for record in lapsed]

    async def resume(self, body: bytes) -> None:
        """Bring the generation of one message to its end. A message that comes twice changes nothing.

        Raises NotOurs, StorageUnavailable, Busy: the queue gives the message again.
        """
        record_id, user_id = _read(body)
        record = await self._records.read(User(user_id), record_id)
        if record is None:
            return
        if record.status == "deleting":
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
        if record.lease_expires_at is None or record.lease_expires_at <= iso(self._records.now()):
            await self._history.finish_deleting(record)
