"""The private copies of inputs: what lets a recorded generation be run again without its caller."""

import asyncio
import hashlib
from collections.abc import Sequence

from image_core.auth.user import User
from image_core.errors import BlobMissing, Internal
from image_core.generations.record import InputCopy
from image_core.images.image import Image
from image_core.runtime.offload import offloaded
from image_core.settings import Settings
from image_core.storage.blobs import Blobs

PREFIX = "input-"
"""Before the digest in the names that `GET /api/images/{name}` takes."""


EXPIRED = "The copy of an input has expired; send the request again with a new key"


class InputCopies:
    """Copies under `inputs/<user's folder>/<sha256>.<extension>`: the same picture is one blob, written again each time,
    so that the lifecycle rule counts from its last use. Raises StorageUnavailable."""

    def __init__(self, blobs: Blobs, settings: Settings) -> None:
        self._blobs = blobs
        self._container = settings.storage_private_container
        self._max_bytes = settings.max_image_bytes

    async def put_all(self, user: User, pictures: Sequence[Image]) -> tuple[InputCopy, ...]:
        """Store a copy of each, in order; the same picture twice is stored once."""
        size = sum(len(picture.data) for picture in pictures)
        digests = await offloaded(size, lambda: [picture.sha256() for picture in pictures])
        different = dict(zip(digests, pictures, strict=True))
        await asyncio.gather(*(self._put(user, digest, picture) for digest, picture in different.items()))
        return tuple(
            InputCopy(
                f"{PREFIX}{digest}.{picture.extension}",
                picture.mime_type,
                picture.width,
                picture.height,
                len(picture.data),
            )
            for digest, picture in zip(digests, pictures, strict=True)
        )

    async def put_original(self, user: User, data: bytes) -> str:
        """Store a file byte for byte, of any kind, which only `read_original` reads. Its name."""
        digest = await offloaded(len(data), lambda: hashlib.sha256(data).hexdigest())
        name = f"{digest}.original"
        await self._blobs.put(
            self._container, f"inputs/{user.folder}/{name}", data, "application/octet-stream", overwrite=True
        )
        return name

    async def read_original(self, user: User, name: str, size: int) -> bytes:
        """A file of `size` bytes that `put_original` named. Raises Internal where it has expired."""
        try:
            return await self._blobs.read(self._container, f"inputs/{user.folder}/{name}", max(size, 1))
        except BlobMissing as error:
            raise Internal(EXPIRED) from error

    async def _put(self, user: User, digest: str, picture: Image) -> None:
        name = f"inputs/{user.folder}/{digest}.{picture.extension}"
        await self._blobs.put(self._container, name, picture.data, picture.mime_type, overwrite=True)

    async def read_all(self, user: User, copies: Sequence[InputCopy]) -> tuple[Image, ...]:
        """The pictures of a record's copies, in order. Raises Internal where one has expired."""
        pictures = {}
        for copy in copies:
            if copy.name in pictures:
                continue
            try:
                data = await self._blobs.read(
                    self._container, f"inputs/{user.folder}/{copy.name.removeprefix(PREFIX)}", max(copy.size, 1)
                )
            except BlobMissing as error:
                raise Internal(EXPIRED) from error
            pictures[copy.name] = Image(data, copy.mime_type, copy.width, copy.height)
        return tuple(pictures[copy.name] for copy in copies)
