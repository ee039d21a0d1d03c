"""Blobs in memory, with the semantics of Azure Blob Storage."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, replace

from image_core.clock import Clock
from image_core.errors import BlobMissing, BlobTooLarge, ContainerMissing
from image_core.storage.blobs import Blob, Reserve
from tests.support.fakes.faults import Faults


@dataclass(frozen=True, slots=True)
class StoredBlob:
    """A blob with its bytes and its tags."""

    blob: Blob
    data: bytes
    tags: Mapping[str, str]


class FakeBlobs:
    """Implements `Blobs`. `containers` are those that exist; more can be added and removed."""

    def __init__(self, *containers: str, clock: Clock | None = None) -> None:
        self.faults = Faults()
        self.containers: dict[str, dict[str, StoredBlob]] = {name: {} for name in containers}
        """The blobs of each container by their names."""
        self._clock = clock or Clock()
        self._etags = itertools.count(1)

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
        """Write a blob. Returns False and writes nothing if it exists and `overwrite` is not set."""

        def apply() -> bool:
            blobs = self._blobs(container)
            earlier = blobs.get(name)
            if earlier is not None and not overwrite:
                return False
            created = self._clock.now() if earlier is None else earlier.blob.created
            blob = Blob(name, len(data), created, self._etag(), content_type, dict(metadata or {}), cache_control)
            blobs[name] = StoredBlob(blob, bytes(data), dict(tags or {}))
            return True

        return await self.faults.call("put", name, apply)

    async def read(self, container: str, name: str, max_bytes: int, reserve: Reserve | None = None) -> bytes:
        """Return all bytes of a blob. Raises BlobMissing, BlobTooLarge."""
        if reserve is not None:
            size = (await self.describe(container, name)).size
            if size > max_bytes:
                raise BlobTooLarge
            await reserve(size)
        data = await self.faults.call("read", name, lambda: self._stored(container, name).data)
        if len(data) > max_bytes:
            raise BlobTooLarge
        return data

    async def read_range(self, container: str, name: str, offset: int, length: int) -> bytes:
        """Return `length` bytes from `offset`. Raises BlobMissing."""
        data = await self.faults.call("read_range", name, lambda: self._stored(container, name).data)
        return data[offset : offset + length]

    async def describe(self, container: str, name: str) -> Blob:
        """Return the properties of a blob. Raises BlobMissing."""
        return await self.faults.call("describe", name, lambda: self._stored(container, name).blob)

    async def find(self, container: str, prefix: str) -> tuple[Blob, ...]:
        """Return the blobs whose names begin with `prefix`, oldest first."""

        def apply() -> tuple[Blob, ...]:
            found = [each.blob for name, each in sorted(self._blobs(container).items()) if name.startswith(prefix)]
            return tuple(sorted(found, key=lambda blob: blob.created))

        return await self.faults.call("find", prefix, apply)

    async def delete(self, container: str, name: str) -> None:
        """Delete a blob; one that does not exist is no error."""
        await self.faults.call("delete", name, lambda: self._blobs(container).pop(name, None))

    async def set_headers(self, container: str, name: str, content_type: str, cache_control: str) -> None:
        """Replace the headers that a blob is served with. Raises BlobMissing."""

        def apply() -> None:
            stored = self._stored(container, name)
            blob = replace(stored.blob, content_type=content_type, cache_control=cache_control, etag=self._etag())
            self._blobs(container)[name] = replace(stored, blob=blob)

        await self.faults.call("set_headers", name, apply)

    def names(self, container: str) -> list[str]:
        """Return the names of all blobs of a container, sorted."""
        return sorted(self._blobs(container))

    def _blobs(self, container: str) -> dict[str, StoredBlob]:
        if container not in self.containers:
            raise ContainerMissing
        return self.containers[container]

    def _stored(self, container: str, name: str) -> StoredBlob:
        stored = self._blobs(container).get(name)
        if stored is None:
            raise BlobMissing
        return stored

    def _etag(self) -> str:
        return f'"0x{next(self._etags):08X}"'
