"""The queue message that runs one generation."""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Self

from image_core.clock import from_iso, iso

MAX_MESSAGE_BYTES = 4096


class InvalidMessage(ValueError):
    """A queue message that names no generation. The queue moves it to the poison queue."""


@dataclass(frozen=True, slots=True)
class QueueMessage:
    """A generation to run. `queued_at` is the database's time; None in messages of an operator."""

    record_id: str
    user_id: str
    queued_at: datetime | None = None

    def to_json(self) -> str:
        """Return the message as JSON."""
        message = {"id": self.record_id, "userId": self.user_id}
        return json.dumps(message if self.queued_at is None else {**message, "queuedAt": iso(self.queued_at)})

    @classmethod
    def from_json(cls, body: bytes) -> Self:
        """Read a message. Raises InvalidMessage."""
        try:
            message = json.loads(body) if len(body) <= MAX_MESSAGE_BYTES else None
        except ValueError:
            message = None
        match message:
            case {"id": str(record_id), "userId": str(user_id), **others} if record_id and user_id:
                return cls(record_id, user_id, _time(others.get("queuedAt")))
        raise InvalidMessage("The message is not a JSON object that names a generation")


def _time(text: object) -> datetime | None:
    try:
        return from_iso(text) if isinstance(text, str) else None
    except ValueError:
        return None
