"""Cosmos DB: whether it can be reached, and whether its containers exist with the right partition keys."""

from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from azure.core.exceptions import AzureError
from azure.cosmos import CosmosClient
from azure.cosmos.exceptions import CosmosHttpResponseError, CosmosResourceNotFoundError

from image_core.settings import Settings
from image_core.storage.cosmos import LEASES
from operations.doctor.finding import PRINCIPAL, Finding, Findings

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential

BOUNDS: dict[str, Any] = {"connection_timeout": 5, "read_timeout": 10, "retry_total": 0}


def check(settings: Settings, credential: "TokenCredential | None") -> Findings:
    """Check the containers of records, ledger and change feed leases."""
    try:
        yield from _containers(_connect(settings, credential), settings)
    except (ValueError, KeyError):
        yield Finding("database", "the connection string cannot be read", "correct AZURE_COSMOS_CONNECTION_STRING")
    except CosmosHttpResponseError as error:
        yield _refused(settings, error)
    except AzureError as error:
        fix = "start it (make run), or correct the address"
        yield Finding("database", f"it does not answer ({type(error).__name__})", fix)


def _containers(client: CosmosClient, settings: Settings) -> Findings:
    database = client.get_database_client(settings.cosmos_database)
    for name, key in (
        (settings.cosmos_container, "/userId"),
        (settings.cosmos_usage_container, "/userId"),
        (LEASES, "/id"),
    ):
        what = f"container {settings.cosmos_database}/{name}"
        try:
            found = database.get_container_client(name).read()["partitionKey"]["paths"]
        except CosmosResourceNotFoundError:
            yield Finding(what, "does not exist", "infra/deploy.sh creates it; on this machine, make run does")
            continue
        if found == [key]:
            yield Finding(what, f"exists, partitioned by {key}")
        else:
            fix = f"a partition key cannot be changed: create another container with {key} and copy the items"
            yield Finding(what, f"partitioned by {', '.join(found)} instead of {key}", fix)


def _connect(settings: Settings, credential: "TokenCredential | None") -> CosmosClient:
    if settings.cosmos_connection_string is not None:
        return CosmosClient.from_connection_string(settings.cosmos_connection_string.get_secret_value(), **BOUNDS)
    return CosmosClient(str(settings.cosmos_endpoint), credential or "", **BOUNDS)


def _refused(settings: Settings, error: CosmosHttpResponseError) -> Finding:
    if error.status_code == HTTPStatus.UNAUTHORIZED:
        fix = "correct the key in AZURE_COSMOS_CONNECTION_STRING, or set AZURE_COSMOS_ENDPOINT instead"
        return Finding("database", "refused the key (401)", fix)
    if error.status_code == HTTPStatus.FORBIDDEN:
        account = (urlsplit(settings.cosmos_endpoint or "").hostname or "ACCOUNT").split(".")[0]
        return Finding(
            "database",
            "refused (403): the role Cosmos DB Built-in Data Contributor is missing, or keys are disabled",
            f"az cosmosdb sql role assignment create --account-name {account} --resource-group RESOURCE_GROUP "
            f"--role-definition-id 00000000-0000-0000-0000-000000000002 --principal-id {PRINCIPAL} "
            f"--scope /dbs/{settings.cosmos_database}",
        )
    return Finding("database", f"it answered {error.status_code}", "read the account's page in the portal")
