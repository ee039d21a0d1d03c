"""The connection to Cosmos DB: one client for the process, with short timeouts.

Only those of the service's errors that concern an item reach the caller. A 404 about anything else is an outage:
sub-status 1003 (the container or database does not exist) and 1002 (this session's data has not arrived yet, after the
SDK's own retries).
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from azure.core.exceptions import AzureError
from azure.cosmos.exceptions import CosmosHttpResponseError, CosmosResourceNotFoundError

from image_core.clock import Clock
from image_core.errors import ContainerMissing, Misconfigured, StorageUnavailable
from image_core.runtime.proxy import proxied

if TYPE_CHECKING:
    from azure.cosmos.aio import ContainerProxy, CosmosClient
    from azure.identity.aio import DefaultAzureCredential

log = logging.getLogger("image_core.storage")

CALL_SECONDS = 6.0
"""The longest that one call takes, with the SDK's own retries: it would retry for minutes, and the caller waits."""

_ABOUT_ITEMS = {
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.NOT_FOUND,
    HTTPStatus.CONFLICT,
    HTTPStatus.PRECONDITION_FAILED,
}
"""The statuses that can be an answer about an item."""

OWNER_MISSING = 1003
"""The sub-status of a 404 that means that the item's container, or the container's database, does not exist."""
SESSION_NOT_AVAILABLE = 1002
"""The sub-status of a 404 that means that the data of this client's session has not arrived at the replica yet."""

SKEW_SECONDS = 5.0
"""The smallest difference between the clocks of this host and the database that counts: `Date` has whole seconds."""

LEASES = "leases"
"""The container in which the change feed's trigger keeps its position."""


