"""Azurite and the Cosmos DB emulator, for the local stack and for the tests."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from local.node import find_node, install_packages
from local.processes import running, wait_for_port

LOCAL = Path(__file__).parent

# Microsoft has published these keys. Every emulator accepts them and no real account does.
AZURITE_ACCOUNT = "devstoreaccount1"
AZURITE_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
COSMOS_KEY = "C2y6yDjf5/R+ob0N8A7Cgv30VRDJIWEHLM+4QDU5DE2nQ9nDuVTqobD4b8mGGyPMbIZnqyMsEcaGQy67XIw/Jw=="


@dataclass(frozen=True, slots=True)
class AzuritePorts:
    """The ports of Azurite's three services."""

    blob: int
    queue: int
    table: int

    def connection_string(self, blob_url: str | None = None) -> str:
        """Return the account's connection string. `blob_url` replaces Blob's address, for example by a proxy's."""
        base = f"http://127.0.0.1:{{}}/{AZURITE_ACCOUNT}"
        return ";".join(
            (
                "DefaultEndpointsProtocol=http",
                f"AccountName={AZURITE_ACCOUNT}",
                f"AccountKey={AZURITE_KEY}",
                f"BlobEndpoint={blob_url or base.format(self.blob)}",
                f"QueueEndpoint={base.format(self.queue)}",
                f"TableEndpoint={base.format(self.table)}",
            )
        )


def cosmos_connection_string(url: str) -> str:
    """Return the connection string of the emulator at `url`."""
    return f"AccountEndpoint={url.rstrip('/')}/;AccountKey={COSMOS_KEY}"


@contextlib.contextmanager
def azurite(ports: AzuritePorts, log: Path | None = None, *, check_api_version: bool = False) -> Iterator[None]:
    """Run Azurite on `ports`, in memory. Raises DidNotStart, NodeMissing.

    Azurite learns of new API versions some months later than the SDKs. `check_api_version` keeps its default, which
    is to refuse versions it does not know.
    """
    install_packages(LOCAL)
    command = [
        find_node().node,
        str(LOCAL / "azurite.mjs"),
        *("--blobPort", str(ports.blob), "--queuePort", str(ports.queue), "--tablePort", str(ports.table)),
        "--inMemoryPersistence",
        *([] if check_api_version else ["--skipApiVersionCheck"]),
        "--disableTelemetry",
        "--silent",
    ]
    with running(command, log=log) as process:
        for port in (ports.blob, ports.queue, ports.table):
            wait_for_port(port, process, "Azurite", log)
        yield


@contextlib.contextmanager
def cosmosdb(port: int, log: Path | None = None) -> Iterator[str]:
    """Run the Cosmos DB emulator on `port`, in memory, and yield its address. Raises DidNotStart, NodeMissing."""
    install_packages(LOCAL)
    with running([find_node().node, str(LOCAL / "cosmosdb.mjs"), str(port)], log=log) as process:
        wait_for_port(port, process, "the Cosmos DB emulator", log)
        yield f"http://127.0.0.1:{port}"
