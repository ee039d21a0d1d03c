"""Blobs on Azure Blob Storage: one client for the process, with short timeouts; its errors become those of `Blobs`."""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from azure.core.exceptions import AzureError, HttpResponseError

from image_core.errors import BlobMissing, BlobTooLarge, ContainerMissing, Misconfigured, StorageUnavailable
from image_core.runtime.proxy import proxied
from image_core.storage.blobs import Blob, Reserve

if TYPE_CHECKING:
    from azure.identity.aio import DefaultAzureCredential
    from azure.storage.blob.aio import BlobClient, BlobServiceClient

log = logging.getLogger("image_core.storage")

EXISTS = frozenset({"BlobAlreadyExists", "ConditionNotMet", "TargetConditionNotMet"})
"""The error codes of a conditional write where the blob exists. Other conflicts (`ContainerBeingDeleted`) are
outages."""
MISSING = frozenset({"BlobNotFound", "ResourceNotFound"})
"""The error codes of a blob that does not exist."""
NO_CONTAINER = frozenset({"ContainerNotFound", "ContainerBeingDeleted"})
"""The error codes of a container that does not exist: an outage, whatever was called."""

# The SDK's own pauses begin at 15 s, which is longer than a caller waits.
BOUNDS: dict[str, Any] = {
    "initial_backoff": 1,
    "increment_base": 2,
    "random_jitter_range": 1,
    "retry_total": 2,
    "connection_timeout": 5,
    "read_timeout": 20,
}


