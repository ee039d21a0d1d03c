"""The pictures that were made, and uploads: where they lie, under which address, and that no write replaces another's."""

import hashlib
import hmac
from dataclasses import dataclass
from urllib.parse import quote, unquote, urlsplit

from image_core.auth.user import User
from image_core.errors import BlobMissing
from image_core.images.image import Image
from image_core.settings import Settings
from image_core.storage.blobs import Blob, Blobs, Reserve
from image_core.storage.pseudonyms import Pseudonyms
from image_core.storage.renditions import Renditions
from image_core.storage.turns import Turns

REVALIDATE = "no-cache"
"""A browser may keep an image and asks with its ETag. It must not reuse one without asking: what an `<img>` has loaded
without CORS headers would then be the answer to a `fetch` from another origin, which fails without them."""

UPLOAD_TAGS = {"kind": "upload"}
"""By this tag the storage's lifecycle rule knows uploads (`infra/modules/pictures.bicep`): it deletes those that nobody reads."""

OWNER, UNKEYED_OWNER = "user", "proof"
"""Names of metadata: the digest of an image's owner, and the one without a key that older blobs have."""


@dataclass(frozen=True, slots=True)
class StoredImage:
    """A picture in storage: its blob's name, the address that callers get, and whether this write made it."""

    name: str
    url: str
    mine: bool
    waiting: bool = False
    """It is kept in the outbox until the image container takes it."""


class StoredImages:
    """Raises StorageUnavailable from every method while Blob Storage does not answer."""

    def __init__(
        self,
        blobs: Blobs,
        account_url: str,
        pseudonyms: Pseudonyms,
        renditions: Renditions,
        turns: Turns,
        settings: Settings,
    ) -> None:
        self._blobs = blobs
        self._account_url = account_url
        self._renditions = renditions
        self._turns = turns
        self._pseudonyms = pseudonyms
        self._container = settings.storage_container
        self._private = settings.image_access == "private"

    def _path(self, user: User, name: str) -> str:
        """The blob's name in the container: under the user's folder where pictures are private."""
        return f"{user.folder}/{name}" if self._private else name

    def _paths(self, user: User, name: str) -> tuple[str, str]:
        """Where it is stored, and where it was stored while `IMAGE_ACCESS` was different."""
        here, there = f"{user.folder}/{name}", name
        return (here, there) if self._private else (there, here)

    def url(self, name: str) -> str:
        """The permanent address of the picture with this name (without a folder)."""
        if self._private:
            return f"/api/images/{quote(name)}"
        return f"{self._account_url}/{self._container}/{quote(name)}"

    def path_of(self, url: str) -> str | None:
        """The blob's name in the container that an address of ours leads to; None for any other address."""
        parts, base = urlsplit(url), f"{self._account_url}/{self._container}/"
        address = f"{parts.scheme}://{parts.netloc}{parts.path}"
        return unquote(address.removeprefix(base)) if address.startswith(base) else None

    def current_url(self, url: str) -> str:
        """Where an image can be read now: while images are private, the address of a public blob leads nowhere."""
        path = self.path_of(url) if self._private else None
        return url if path is None else f"/api/images/{quote(path.rsplit('/', 1)[-1])}"

    async def put(self, user: User, stem: str, picture: Image, owner: str) -> StoredImage:
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
            metadata={**await self._ownership(user, name), "owner": owner},
            cache_control=REVALIDATE,
        )
        if not written:
            there = await self._blobs.describe(self._container, self._path(user, name))
            written = there.metadata.get("owner") == owner
        return StoredImage(name, self.url(name), written)

    async def put_upload(self, user: User, name: str, picture: Image) -> str:
        """Store an uploaded picture under a name that is new; its address."""
        await self._blobs.put(
            self._container,
            self._path(user, name),
            picture.data,
            picture.mime_type,
            overwrite=True,  # the name is random: whatever is there is this very write
            metadata=await self._ownership(user, name),
            cache_control=REVALIDATE,
            tags=UPLOAD_TAGS,
        )
        return self.url(name)

    async def _ownership(self, user: User, name: str) -> dict[str, str]:
        """The metadata that says whose image it is. Anybody may read that of a public one, so it names nobody."""
        return {OWNER: await self._pseudonyms.of_owner(user, name)}

    async def belongs_to(self, user: User, name: str, blob: Blob) -> bool | None:
        """Whether a blob outside of folders is `user`'s; None where it does not say: the original product wrote nothing."""
        if (stored := blob.metadata.get(OWNER)) is not None:
            return hmac.compare_digest(stored.encode(), (await self._pseudonyms.of_owner(user, name)).encode())
        unkeyed = blob.metadata.get(UNKEYED_OWNER)
        return None if unkeyed is None else unkeyed == unkeyed_proof(user, name)

    async def find(self, user: User, stem: str) -> str | None:
        """The name of the picture with this stem, whoever stored it: of several the oldest, and the others are deleted."""
        found = await self._find(user, stem)
        for late in found[1:]:
            await self._blobs.delete(self._container, late.name)
        return _name(found[0]) if found else None

    async def _find(self, user: User, stem: str) -> list[Blob]:
        found = [await self._blobs.find(self._container, path) for path in self._paths(user, f"{stem}.")]
        return sorted((blob for blobs in found for blob in blobs), key=lambda blob: blob.created)

    async def read(self, user: User, name: str, max_bytes: int, reserve: Reserve | None = None) -> bytes:
        """Its bytes, read after `reserve` has found memory for them. Raises BlobMissing, BlobTooLarge."""
        here, there = self._paths(user, name)
        try:
            return await self._blobs.read(self._container, here, max_bytes, reserve)
        except BlobMissing:
            return await self._blobs.read(self._container, there, max_bytes, reserve)

    async def delete(self, user: User, name: str) -> None:
        """Delete it and its renditions wherever it lies: also where it was stored while `IMAGE_ACCESS` was different."""
        for path in self._paths(user, name):
            await self._blobs.delete(self._container, path)
        await self._renditions.delete_all(user, f"{name}/")

    async def delete_original(self, user: User, url: str) -> None:
        """Delete the image of a record of the original product: what its address names in our container, unless another
        user's is there. The host is not compared: the record may name the storage by another one."""
        container, _, name = urlsplit(url).path.rpartition("/")
        if container.rpartition("/")[2] != self._container or not name:
            return
        name = unquote(name)
        try:
            blob = await self._blobs.describe(self._container, name)
            if await self.belongs_to(user, name, blob) is not False:
                await self._blobs.delete(self._container, name)
        except BlobMissing:
            pass  # its renditions may still be there
        await self._renditions.delete_all(user, f"{name}/")

    async def delete_all(self, user: User, stem: str) -> None:
        """Delete every image with this stem, and then their renditions and the turns of the model that made them."""
        for blob in await self._find(user, stem):
            await self._blobs.delete(self._container, blob.name)
        await self._renditions.delete_all(user, f"{stem}.")
        await self._turns.delete_all(user, stem)


def unkeyed_proof(user: User, name: str) -> str:
    """Whose image it is, as blobs say it that were written before the digests had a key."""
    return hashlib.sha256(f"{user.id}\0{name}".encode()).hexdigest()[:32]


def _name(blob: Blob) -> str:
    return blob.name.rsplit("/", 1)[-1]
