"""Idempotency keys: their syntax, the id of a generation with a key, and the fingerprint of a request.

The id is derived from the user and the key. A second record with the same key is therefore a conflict in Cosmos DB,
whichever instance writes it.
"""

import hashlib
import json
import re

from image_core.auth.user import User
from image_core.errors import InvalidRequest
from image_core.generations.record_codec import options_document
from image_core.generations.request import GenerationRequest
from image_core.storage.naming import keyed_record_id

VISIBLE_ASCII = re.compile(r"[\x21-\x7e]{1,255}")


def checked_key(header: str | None) -> str | None:
    """Return the key in an `Idempotency-Key` header; None for no header. Raises InvalidRequest where it is no key."""
    if header is None:
        return None
    key = header.strip()
    if not VISIBLE_ASCII.fullmatch(key):
        raise InvalidRequest("A key is 1 to 255 visible ASCII characters", field="Idempotency-Key")
    return key


def record_id(user: User, key: str) -> str:
    """Return the id of the user's generation with this key."""
    return keyed_record_id(hashlib.sha256(f"{user.id}\0{key}".encode()).hexdigest()[:40])


def fingerprint(request: GenerationRequest) -> str:
    """Return a digest of what makes two requests the same: `images`, `mask`, `prompt`, options, `model`, `from`.

    It takes milliseconds for megabytes: call it in a thread for large requests. A field that is not set does not count,
    so that a request has the fingerprint that earlier versions gave it.
    """
    options = options_document(request.options)
    if request.from_id is not None:
        options["from"] = request.from_id
    mask = () if request.mask is None else ("mask", request.mask)
    digest = hashlib.sha256()
    for part in (*request.images, request.prompt, json.dumps(options, sort_keys=True), *mask):
        encoded = part.encode()
        digest.update(f"{len(encoded)}:".encode())
        digest.update(encoded)
    return digest.hexdigest()
