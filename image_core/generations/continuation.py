"""Encode a position in a user's list as the `continuation` of a page, which only that user can use."""

import base64
import hashlib
import json
from dataclasses import dataclass

from image_core.auth.user import User
from image_core.errors import InvalidRequest

MARK_BYTES = 6
MAX_CHARACTERS = 2000


@dataclass(frozen=True, slots=True)
class Position:
    """The last record of a page. Of two records of the same time the one with the smaller id comes first.

    `created_at` is the text in the document: the index sorts by it.
    """

    created_at: str
    id: str


def seal(user: User, position: Position) -> str:
    """Return the continuation after `position`, with a checksum over the user's id, which `unseal` compares."""
    raw = json.dumps([position.created_at, position.id], ensure_ascii=False).encode()
    return base64.urlsafe_b64encode(_mark(user, raw) + raw).decode().rstrip("=")


def unseal(user: User, continuation: str) -> Position:
    """Return the position of a continuation. Raises InvalidRequest where `seal` did not make it for `user`."""
    refused = InvalidRequest("The continuation was not issued by this API", field="continuation")
    if len(continuation) > MAX_CHARACTERS:
        raise refused
    try:
        raw = base64.b64decode(continuation + "=" * (-len(continuation) % 4), altchars=b"-_", validate=True)
        fields = json.loads(raw[MARK_BYTES:])
    except (ValueError, RecursionError):
        raise refused from None
    match fields:
        case [str(created_at), str(record_id)] if raw[:MARK_BYTES] == _mark(user, raw[MARK_BYTES:]):
            return Position(created_at, record_id)
    raise refused


def _mark(user: User, raw: bytes) -> bytes:
    return hashlib.sha256(user.id.encode() + b"\0" + raw).digest()[:MARK_BYTES]
