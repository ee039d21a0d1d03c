"""Smaller copies of stored images, in the private container. They can be made again at any time."""

from collections.abc import Callable

from image_core.auth.user import User
from image_core.email_address import lowered
from image_core.errors import BlobMissing
from image_core.images.image import MIME_TYPES, Image, Target
from image_core.storage.blobs import Blob, Blobs
from image_core.storage.naming import RENDITIONS, RenditionBlob, stem_of

SOURCE = "source"
"""The name of metadata: the version of the image that a rendition is of."""


class Renditions:
    """Stores and finds renditions. Every method raises StorageUnavailable while Blob Storage does not answer."""

    def __init__(self, blobs: Blobs, private_container: str) -> None:
        self._blobs = blobs
        self.container = private_container

    def path(self, user: User, name: str, target: Target) -> str:
        """Return the blob's name of one rendition of the user's image `name`."""
        return RenditionBlob(user.folder, name, target.width, target.format).path

    async def find(self, path: str, source: str) -> Blob | None:
        """Return the rendition at `path` where it is of the version `source` of its image, else None."""
        try:
            blob = await self._blobs.describe(self.container, path)
        except BlobMissing:
            return None
        return blob if blob.metadata.get(SOURCE) == source else None

    async def put(self, path: str, source: str, target: Target, image: Image) -> Blob:
        """Store a rendition; where another process has stored one of the same version, that one stays."""

        async def put(*, overwrite: bool) -> bool:
            mime_type = MIME_TYPES[target.format]
            metadata = {SOURCE: source}
            return await self._blobs.put(
                self.container, path, image.data, mime_type, overwrite=overwrite, metadata=metadata
            )

        if not await put(overwrite=False) and await self.find(path, source) is None:
            await put(overwrite=True)  # there is one of an earlier version of the image
        return await self._blobs.describe(self.container, path)

    async def delete(self, path: str) -> None:
        """Delete one rendition; one that does not exist is no error."""
        await self._blobs.delete(self.container, path)

    async def delete_of_image(self, user: User, name: str) -> None:
        """Delete all renditions of the user's image `name`."""
        await self._delete(user, f"{name}/", lambda blob: blob.name == name)

    async def delete_of_stem(self, user: User, stem: str) -> None:
        """Delete all renditions of the user's images with this stem."""
        await self._delete(user, f"{stem}.", lambda blob: stem_of(blob.name) == stem)

    async def _delete(self, user: User, prefix: str, matches: Callable[[RenditionBlob], bool]) -> None:
        """Delete the renditions below `prefix` that match.

        Renditions are stored for the session's user, whose id is in lower case; records of the original product may
        have another form of it.
        """
        for owner in {user, User(lowered(user.id))}:
            for found in await self._blobs.find(self.container, f"{RENDITIONS}{owner.folder}/{prefix}"):
                blob = RenditionBlob.parse(found.name)
                if blob is not None and matches(blob):
                    await self._blobs.delete(self.container, found.name)