class AzureBlobs:
    """One storage account. Implements `Blobs`.

    Needs a connection string, or an `account_url`, to which it identifies itself with DefaultAzureCredential.
    """

    def __init__(self, *, connection_string: str | None = None, account_url: str | None = None) -> None:
        if connection_string is None and account_url is None:
            raise Misconfigured("neither AZURE_STORAGE_CONNECTION_STRING nor AZURE_STORAGE_ACCOUNT_URL is set")
        self._credential: DefaultAzureCredential | None = None
        self._client: BlobServiceClient = self._connect(connection_string, account_url)

    @property
    def account_url(self) -> str:
        """The account's address, as `https://ACCOUNT.blob.core.windows.net`, without a slash at its end."""
        return self._client.url.split("?", 1)[0].rstrip("/")

    def _connect(self, connection_string: str | None, account_url: str | None) -> "BlobServiceClient":
        from azure.core.pipeline.transport import AioHttpTransport  # noqa: PLC0415 - loaded with the client
        from azure.storage.blob.aio import BlobServiceClient  # noqa: PLC0415 - 0.2 s that a health check need not pay

        options = {**BOUNDS, "transport": AioHttpTransport(use_env_settings=proxied(), **BOUNDS)}
        if connection_string is not None:
            try:
                return BlobServiceClient.from_connection_string(connection_string, **options)
            except (ValueError, KeyError) as error:
                raise Misconfigured("AZURE_STORAGE_CONNECTION_STRING cannot be read") from error
        from azure.identity.aio import DefaultAzureCredential  # noqa: PLC0415 - only where there is no connection string

        self._credential = DefaultAzureCredential()
        return BlobServiceClient(str(account_url), self._credential, **options)

    def _blob(self, container: str, name: str) -> "BlobClient":
        return self._client.get_blob_client(container, name)

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

        `tags` are omitted where the application is not allowed to set them: its role may be older than they are.
        """
        from azure.storage.blob import ContentSettings  # noqa: PLC0415 - loaded with the client

        async with _translated():
            try:
                await self._blob(container, name).upload_blob(
                    data,
                    overwrite=overwrite,  # False sends If-None-Match: *
                    metadata=None if metadata is None else dict(metadata),
                    content_settings=ContentSettings(content_type=content_type, cache_control=cache_control),
                    tags=None if tags is None else dict(tags),
                )
            except HttpResponseError as error:
                if not overwrite and _code(error) in EXISTS:
                    return False
                if tags is None or error.status_code != HTTPStatus.FORBIDDEN:
                    raise
                untagged = True
            else:
                untagged = False
        if untagged:
            log.warning("blob tags are refused: the role Storage Blob Data Owner is missing for %s", container)
            return await self.put(
                container, name, data, content_type, overwrite=overwrite, metadata=metadata, cache_control=cache_control
            )
        return True

    async def read(self, container: str, name: str, max_bytes: int, reserve: Reserve | None = None) -> bytes:
        """Return all bytes of a blob, after `reserve` has found memory for them. Raises BlobMissing, BlobTooLarge."""
        if reserve is not None:
            size = (await self.describe(container, name)).size
            if size > max_bytes:
                raise BlobTooLarge
            await reserve(size)
        data = await self.read_range(container, name, 0, max_bytes + 1)
        if len(data) > max_bytes:
            raise BlobTooLarge
        return data

    async def read_range(self, container: str, name: str, offset: int, length: int) -> bytes:
        """Return `length` bytes from `offset`, fewer at the blob's end. Raises BlobMissing."""
        async with _translated():
            try:
                download = await self._blob(container, name).download_blob(offset=offset, length=length)
                return await download.readall()
            except HttpResponseError as error:
                if _code(error) == "InvalidRange":  # `offset` is not within the blob, which may be empty
                    return b""
                raise

    async def describe(self, container: str, name: str) -> Blob:
        """Return the properties of a blob. Raises BlobMissing."""
        async with _translated():
            return _described(await self._blob(container, name).get_blob_properties())

    async def find(self, container: str, prefix: str) -> tuple[Blob, ...]:
        """Return the blobs whose names begin with `prefix`, oldest first."""
        async with _translated():
            listing = self._client.get_container_client(container).list_blobs(
                name_starts_with=prefix, include=["metadata"]
            )
            return tuple(sorted([_described(blob) async for blob in listing], key=lambda blob: blob.created))

    async def delete(self, container: str, name: str) -> None:
        """Delete the blob with exactly this name; one that does not exist is no error."""
        try:
            async with _translated():
                await self._blob(container, name).delete_blob()
        except BlobMissing:
            return

    async def set_headers(self, container: str, name: str, content_type: str, cache_control: str) -> None:
        """Replace the headers that a blob is served with. Raises BlobMissing."""
        from azure.storage.blob import ContentSettings  # noqa: PLC0415 - loaded with the client

        settings = ContentSettings(content_type=content_type, cache_control=cache_control)
        async with _translated():
            await self._blob(container, name).set_http_headers(settings)

    async def probe(self, *names: str) -> Mapping[str, str]:
        """Return `ok` or `missing` for each container, by its name. Raises StorageUnavailable."""
        states = await asyncio.gather(*map(self._probe, names))
        return dict(zip(names, states, strict=True))

    async def _probe(self, name: str) -> str:
        try:
            async with _translated():
                await self._client.get_container_client(name).get_container_properties()
        except ContainerMissing:
            return "missing"
        return "ok"

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()
        if self._credential is not None:
            await self._credential.close()


def _described(known: Any) -> Blob:
    return Blob(
        known.name,
        known.size,
        known.creation_time,
        known.etag,
        known.content_settings.content_type or "application/octet-stream",
        dict(known.metadata or {}),
        known.content_settings.cache_control,
    )


@asynccontextmanager
async def _translated() -> AsyncIterator[None]:
    """Translate the SDK's errors into BlobMissing, ContainerMissing, or StorageUnavailable for all others."""
    try:
        yield
    except (AzureError, OSError) as error:
        code = _code(error)
        if code in MISSING:
            raise BlobMissing from error
        if code in NO_CONTAINER:
            log.error("blob storage: %s", code)  # noqa: TRY400 - no stack needed
            raise ContainerMissing from error
        log.warning(
            "blob storage did not answer: %s %s %s", type(error).__name__, getattr(error, "status_code", ""), code
        )
        raise StorageUnavailable from error


def _code(error: Exception) -> str:
    """Return the service's error code, from the header `x-ms-error-code` or the body; empty where it gave none."""
    code = getattr(error, "error_code", None) or ""
    return str(getattr(code, "value", code))
