"""Generated images and uploads in the image container. No write replaces another's."""

import hashlib
import hmac
from dataclasses import dataclass

from image_core.auth.user import User
from image_core.errors import BlobMissing
from image_core.images.image import Image
from image_core.storage.blobs import Blob, Blobs, Reserve, put_as
from image_core.storage.naming import Locations, image_name, last_segment, stem_of
from image_core.storage.pseudonyms import Pseudonyms
from image_core.storage.renditions import Renditions
from image_core.storage.turns import Turns

REVALIDATE = "no-cache"
"""The `Cache-Control` of blobs: a browser may keep an image, and asks with its ETag before it uses it again.

Without asking it would answer a `fetch` from another origin with what an `<img>` loaded without CORS headers, and the
`fetch` would fail.
"""

UPLOAD_TAGS = {"kind": "upload"}
"""The tag of uploads. The lifecycle rule in `infra/modules/image-storage.bicep` deletes uploads that nobody reads."""

USER, UNKEYED_USER = "user", "proof"
"""Names of metadata: the digest of an image's user, and the one without a key that older blobs have."""


@dataclass(frozen=True, slots=True)
class StoredImage:
    """An image in storage: its name, the address that callers get, and whether this write stored it."""

    name: str
    url: str
    mine: bool
    waiting: bool = False
    """Whether it is kept in the outbox until the image container takes it."""


class StoredImages:
    """Stores and finds images. Every method raises StorageUnavailable while Blob Storage does not answer."""

    def __init__(
        self, blobs: Blobs, locations: Locations, pseudonyms: Pseudonyms, renditions: Renditions, turns: Turns
    ) -> None:
        self._blobs = blobs
        self._locations = locations
        self._pseudonyms = pseudonyms
        self._renditions = renditions
        self._turns = turns

    def url(self, name: str) -> str:
        """Return the permanent address of the image with this name."""
        return self._locations.url(name)

    def current_url(self, url: str) -> str:
        """Return where an image can be read now, whatever `IMAGE_ACCESS` was when its address was made."""
        return self._locations.current_url(url)

    async def put(self, user: User, stem: str, image: Image, owner: str) -> StoredImage:
        """Store an image under `stem`; where one with the same name exists already, that one stays.

        `owner` is the lease of the writer (`put_as`).
        """
        name = image_name(stem, image.extension)
        mine = await put_as(
            self._blobs,
            self._locations.container,
            self._locations.path(user, name),
            image,
            owner,
            metadata={USER: await self._pseudonyms.of_owner(user, name)},
            cache_control=REVALIDATE,
        )
        return StoredImage(name, self.url(name), mine)

    async def put_upload(self, user: User, name: str, image: Image) -> str:
        """Store an uploaded image under a new name and return its address."""
        await self._blobs.put(
            self._locations.container,
            self._locations.path(user, name),
            image.data,
            image.mime_type,
            overwrite=True,  # the name is random: only this write can have stored it
            metadata={USER: await self._pseudonyms.of_owner(user, name)},
            cache_control=REVALIDATE,
            tags=UPLOAD_TAGS,
        )
        return self.url(name)

    async def belongs_to(self, user: User, name: str, blob: Blob) -> bool | None:
        """Return whether a blob outside of folders is `user`'s; None where it does not say (the original product's)."""
        if (stored := blob.metadata.get(USER)) is not None:
            return hmac.compare_digest(stored.encode(), (await self._pseudonyms.of_owner(user, name)).encode())
        unkeyed = blob.metadata.get(UNKEYED_USER)
        return None if unkeyed is None else unkeyed == unkeyed_digest(user, name)

    async def find(self, user: User, stem: str) -> str | None:
        """Return the name of the oldest image with this stem, whichever process stored it, and delete the others."""
        found = await self._find(user, stem)
        for late in found[1:]:
            await self._blobs.delete(self._locations.container, late.name)
        return last_segment(found[0].name) if found else None

    async def _find(self, user: User, stem: str) -> list[Blob]:
        """Return the images with this stem, oldest first."""
        prefixes = self._locations.paths(user, f"{stem}.")
        listed = [await self._blobs.find(self._locations.container, prefix) for prefix in prefixes]
        found = [
            blob
            for blobs in listed
            for blob in blobs
            if stem_of(name := last_segment(blob.name)) == stem and blob.name in self._locations.paths(user, name)
        ]
        return sorted(found, key=lambda blob: blob.created)

    async def read(self, user: User, name: str, max_bytes: int, reserve: Reserve | None = None) -> bytes:
        """Return its bytes, after `reserve` has found memory for them. Raises BlobMissing, BlobTooLarge."""
        path, earlier = self._locations.paths(user, name)
        try:
            return await self._blobs.read(self._locations.container, path, max_bytes, reserve)
        except BlobMissing:
            return await self._blobs.read(self._locations.container, earlier, max_bytes, reserve)

    async def delete(self, user: User, name: str) -> None:
        """Delete an image and its renditions, also where it was stored while `IMAGE_ACCESS` was different."""
        for path in self._locations.paths(user, name):
            await self._blobs.delete(self._locations.container, path)
        await self._renditions.delete_of_image(user, name)

    async def delete_original(self, user: User, url: str) -> None:
        """Delete the image that the address in a record of the original product names, unless it is another user's."""
        name = self._locations.original_name(url)
        if name is None:
            return
        try:
            blob = await self._blobs.describe(self._locations.container, name)
            if await self.belongs_to(user, name, blob) is not False:
                await self._blobs.delete(self._locations.container, name)
        except BlobMissing:
            pass  # its renditions may still exist
        await self._renditions.delete_of_image(user, name)

    async def delete_all(self, user: User, stem: str) -> None:
        """Delete every image with this stem, and then their renditions and the turns of the model that made them."""
        for blob in await self._find(user, stem):
            await self._blobs.delete(self._locations.container, blob.name)
        await self._renditions.delete_of_stem(user, stem)
        await self._turns.delete_all(user, stem)


def unkeyed_digest(user: User, name: str) -> str:
    """Return the digest of an image's user as older blobs have it, from before the digests had a key."""
    return hashlib.sha256(f"{user.id}\0{name}".encode()).hexdigest()[:32]
