"""Keyed digests that stand for a user in the metadata of public blobs and in log lines, which others may read.

Without a key, anybody could try e-mail addresses against a digest. The key is random, made once, and kept in the
private container, which the digests' readers cannot read. It is not derived from NEXTAUTH_SECRET: that changes and an
image's user does not, and a front end with database sessions or a public key has none.
"""

import asyncio
import hashlib
import hmac
import logging
import secrets
from collections.abc import Callable

from image_core.auth.user import User
from image_core.errors import BlobMissing, BlobTooLarge, StorageUnavailable
from image_core.storage.blobs import Blobs
from image_core.storage.naming import PSEUDONYM_KEY

log = logging.getLogger("image_core.storage")

KEY_BYTES = 32
DIGEST_CHARACTERS = 32
LOG_SECONDS = 3.0
"""How long log lines wait for the key, which a process reads once."""


class Pseudonyms:
    """The digests of one deployment's users."""

    def __init__(
        self, blobs: Blobs, private_container: str, random_bytes: Callable[[int], bytes] = secrets.token_bytes
    ) -> None:
        self._blobs = blobs
        self._container = private_container
        self._random_bytes = random_bytes
        self._key: bytes | None = None
        self._reading = asyncio.Lock()

    async def of_owner(self, user: User, name: str) -> str:
        """Return the digest of a blob's user, another one for each blob's `name`. Raises StorageUnavailable."""
        return _digest(await self._read_key(), "blob", user.id, name)

    async def prepare_log(self) -> None:
        """Read the key for `in_log`, within LOG_SECONDS; without it log lines name no user."""
        try:
            async with asyncio.timeout(LOG_SECONDS):
                await self._read_key()
        except (StorageUnavailable, TimeoutError):
            log.warning("the key of users' digests cannot be read: log lines name no user meanwhile")

    def in_log(self, user: User) -> str | None:
        """Return the digest that stands for a user in log lines; None where the key was not read."""
        return None if self._key is None else _digest(self._key, "log", user.id)

    async def _read_key(self) -> bytes:
        """Return the key, which the first process that needs it creates."""
        if self._key is not None:
            return self._key
        async with self._reading:
            if self._key is None:
                self._key = await self._stored_key() or await self._created_key()
            return self._key

    async def _created_key(self) -> bytes:
        key = self._random_bytes(KEY_BYTES)
        if await self._blobs.put(self._container, PSEUDONYM_KEY, key, "application/octet-stream", overwrite=False):
            return key
        stored = await self._stored_key()  # another process created it first
        if stored is None:
            raise StorageUnavailable
        return stored

    async def _stored_key(self) -> bytes | None:
        try:
            key = await self._blobs.read(self._container, PSEUDONYM_KEY, KEY_BYTES)
        except BlobMissing:
            return None
        except BlobTooLarge:
            key = b""
        if len(key) != KEY_BYTES:
            log.error(
                "the blob %s/%s is damaged: restore it from a version or a backup", self._container, PSEUDONYM_KEY
            )
            raise StorageUnavailable
        return key


def _digest(key: bytes, *parts: str) -> str:
    # No part holds a zero byte: ids and names with control characters are refused.
    return hmac.new(key, "\0".join(parts).encode(), hashlib.sha256).hexdigest()[:DIGEST_CHARACTERS]
