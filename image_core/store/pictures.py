"""The pictures that were made, and uploads: where they lie, under which address, and that no write replaces another's."""

import hashlib
from dataclasses import dataclass
from urllib.parse import quote

from image_core.picture import Picture
from image_core.settings import Settings
from image_core.store.blobs import Blob, Blobs
from image_core.user import User

FOREVER = "public, max-age=31536000, immutable"
"""A name is used for one picture only, so a cache may keep it."""


@dataclass(frozen=True, slots=True)
class StoredPicture:
    """A picture in storage: its blob's name, the address that callers get, and whether this write made it."""

    name: str
    url: str
    mine: bool


class Pictures:
    """Raises StorageUnavailable from every method while Blob Storage does not answer."""

    def __init__(self, blobs: Blobs, settings: Settings) -> None:
        self._blobs = blobs
        self._container = settings.storage_container
        self._private = settings.image_access == "private"

    def _path(self, user: User, name: str) -> str:
        """The blob's name in the container: under the user's folder where pictures are private."""
        return f"{user.folder}/{name}" if self._private else name

    def url(self, name: str) -> str:
        """The permanent address of the picture with this name (without a folder)."""
        if self._private:
            return f"/api/images/{quote(name)}"
        return f"{self._blobs.account_url}/{self._container}/{quote(name)}"

    async def put(self, user: User, stem: str, picture: Picture, owner: str) -> StoredPicture:
        """Store a picture under `stem`; where one with the same name is there already, that one counts.

        `owner` is the lease of the writer: it tells a write whose acknowledgement was lost from another process's.
        """
        name = f"{stem}.{picture.extension}"
        written = await self._blobs.put(
            self._container,
            self._path(user, name),
            picture.data,
            picture.mime_type,
            overwrite=False,
            metadata={"proof": proof(user, name), "owner": owner},
            cache_control=FOREVER,
        )
        if not written:
            there = await self._blobs.describe(self._container, self._path(user, name))
            written = there.metadata.get("owner") == owner
        return StoredPicture(name, self.url(name), written)

    async def put_upload(self, user: User, name: str, picture: Picture) -> str:
        """Store an uploaded picture under a name that is new; its address."""
        await self._blobs.put(
            self._container,
            self._path(user, name),
            picture.data,
            picture.mime_type,
            overwrite=True,  # the name is random: whatever is there is this very write
            metadata={"proof": proof(user, name)},
            cache_control=FOREVER,
        )
        return self.url(name)

    async def find(self, user: User, stem: str) -> str | None:
        """The name of the picture with this stem, whoever stored it: of several the oldest, and the others are deleted."""
        found = await self._blobs.find(self._container, self._path(user, f"{stem}."))
        for late in found[1:]:
            await self._blobs.delete(self._container, late.name)
        return _name(found[0]) if found else None

    async def read(self, user: User, name: str, max_bytes: int) -> bytes:
        """Its bytes. Raises BlobMissing, BlobTooLarge."""
        return await self._blobs.read(self._container, self._path(user, name), max_bytes)

    async def delete(self, user: User, name: str) -> None:
        await self._blobs.delete(self._container, self._path(user, name))

    async def delete_all(self, user: User, stem: str) -> None:
        """Delete every picture with this stem."""
        for blob in await self._blobs.find(self._container, self._path(user, f"{stem}.")):
            await self._blobs.delete(self._container, blob.name)


def proof(user: User, name: str) -> str:
    """Whose picture it is, as its blob says it: anybody may read that of a public one, so it names nobody and links nothing."""
    return hashlib.sha256(f"{user.id}\0{name}".encode()).hexdigest()[:32]


def _name(blob: Blob) -> str:
    return blob.name.rsplit("/", 1)[-1]
