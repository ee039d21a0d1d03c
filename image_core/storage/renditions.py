"""Smaller copies of stored images: where they lie in the private container, and which version of the image they are of.

`renditions/<user's folder>/<image's name>/<width or full>.<extension>`. They can be made again at any time.
"""

from image_core.auth.user import User, lowered
from image_core.errors import BlobMissing
from image_core.images.image import MIME_TYPES, Image, Target
from image_core.settings import Settings
from image_core.storage.blobs import Blob, Blobs

PREFIX = "renditions/"

SOURCE = "source"
"""The name of metadata: the version of the image that a rendition is of."""


class Renditions:
    """Raises StorageUnavailable from every method while Blob Storage does not answer."""

    def __init__(self, blobs: Blobs, settings: Settings) -> None:
        self._blobs = blobs
        self.container = settings.storage_private_container

    def path(self, user: User, name: str, target: Target) -> str:
        """The blob of one rendition of the user's image `name`."""
        return f"{PREFIX}{user.folder}/{name}/{target.width or 'full'}.{target.format}"

    async def find(self, path: str, source: str) -> Blob | None:
        """The rendition at `path`, where it is of the version `source` of its image."""
        try:
            blob = await self._blobs.describe(self.container, path)
        except BlobMissing:
            return None
        return blob if blob.metadata.get(SOURCE) == source else None

    async def put(self, path: str, source: str, target: Target, picture: Image) -> Blob:
        """Store a rendition; where another process has stored one of the same version, that one counts."""

        async def put(*, overwrite: bool) -> bool:
            mime_type = MIME_TYPES[target.format]
            metadata = {SOURCE: source}
            return await self._blobs.put(
                self.container, path, picture.data, mime_type, overwrite=overwrite, metadata=metadata
            )

        if not await put(overwrite=False) and await self.find(path, source) is None:
            await put(overwrite=True)  # one of an earlier version of the image is there
        return await self._blobs.describe(self.container, path)

    async def delete(self, path: str) -> None:
        """Delete one; one that is gone already is fine."""
        await self._blobs.delete(self.container, path)

    async def delete_all(self, user: User, beginning: str) -> None:
        """Delete all renditions of the user's images whose names begin with `beginning`.

        Renditions are stored for the session's user, whose id is in lower case; records of the original product may have
        another form of it.
        """
        for owner in {user, User(lowered(user.id))}:
            for blob in await self._blobs.find(self.container, f"{PREFIX}{owner.folder}/{beginning}"):
                await self._blobs.delete(self.container, blob.name)
