"""The way to Cosmos DB: one client for the process, bounded waits, and its failures in our words.

Of the service's answers only those about an item reach the caller. A 404 about anything else is an outage: sub-status 1003
(the container or database does not exist) and 1002 (this session's data has not arrived yet, after the SDK's own retries).
"""

import asyncio
import logging
import random as stdlib_random
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
from image_core.settings import Settings

if TYPE_CHECKING:
    from azure.cosmos.aio import ContainerProxy, CosmosClient
    from azure.identity.aio import DefaultAzureCredential

log = logging.getLogger("image_core.storage")

CALL_SECONDS = 6.0
"""The longest one call may take, the SDK's own retries included: it would retry for minutes, and our caller waits."""

PART_OF_THE_CONVERSATION = {
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.NOT_FOUND,
    HTTPStatus.CONFLICT,
    HTTPStatus.PRECONDITION_FAILED,
}


OWNER_MISSING = 1003
"""The sub-status of a 404 that means that the item's container, or the container's database, does not exist."""
SESSION_NOT_AVAILABLE = 1002
"""The sub-status of a 404 that means that the data of this client's session has not arrived at the replica yet."""

TRIES = 8
"""How often one write is tried over newer versions, or one read over versions that have not arrived yet."""
FIRST_PAUSE_SECONDS = 0.05
LONGEST_PAUSE_SECONDS = 1.0

SKEW_SECONDS = 5.0
"""The smallest difference between this host's clock and the database's that counts: the `Date` header has whole seconds."""

LEASES = "leases"
"""The container in which the change feed's trigger keeps its position."""


class Cosmos:
    """The database's containers. Opened at first use; a failed opening is tried again by the next call."""

    def __init__(
        self, settings: Settings, clock: Clock | None = None, random: stdlib_random.Random | None = None
    ) -> None:
        if settings.cosmos_connection_string is None and settings.cosmos_endpoint is None:
            raise Misconfigured("neither AZURE_COSMOS_CONNECTION_STRING nor AZURE_COSMOS_ENDPOINT is set")
        self._settings = settings
        self._clock = clock or Clock()
        self._random = random or stdlib_random.Random()  # noqa: S311 - jitter, no secret
        self._skew = timedelta()
        self._client: CosmosClient | None = None
        self._credential: DefaultAzureCredential | None = None
        self._containers: dict[str, ContainerProxy] = {}
        self._opening = asyncio.Lock()

    @asynccontextmanager
    async def container(
        self, seconds: float | None = CALL_SECONDS, name: str | None = None
    ) -> AsyncIterator["ContainerProxy"]:
        """The container, for one call: within `seconds`, and StorageUnavailable for whatever goes wrong on the way.

        `name` is another than that of the records.

        Answers that the caller asked for (PART_OF_THE_CONVERSATION) pass as the SDK raises them; a container that does not exist is
        none of them, and raises ContainerMissing.
        """
        try:
            async with asyncio.timeout(seconds):
                yield await self._open(name or self._settings.cosmos_container)
        except CosmosHttpResponseError as error:
            if _is_container_missing(error):
                self._containers.pop(name or self._settings.cosmos_container, None)
                log.warning("the database %s or its container does not exist", self._settings.cosmos_database)
                raise ContainerMissing from error
            if error.status_code in PART_OF_THE_CONVERSATION and error.sub_status != SESSION_NOT_AVAILABLE:
                raise
            log.warning("cosmos answered %s.%s", error.status_code, error.sub_status)
            raise StorageUnavailable from error
        except (AzureError, OSError) as error:  # TimeoutError is an OSError
            log.warning("cosmos did not answer: %s", type(error).__name__)
            raise StorageUnavailable from error

    @property
    def clock(self) -> Clock:
        """The clock that bounds calls."""
        return self._clock

    async def pause(self, tries: int) -> None:
        """Wait before the next of several tries of one operation: exponential, with full jitter, but at once after the first.

        `tries` is how many there were. Raises StorageUnavailable after TRIES of them.
        """
        if tries >= TRIES:
            log.warning("cosmos: given up after %d tries over newer versions", tries)
            raise StorageUnavailable
        if tries > 1:
            longest = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2**tries)
            await self._clock.sleep(self._random.uniform(0, longest))

    def now(self) -> datetime:
        """The database's time, as far as its answers have told it: what leases are written and compared with.

        Two hosts whose own clocks differ by minutes agree on it.
        """
        return self._clock.now() + self._skew

    def _note_date(self, header: str | None) -> None:
        """Compare the clocks by the `Date` header of an answer."""
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
            database = self._client.get_database_client(self._settings.cosmos_database)
            found = database.get_container_client(name)
            try:
                # The SDK reads the properties before its first call anyway, and keeps them. It gives no sub-status where the
                # container itself is missing, so that only this call can tell it from a missing item.
                await found.read()
            except CosmosResourceNotFoundError as error:
                log.warning("the container %s/%s does not exist", self._settings.cosmos_database, name)
                raise ContainerMissing from error
            self._containers[name] = found
        return self._containers[name]

    async def probe(self) -> Mapping[str, str]:
        """Whether each container exists, by `database/container`: a point read each. Raises StorageUnavailable."""
        names = (self._settings.cosmos_container, self._settings.cosmos_usage_container, LEASES)
        states = await asyncio.gather(*map(self._probe, names))
        return {f"{self._settings.cosmos_database}/{name}": state for name, state in zip(names, states, strict=True)}

    async def _probe(self, name: str) -> str:
        try:
            async with self.container(name=name) as container:
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
        if self._settings.cosmos_connection_string is not None:
            secret = self._settings.cosmos_connection_string.get_secret_value()
            try:
                return CosmosClient.from_connection_string(secret, **bounds)
            except (ValueError, KeyError) as error:
                raise Misconfigured("AZURE_COSMOS_CONNECTION_STRING cannot be read") from error
        from azure.identity.aio import DefaultAzureCredential  # noqa: PLC0415 - only where there is no connection string

        self._credential = self._credential or DefaultAzureCredential()
        return CosmosClient(str(self._settings.cosmos_endpoint), self._credential, **bounds)

    async def close(self) -> None:
        """Close the connections; the next call would open new ones."""
        client, self._client = self._client, None
        self._containers.clear()
        if client is not None:
            await client.close()
        credential, self._credential = self._credential, None
        if credential is not None:
            await credential.close()


def _is_container_missing(error: CosmosHttpResponseError) -> bool:
    """Whether a 404 is about the container or the database, and not about an item in it.

    The SDK reads a container's properties before an item; the answer to that has no sub-status.
    """
    if error.status_code != HTTPStatus.NOT_FOUND:
        return False
    if error.sub_status == OWNER_MISSING:
        return True
    request = getattr(error.response, "request", None)
    return request is not None and "/docs" not in urlsplit(request.url).path