class Cosmos:
    """One database. It is opened by the first call; where that fails, the next call tries again.

    Needs a connection string, or an `endpoint`, to which it identifies itself with DefaultAzureCredential.
    """

    def __init__(
        self, database: str, clock: Clock, *, connection_string: str | None = None, endpoint: str | None = None
    ) -> None:
        if connection_string is None and endpoint is None:
            raise Misconfigured("neither AZURE_COSMOS_CONNECTION_STRING nor AZURE_COSMOS_ENDPOINT is set")
        self._database = database
        self._clock = clock
        self._connection_string = connection_string
        self._endpoint = endpoint
        self._skew = timedelta()
        self._client: CosmosClient | None = None
        self._credential: DefaultAzureCredential | None = None
        self._containers: dict[str, ContainerProxy] = {}
        self._opening = asyncio.Lock()

    @asynccontextmanager
    async def container(self, name: str, seconds: float | None = CALL_SECONDS) -> AsyncIterator["ContainerProxy"]:
        """Enter a container for one call of at most `seconds`.

        Errors about an item are raised as the SDK raises them. Raises ContainerMissing where the container or the
        database does not exist, and StorageUnavailable for every other error.
        """
        try:
            async with asyncio.timeout(seconds):
                yield await self._open(name)
        except CosmosHttpResponseError as error:
            if _is_container_missing(error):
                self._containers.pop(name, None)
                log.warning("the database %s or its container does not exist", self._database)
                raise ContainerMissing from error
            if error.status_code in _ABOUT_ITEMS and error.sub_status != SESSION_NOT_AVAILABLE:
                raise
            log.warning("cosmos answered %s.%s", error.status_code, error.sub_status)
            raise StorageUnavailable from error
        except (AzureError, OSError) as error:  # TimeoutError is an OSError
            log.warning("cosmos did not answer: %s", type(error).__name__)
            raise StorageUnavailable from error

    @property
    def clock(self) -> Clock:
        """The clock that limits the time of calls."""
        return self._clock

    def now(self) -> datetime:
        """Return the database's time, on which hosts whose clocks differ by minutes agree."""
        return self._clock.now() + self._skew

    def _note_date(self, header: str | None) -> None:
        """Compare the clocks by the `Date` header of an answer that has just come."""
        if header is None:
            return
        try:
            theirs = parsedate_to_datetime(header)
        except ValueError:
            return
        if theirs.tzinfo is None:
            return
        difference = theirs + timedelta(seconds=0.5) - self._clock.now()
        self._skew = difference if abs(difference) >= timedelta(seconds=SKEW_SECONDS) else timedelta()

    async def _open(self, name: str) -> "ContainerProxy":
        if self._client is None:
            async with self._opening:
                if self._client is None:
                    client = self._connect()
                    try:
                        await client.__aenter__()
                    except CosmosHttpResponseError as error:  # of any status: no container was asked
                        await client.close()
                        log.warning("cosmos answered %s to the connection", error.status_code)
                        raise StorageUnavailable from error
                    except BaseException:
                        await client.close()
                        raise
                    self._client = client
        if name not in self._containers:
            database = self._client.get_database_client(self._database)
            found = database.get_container_client(name)
            try:
                # The SDK reads the properties before its first call anyway, and keeps them. Where the container is
                # missing it gives no sub-status, so that only this call can tell that from a missing item.
                await found.read()
            except CosmosResourceNotFoundError as error:
                log.warning("the container %s/%s does not exist", self._database, name)
                raise ContainerMissing from error
            self._containers[name] = found
        return self._containers[name]

    async def probe(self, *names: str) -> Mapping[str, str]:
        """Return `ok` or `missing` for each container, by `database/container`. Raises StorageUnavailable."""
        states = await asyncio.gather(*map(self._probe, names))
        return {f"{self._database}/{name}": state for name, state in zip(names, states, strict=True)}

    async def _probe(self, name: str) -> str:
        try:
            async with self.container(name) as container:
                await container.read_item("probe", "probe")
        except CosmosResourceNotFoundError:
            return "ok"
        except ContainerMissing:
            return "missing"
        return "ok"

    def _connect(self) -> "CosmosClient":
        # Imported here: the SDK costs a tenth of a second of a cold start that a health check need not pay.
        from azure.core.pipeline.transport import AioHttpTransport  # noqa: PLC0415 - see above
        from azure.cosmos.aio import CosmosClient  # noqa: PLC0415 - see above

        clock, note_date = self._clock, self._note_date

        class Transport(AioHttpTransport):  # type: ignore[misc] # the package loads it lazily, without its type
            """Notes the time of each answer that came without delay."""

            async def send(self, *arguments: Any, **options: Any) -> Any:
                began = clock.monotonic()
                response = await super().send(*arguments, **options)
                if clock.monotonic() - began < SKEW_SECONDS / 2:
                    note_date(response.headers.get("Date"))
                return response

        bounds: dict[str, Any] = {"connection_timeout": 3, "read_timeout": 5, "retry_total": 3, "retry_backoff_max": 3}
        bounds["transport"] = Transport(use_env_settings=proxied(), **bounds)
        if self._connection_string is not None:
            try:
                return CosmosClient.from_connection_string(self._connection_string, **bounds)
            except (ValueError, KeyError) as error:
                raise Misconfigured("AZURE_COSMOS_CONNECTION_STRING cannot be read") from error
        from azure.identity.aio import DefaultAzureCredential  # noqa: PLC0415 - only where there is no connection string

        self._credential = self._credential or DefaultAzureCredential()
        return CosmosClient(str(self._endpoint), self._credential, **bounds)

    async def close(self) -> None:
        """Close the connections. A later call opens new ones."""
        client, self._client = self._client, None
        self._containers.clear()
        if client is not None:
            await client.close()
        credential, self._credential = self._credential, None
        if credential is not None:
            await credential.close()


def _is_container_missing(error: CosmosHttpResponseError) -> bool:
    """Return whether an error is a 404 about the container or the database, and not about an item.

    The SDK reads a container's properties before an item; the answer to that has no sub-status.
    """
    if error.status_code != HTTPStatus.NOT_FOUND:
        return False
    if error.sub_status == OWNER_MISSING:
        return True
    request = getattr(error.response, "request", None)
    return request is not None and "/docs" not in urlsplit(request.url).path
