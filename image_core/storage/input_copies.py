"""The private copies of inputs, with which a recorded generation can be run again without its caller."""

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from image_core.auth.user import User
from image_core.errors import BlobMissing, Internal
from image_core.images.image import Image
from image_core.runtime.offload import offloaded
from image_core.storage.blobs import Blobs
from image_core.storage.naming import ORIGINAL, InputBlob

EXPIRED = "The copy of an input has expired; send the request again with a new key"


@dataclass(frozen=True, slots=True)
class InputCopy:
    """The private copy of one input. `name` is what `GET /api/images/{name}` takes."""

    name: str
    mime_type: str
    width: int
    height: int
    size: int
    """Bytes."""


class InputCopies:
    """Blobs `inputs/FOLDER/SHA256.EXTENSION` in the private container.

    The same image is one blob, written again each time, so that the lifecycle rule counts from its last use. Raises
    StorageUnavailable from every method while Blob Storage does not answer.
    """

    def __init__(self, blobs: Blobs, private_container: str) -> None:
        self._blobs = blobs
        self._container = private_container

    async def put_all(self, user: User, images: Sequence[Image]) -> tuple[InputCopy, ...]:
        """Store a copy of each, in order; the same image twice is stored once."""
        size = sum(len(image.data) for image in images)
        digests = await offloaded(size, lambda: [image.sha256() for image in images])
        blobs = [InputBlob(user.folder, digest, image.extension) for digest, image in zip(digests, images, strict=True)]
        different = dict(zip(blobs, images, strict=True))
        await asyncio.gather(*(self._put(blob, image.data, image.mime_type) for blob, image in different.items()))
        return tuple(
            InputCopy(blob.copy_name, image.mime_type, image.width, image.height, len(image.data))
            for blob, image in zip(blobs, images, strict=True)
        )

    async def put_original(self, user: User, data: bytes) -> str:
        """Store a file of any kind byte for byte, which only `read_original` reads, and return its name."""
        digest = await offloaded(len(data), lambda: hashlib.sha256(data).hexdigest())
        blob = InputBlob(user.folder, digest, ORIGINAL)
        await self._put(blob, data, "application/octet-stream")
        return blob.file_name

    async def read_original(self, user: User, name: str, size: int) -> bytes:
        """Return a file of `size` bytes that `put_original` named. Raises Internal where it has expired."""
        return await self._read(InputBlob.original(user, name), size)

    async def read_all(self, user: User, copies: Sequence[InputCopy]) -> tuple[Image, ...]:
        """Return the images of a record's copies, in order. Raises Internal where one has expired."""
        images = {}
        for copy in copies:
            if copy.name not in images:
                data = await self._read(InputBlob.named(user, copy.name), copy.size)
                images[copy.name] = Image(data, copy.mime_type, copy.width, copy.height)
        return tuple(images[copy.name] for copy in copies)

    async def _put(self, blob: InputBlob, data: bytes, mime_type: str) -> None:
        await self._blobs.put(self._container, blob.path, data, mime_type, overwrite=True)

    async def _read(self, blob: InputBlob | None, size: int) -> bytes:
        if blob is None:
            raise Internal(EXPIRED)
        try:
            return await self._blobs.read(self._container, blob.path, max(size, 1))
        except BlobMissing as error:
            raise Internal(EXPIRED) from error
