"""The blobs that the product needs, as a protocol. `azure_blobs` implements it on Azure Blob Storage."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from image_core.images.image import Image

Reserve = Callable[[int], Awaitable[None]]
"""Waits until there is memory for so many bytes, as `memory_budget.Claim.enter` does. Raises Busy."""


@dataclass(frozen=True, slots=True)
class Blob:
    """The properties of a blob, without its bytes."""

    name: str
    size: int
    """Bytes."""
    created: datetime
    etag: str
    """Another one after each write, with the quotation marks of the HTTP header."""
    content_type: str
    metadata: Mapping[str, str] = field(default_factory=dict)
    cache_control: str | None = None


class Blobs(Protocol):
    """Blobs by container and name.

    Every method raises StorageUnavailable while the service does not answer, and ContainerMissing (a kind of it) where
    the container does not exist or is being deleted. After StorageUnavailable a write may have been applied or not.
    """

    async def put(
        self,
        container: str,
        name: str,
        data: bytes,
        content_type: str,
        *,
        overwrite: bool,
        metadata: Mapping[str, str] | None = None,
        cache_control: str | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> bool:
        """Write a blob. Returns False and writes nothing where it exists and `overwrite` is not set.

        `tags` are omitted where the application is not allowed to set them.
        """

    async def read(self, container: str, name: str, max_bytes: int, reserve: Reserve | None = None) -> bytes:
        """Return all bytes of a blob, after `reserve` has found memory for them. Raises BlobMissing, BlobTooLarge."""

    async def read_range(self, container: str, name: str, offset: int, length: int) -> bytes:
        """Return `length` bytes from `offset`, fewer at the blob's end. Raises BlobMissing."""

    async def describe(self, container: str, name: str) -> Blob:
        """Return the properties of a blob. Raises BlobMissing."""

    async def find(self, container: str, prefix: str) -> tuple[Blob, ...]:
        """Return the blobs whose names begin with `prefix`, oldest first."""

    async def delete(self, container: str, name: str) -> None:
        """Delete the blob with exactly this name; one that does not exist is no error."""

    async def set_headers(self, container: str, name: str, content_type: str, cache_control: str) -> None:
        """Replace the headers that a blob is served with. Raises BlobMissing."""


OWNER = "owner"
"""The name of metadata: the lease of the process that stored an image."""


async def put_as(
    blobs: Blobs,
    container: str,
    name: str,
    image: Image,
    owner: str,
    *,
    metadata: Mapping[str, str] | None = None,
    cache_control: str | None = None,
) -> bool:
    """Store an image where there is none of this name. Returns whether the one that is stored is this owner's.

    `owner` is the lease of the writer, by which it recognises its own write after a lost acknowledgement.
    """
    written = await blobs.put(
        container,
        name,
        image.data,
        image.mime_type,
        overwrite=False,
        metadata={**(metadata or {}), OWNER: owner},
        cache_control=cache_control,
    )
    return written or (await blobs.describe(container, name)).metadata.get(OWNER) == owner
