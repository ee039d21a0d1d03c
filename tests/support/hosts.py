"""Functions hosts that can be killed, on emulators behind faulty proxies."""

import asyncio
import os
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from image_core.generations.reconciliation import Kind
from local import functions_host
from local.emulators import AzuritePorts, cosmos_connection_string
from local.processes import START_SECONDS, end, reserve_port
from tests.support.eventually import eventually
from tests.support.faulty_proxy import Rule
from tests.support.harness import Harness, data_url, harness, sample_image
from tests.support.paths import ROOT

LEASE = 6
TIMEOUT = LEASE + 90
"""Seconds within which all generations have ended."""

# A model call is allowed 10 s at least. The deadline of 12 s is two leases.
SETTINGS = {
    "GENERATION_DEADLINE_SECONDS": "12",
    "LEASE_SECONDS": str(LEASE),
    "RECOVERY_INTERVAL": "*/2 * * * * *",
}


def creates_record(method: str, path: str) -> bool:
    """Match the creation of a record."""
    return method == "POST" and path.rstrip("/").endswith("/generations/docs")


def replaces_record(method: str, path: str) -> bool:
    """Match the replacement of a record: a claim, a completion or the first step of a deletion."""
    return method == "PUT" and "/docs/" in path


def stores_image(method: str, path: str) -> bool:
    """Match the upload of a generated image."""
    return method == "PUT" and "/catafract/generated-" in path


def stores_input_copy(method: str, path: str) -> bool:
    """Match the upload of an input copy."""
    return method == "PUT" and "/catafract-private/inputs/" in path


@dataclass(slots=True)
class Host:
    """One Functions host."""

    process: subprocess.Popen[bytes]
    url: str

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    async def kill(self) -> None:
        """Kill the process and wait for its end."""
        self.process.kill()
        await asyncio.to_thread(self.process.wait)


@dataclass(slots=True)
class Rig:
    """The hosts, their storage, the model, and a client with one session."""

    product: Harness
    azurite: AzuritePorts
    hosts: list[Host] = field(default_factory=list)
    http: aiohttp.ClientSession | None = None

    async def start_host(self) -> Host:
        """Start a host and wait until it is healthy."""
        port = reserve_port()
        environment = {
            **os.environ,
            **self.product.environment,
            "AzureWebJobsStorage": self.azurite.connection_string(),
            "COSMOS": cosmos_connection_string(self.product.cosmos.target),
        }
        process = subprocess.Popen(  # noqa: ASYNC220 - it returns at once
            functions_host.command(port, ROOT),
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=None if "FAULTS_VERBOSE" in os.environ else subprocess.DEVNULL,
            start_new_session=True,
        )
        host = Host(process, f"http://127.0.0.1:{port}")
        self.hosts.append(host)
        await eventually(lambda: self._is_healthy(host), START_SECONDS)
        return host

    async def _is_healthy(self, host: Host) -> bool:
        try:
            async with self._client.get(f"{host.url}/api/health") as answer:
                return answer.status == 200
        except aiohttp.ClientError:
            return False

    @property
    def _client(self) -> aiohttp.ClientSession:
        if self.http is None:
            self.http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT))
        return self.http

    async def post(
        self, host: Host, key: str | None = "key-1", options: dict[str, Any] | None = None, **headers: str
    ) -> tuple[int, dict[str, Any]]:
        """Generate an image. Return status and body, or 0 and an empty body if the connection broke.

        `options` are more fields of the request, `headers` have underscores for hyphens.
        """
        sent = {"Cookie": self.product.cookie, **{name.replace("_", "-"): value for name, value in headers.items()}}
        if key is not None:
            sent["Idempotency-Key"] = key
        body = {"images": [data_url(sample_image(), "image/jpeg")], "prompt": "pixel art", **(options or {})}
        try:
            async with self._client.post(f"{host.url}/api/image", json=body, headers=sent) as answer:
                return answer.status, await answer.json()
        except aiohttp.ClientError:
            return 0, {}

    async def call(self, host: Host, method: str, path: str, **headers: str) -> tuple[int, Any]:
        """Call the API. Return status and body."""
        sent = {"Cookie": self.product.cookie, **headers}
        async with self._client.request(method, f"{host.url}/api/{path}", headers=sent) as answer:
            return answer.status, await answer.json() if answer.status != 204 else None

    @property
    def model_calls(self) -> int:
        """The number of model calls of all hosts."""
        return len(self.product.fake_gemini.calls)

    async def until(self, condition: Any, seconds: float = TIMEOUT) -> None:
        """Wait until `condition()` is true. Raises TimeoutError after `seconds`."""
        await eventually(condition, seconds)

    async def called(self, times: int = 1) -> None:
        """Wait until the model has been called, `times` times in all."""
        await self.until(lambda: self.model_calls >= times, 30)

    async def records(self) -> list[Any]:
        """Return this user's records of every status."""
        store = self.product.app.components.records
        return [record async for record in store.everything() if record.user_id == self.product.email]

    async def finished(self) -> None:
        """Wait until this user's only generation has succeeded or failed."""

        async def done() -> bool:
            records = await self.records()
            return len(records) == 1 and records[0].status in {"succeeded", "failed"}

        await self.until(done)

    async def images(self) -> list[str]:
        """Return the names of all users' generated images, also of records that are being deleted."""
        return await self.product.blob_names("catafract", "generated-")

    async def assert_reconciled(self) -> None:
        """Check that reconciliation finds nothing about this user's records, and nothing in the outbox."""
        findings = await self.product.app.components.reconciliation.findings()
        mine = {record.id for record in await self.records()}
        assert [finding for finding in findings if finding.name in mine or finding.kind is Kind.OUTBOX_ENTRY] == []

    def kill_rule(self, host: Host, matches: Any, *, when: str, forward: bool = True) -> Rule:
        """Return a rule that kills the host at the first matching request: `before` it arrives, or `after` that."""
        rule = Rule(matches, forward=forward, deliver=False)
        setattr(rule, when, host.kill)
        return rule

    async def close(self) -> None:
        """Stop the hosts."""
        for host in self.hosts:
            if host.process.poll() is None:
                host.process.send_signal(signal.SIGCONT)
            end(host.process, 0.5)
        if self.http is not None:
            await self.http.close()


@asynccontextmanager
async def rig(azurite: AzuritePorts, cosmos_url: str, **settings: str) -> AsyncIterator[Rig]:
    """Open storage, a model and a client; the test starts the hosts."""
    async with harness(azurite, cosmos_url, **{**SETTINGS, **settings}) as product:
        made = Rig(product, azurite)
        try:
            yield made
        finally:
            await made.close()
