"""Azurite and the Cosmos DB emulator: started, waited for, ended. For the stack and for the tests."""

import contextlib
import os
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from local.node import find_node, install_packages

LOCAL = Path(__file__).parent
START_SECONDS = 60.0

# The keys that every emulator has and that Microsoft has published; they open nothing else.
AZURITE_ACCOUNT = "devstoreaccount1"
AZURITE_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
COSMOS_KEY = "C2y6yDjf5/R+ob0N8A7Cgv30VRDJIWEHLM+4QDU5DE2nQ9nDuVTqobD4b8mGGyPMbIZnqyMsEcaGQy67XIw/Jw=="


class DidNotStart(RuntimeError):
    """A program ended, or did not answer in time; the message says which and where its log is."""


@dataclass(frozen=True, slots=True)
class AzuritePorts:
    blob: int
    queue: int
    table: int

    def connection_string(self, blob_url: str | None = None) -> str:
        """The account's connection string; `blob_url` where Blob is reached another way (a proxy)."""
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
    return f"AccountEndpoint={url.rstrip('/')}/;AccountKey={COSMOS_KEY}"


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def taken(port: int) -> bool:
    """Whether something listens on `port` of this machine."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


def wait_for_port(port: int, process: subprocess.Popen[bytes], name: str, log: Path | None) -> None:
    """Until `process` listens on `port`. Raises DidNotStart where it ends or takes longer than START_SECONDS."""
    hint = "" if log is None else f"; see {log}"
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        if process.poll() is not None:
            raise DidNotStart(f"{name} ended with code {process.returncode}{hint}")
        with socket.socket() as probe:
            probe.settimeout(1)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise DidNotStart(f"{name} does not answer on port {port}{hint}")


@contextlib.contextmanager
def running(
    command: list[str], *, log: Path | None = None, environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A program in a process group of its own, ended with the block; it sees its standard input close if we are killed."""
    with contextlib.ExitStack() as stack:
        output: IO[bytes] | int = subprocess.DEVNULL if log is None else stack.enter_context(log.open("wb"))
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, **(environment or {})},
        )
        try:
            yield process
        finally:
            end(process)


def end(process: subprocess.Popen[bytes], grace: float = 5.0) -> None:
    """Ask it to stop, then make it."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(grace)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    if process.stdin is not None:
        process.stdin.close()


@contextlib.contextmanager
def azurite(
    ports: AzuritePorts, folder: Path | None = None, log: Path | None = None, *, any_version: bool = True
) -> Iterator[AzuritePorts]:
    """Azurite on `ports`; in memory where there is no `folder`.

    `any_version`: it takes versions of the API that it does not know. It learns of the service's newest some months later than the SDKs do.
    """
    install_packages(LOCAL)
    where = ["--inMemoryPersistence"] if folder is None else ["--location", str(folder)]
    command = [
        find_node().node,
        str(LOCAL / "azurite.mjs"),
        *("--blobPort", str(ports.blob), "--queuePort", str(ports.queue), "--tablePort", str(ports.table)),
        *where,
        *(["--skipApiVersionCheck"] if any_version else []),
        "--disableTelemetry",
        "--silent",
    ]
    with running(command, log=log) as process:
        for port in (ports.blob, ports.queue, ports.table):
            wait_for_port(port, process, "Azurite", log)
        yield ports


@contextlib.contextmanager
def cosmosdb(port: int, log: Path | None = None) -> Iterator[str]:
    """The Cosmos DB emulator on `port`, in memory; its address."""
    install_packages(LOCAL)
    with running([find_node().node, str(LOCAL / "cosmosdb.mjs"), str(port)], log=log) as process:
        wait_for_port(port, process, "the Cosmos DB emulator", log)
        yield f"http://127.0.0.1:{port}"
