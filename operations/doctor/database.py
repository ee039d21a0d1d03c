"""Check Cosmos DB: whether it can be reached, and whether its containers exist with the right partition keys."""

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from azure.core.exceptions import AzureError
from azure.cosmos import CosmosClient
from azure.cosmos.exceptions import CosmosHttpResponseError, CosmosResourceNotFoundError

from image_core.storage.cosmos import LEASES
from operations.doctor.finding import PRINCIPAL, Finding, Findings

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential

BOUNDS: dict[str, Any] = {"connection_timeout": 5, "read_timeout": 10, "retry_total": 0}


@dataclass(frozen=True, slots=True)
class Account:
    """A Cosmos DB account: by its connection string, or by its endpoint with a credential."""

    connection_string: str | None
    endpoint: str | None
    credential: "TokenCredential | None"

    def connect(self) -> CosmosClient:
        """Return a client. Raises ValueError or KeyError where the connection string cannot be read."""
        if self.connection_string is not None:
            return CosmosClient.from_connection_string(self.connection_string, **BOUNDS)
        return CosmosClient(str(self.endpoint), self.credential or "", **BOUNDS)

    @property
    def name(self) -> str:
        """The account's name in its endpoint."""
        return (urlsplit(self.endpoint or "").hostname or "ACCOUNT").split(".")[0]


def check(account: Account, database: str, records: str, ledger: str) -> Findings:
    """Check the containers of records, ledger and change feed leases in `database`."""
    try:
        yield from _containers(account.connect(), database, {records: "/userId", ledger: "/userId", LEASES: "/id"})
    except (ValueError, KeyError):
        yield Finding("database", "the connection string cannot be read", "correct AZURE_COSMOS_CONNECTION_STRING")
    except CosmosHttpResponseError as error:
        yield _refused(account, database, error)
    except AzureError as error:
        fix = "start it (make run), or correct the address"
        yield Finding("database", f"it does not answer ({type(error).__name__})", fix)


def _containers(client: CosmosClient, database: str, keys: Mapping[str, str]) -> Findings:
    """Check each container. `keys` has their partition keys by their names."""
    for name, key in keys.items():
        what = f"container {database}/{name}"
        try:
            found = client.get_database_client(database).get_container_client(name).read()["partitionKey"]["paths"]
        except CosmosResourceNotFoundError:
            yield Finding(what, "does not exist", "infra/deploy.sh creates it; on this machine, make run does")
            continue
        if found == [key]:
            yield Finding(what, f"exists, partitioned by {key}")
        else:
            fix = f"a partition key cannot be changed: create another container with {key} and copy the items"
            yield Finding(what, f"partitioned by {', '.join(found)} instead of {key}", fix)


def _refused(account: Account, database: str, error: CosmosHttpResponseError) -> Finding:
    if error.status_code == HTTPStatus.UNAUTHORIZED:
        fix = "correct the key in AZURE_COSMOS_CONNECTION_STRING, or set AZURE_COSMOS_ENDPOINT instead"
        return Finding("database", "refused the key (401)", fix)
    if error.status_code == HTTPStatus.FORBIDDEN:
        return Finding(
            "database",
            "refused (403): the role Cosmos DB Built-in Data Contributor is missing, or keys are disabled",
            f"az cosmosdb sql role assignment create --account-name {account.name} --resource-group RESOURCE_GROUP "
            f"--role-definition-id 00000000-0000-0000-0000-000000000002 --principal-id {PRINCIPAL} "
            f"--scope /dbs/{database}",
        )
    return Finding("database", f"it answered {error.status_code}", "read the account's page in the portal")
