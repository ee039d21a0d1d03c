"""Store models' answers as they were received, so that they can be replayed when their images are edited."""

from image_core.auth.user import User
from image_core.errors import BlobMissing
from image_core.storage.blobs import Blobs
from image_core.storage.naming import TurnBlob


class Turns:
    """Blobs `turns/FOLDER/STEM.TOKEN` in the private container.

    The lifecycle rule of input copies deletes them. Raises StorageUnavailable from every method while Blob Storage does
    not answer.
    """

    def __init__(self, blobs: Blobs, private_container: str) -> None:
        self._blobs = blobs
        self._container = private_container

    async def put(self, user: User, stem: str, token: str, data: bytes) -> str:
        """Store a turn beside the image with this stem and return its name. `token` makes it new."""
        blob = TurnBlob(user.folder, stem, token)
        await self._blobs.put(self._container, blob.path, data, "application/json-lines", overwrite=True)
        return blob.file_name

    async def read(self, user: User, name: str, size: int) -> bytes:
        """Read a turn of `size` bytes. Raises BlobMissing where it was deleted or has expired, or is no turn's name."""
        blob = TurnBlob.named(user, name)
        if blob is None:
            raise BlobMissing
        return await self._blobs.read(self._container, blob.path, max(size, 1))

    async def delete_all(self, user: User, stem: str) -> None:
        """Delete every turn that was stored for the image with this stem."""
        for found in await self._blobs.find(self._container, TurnBlob(user.folder, stem, "").path):
            blob = TurnBlob.parse(found.name)
            if blob is not None and blob.stem == stem:
                await self._blobs.delete(self._container, found.name)
