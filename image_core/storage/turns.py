"""The answers of models, as they came, for later edits of the same image."""

from image_core.auth.user import User
from image_core.settings import Settings
from image_core.storage.blobs import Blobs


class Turns:
    """Blobs `turns/<user's folder>/<stem of the image>.<token>` in the private container.

    The lifecycle rule of input copies deletes them. Raises StorageUnavailable from every method while Blob Storage does
    not answer.
    """

    def __init__(self, blobs: Blobs, settings: Settings) -> None:
        self._blobs = blobs
        self._container = settings.storage_private_container

    async def put(self, user: User, name: str, data: bytes) -> None:
        """Store a turn. `name` is new: it begins with the stem of its image and ends with a random token."""
        await self._blobs.put(self._container, _path(user, name), data, "application/json-lines", overwrite=True)

    async def read(self, user: User, name: str, size: int) -> bytes:
        """Read a turn of `size` bytes. Raises BlobMissing where it was deleted or has expired."""
        return await self._blobs.read(self._container, _path(user, name), max(size, 1))

    async def delete_all(self, user: User, stem: str) -> None:
        """Delete every turn that was stored for the image with this stem."""
        for blob in await self._blobs.find(self._container, _path(user, f"{stem}.")):
            await self._blobs.delete(self._container, blob.name)


def _path(user: User, name: str) -> str:
    return f"turns/{user.folder}/{name}"
