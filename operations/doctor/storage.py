"""Check Blob Storage: whether it can be reached and written, and whether its containers have the right public access.

Its answers also show whether this machine's clock is right.
"""

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

from azure.core.exceptions import AzureError, ClientAuthenticationError, HttpResponseError, ResourceNotFoundError
from azure.storage.blob import BlobServiceClient

from operations.doctor.finding import PRINCIPAL, Finding, Findings

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential

TOLERANCE_SECONDS = 15
"""The difference of clocks that a session check tolerates."""
MAX_COUNTED = 1000
"""Blobs and folders that are counted at most: one page of a listing."""
BOUNDS: dict[str, Any] = {"retry_total": 0, "connection_timeout": 5, "read_timeout": 10}


@dataclass(frozen=True, slots=True)
class Account:
    """A storage account: by its connection string, or by its address with a credential."""

    connection_string: str | None
    url: str | None
    credential: "TokenCredential | None"

    def connect(self) -> BlobServiceClient:
        """Return a client. Raises ValueError or KeyError where the connection string cannot be read."""
        if self.connection_string is not None:
            return BlobServiceClient.from_connection_string(self.connection_string, **BOUNDS)
        return BlobServiceClient(str(self.url), self.credential, **BOUNDS)


@dataclass(frozen=True, slots=True)
class Containers:
    """The names of the product's containers. `public`: anybody may read the images."""

    images: str
    private: str
    public: bool


def check(account: Account, containers: Containers) -> Findings:
    """Check each container of the product, then this machine's clock."""
    try:
        client = account.connect()
    except (ValueError, KeyError):
        yield Finding("storage", "the connection string cannot be read", "correct AZURE_STORAGE_CONNECTION_STRING")
        return
    with client:
        dates: list[str] = []
        try:
            for name, public in (
                (containers.images, containers.public),
                (containers.private, False),
            ):
                yield _container(client, name, public=public, dates=dates)
            yield from _older_images(client, containers)
        except HttpResponseError as error:
            yield _refused(client, error)
            return
        except AzureError as error:
            host = client.primary_hostname
            yield Finding(
                "storage",
                f"{host} does not answer ({type(error).__name__})",
                "start it (make run), or correct the address",
            )
            return
        if dates:
            yield _clock(dates[-1])


def _container(client: BlobServiceClient, name: str, *, public: bool, dates: list[str]) -> Finding:
    what = f"container {name}"
    container = client.get_container_client(name)
    answered: Any = {"raw_response_hook": lambda raw: dates.append(raw.http_response.headers.get("Date", ""))}
    try:
        access = container.get_container_properties(**answered).public_access
    except ResourceNotFoundError:
        return Finding(
            what,
            "does not exist",
            f"az storage container-rm create --name {name} --storage-account {client.account_name}",
        )
    # The SDK names it in different types for services and emulators.
    found = str(getattr(access, "value", access) or "none")
    wanted = "blob" if public else "none"
    if found != wanted:
        return Finding(
            what,
            f"public access is {found} instead of {wanted}",
            f"az storage container-rm update --name {name} --public-access {'blob' if public else 'off'} "
            f"--storage-account {client.account_name}",
        )
    blob = container.get_blob_client(f"doctor/{uuid.uuid4().hex}")
    blob.upload_blob(b"a test", overwrite=True)
    blob.delete_blob()
    return Finding(what, f"written and deleted; public access {found}")


def _older_images(client: BlobServiceClient, containers: Containers) -> Findings:
    """Say who can read the images that were stored while `IMAGE_ACCESS` had another value."""
    container = client.get_container_client(containers.images)
    private = not containers.public
    try:
        names = [each.name for each in islice(container.walk_blobs(delimiter="/"), MAX_COUNTED)]
    except ResourceNotFoundError:
        return  # a finding of its own already
    found = [name for name in names if name.endswith("/") != private and not name.startswith("doctor/")]
    if not found:
        return
    count = f"{len(found)}{' or more' if len(names) == MAX_COUNTED else ''}"
    if private:
        state = (
            f"{count} are outside of users' folders: their owners read and delete them at /api/images/NAME; their "
            "blob URLs, which templates may link to, no longer work; uploads of the original product belong to no user"
        )
    else:
        state = f"those in {count} users' folders can be read by their owners only, at /api/images/NAME"
    yield Finding("images from before a change of IMAGE_ACCESS", state)


def _refused(client: BlobServiceClient, error: HttpResponseError) -> Finding:
    """Name the missing role or the wrong key."""
    found = getattr(error, "error_code", None) or error.status_code
    code = str(getattr(found, "value", found))  # an enum where the SDK knows the code
    if isinstance(error, ClientAuthenticationError) or code == "AuthenticationFailed":
        return Finding(
            "storage",
            f"refused ({code})",
            "correct the key in AZURE_STORAGE_CONNECTION_STRING, or this machine's clock",
        )
    if code == "KeyBasedAuthenticationNotPermitted":
        return Finding("storage", f"refused ({code})", "set AZURE_STORAGE_ACCOUNT_URL instead of a connection string")
    if error.status_code == 403:  # noqa: PLR2004 - a missing role
        scope = f'"$(az storage account show --name {client.account_name} --query id --output tsv)"'
        return Finding(
            "storage",
            f"refused ({code}): the role Storage Blob Data Contributor is missing",
            'az role assignment create --role "Storage Blob Data Contributor" '
            f"--assignee-object-id {PRINCIPAL} --assignee-principal-type User --scope {scope}",
        )
    return Finding("storage", f"answered {error.status_code} {code}", "read the account's page in the portal")


def _clock(date: str) -> Finding:
    try:
        skew = (datetime.now(UTC) - parsedate_to_datetime(date)).total_seconds()
    except ValueError:
        return Finding("clock", "not checked: the storage's answers have no date")
    if abs(skew) > TOLERANCE_SECONDS:
        return Finding(
            "clock", f"{skew:+.0f} s against the storage's", "set this machine's clock: sessions expire by it"
        )
    return Finding("clock", f"{skew:+.0f} s against the storage's")
