"""Real hosts that can be killed, on real emulators that can be taken away; every way between them can be broken."""

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
from local.processes import end, reserve_port
from tests.support.eventually import eventually
from tests.support.faulty_proxy import Rule
from tests.support.harness import Harness, data_url, harness, sample_image
from tests.support.paths import ROOT

LEASE = 6
PATIENCE = LEASE + 90
"""Within which everything has to be in order again."""

# The shortest that the service allows a model call is 10 s: a deadline of 12, which is two leases.
SETTINGS = {
    "GENERATION_DEADLINE_SECONDS": "12",
    "LEASE_SECONDS": str(LEASE),
    "RECOVERY_INTERVAL": "*/2 * * * * *",
}


def begins(method: str, path: str) -> bool:
    """Match the creation of a record."""
    return method == "POST" and path.rstrip("/").endswith("/generations/docs")


def replaces(method: str, path: str) -> bool:
    """Match the replacement of a record: a claim, a completion or the first step of a deletion."""
    return method == "PUT" and "/docs/" in path


def stores_picture(method: str, path: str) -> bool:
    return method == "PUT" and "/catafract/generated-" in path


def stores_copy(method: str, path: str) -> bool:
    return method == "PUT" and "/catafract-private/inputs/" in path


@dataclass(slots=True)
class Host:
    """One Functions host."""

    process: subprocess.Popen[bytes]
    url: str

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def kill(self) -> None:
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
        for _ in range(200):
            try:
                async with self._client.get(f"{host.url}/api/health") as answer:
                    if answer.status == 200:
                        return host
            except aiohttp.ClientError:
                await asyncio.sleep(0.1)
        raise AssertionError("the host does not answer")

    @property
    def _client(self) -> aiohttp.ClientSession:
        if self.http is None:
            self.http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=PATIENCE))
        return self.http

    async def post(
        self, host: Host, key: str | None = "key-1", options: dict[str, Any] | None = None, **headers: str
    ) -> tuple[int, dict[str, Any]]:
        """Status and body; 0 and nothing where the host broke off. `options`: more fields of the request."""
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
        sent = {"Cookie": self.product.cookie, **headers}
        async with self._client.request(method, f"{host.url}/api/{path}", headers=sent) as answer:
            return answer.status, await answer.json() if answer.status != 204 else None

    @property
    def model_calls(self) -> int:
        return len(self.product.fake_gemini.calls)

    async def until(self, true: Any, seconds: float = PATIENCE) -> None:
        """Wait until `true()` is; fails where that takes longer than `seconds`."""
        await eventually(true, seconds)

    async def called(self, times: int = 1) -> None:
        await self.until(lambda: self.model_calls >= times, 30)

    async def records(self) -> list[Any]:
        """Return this user's records of every status."""
        store = self.product.app.components.records
        return [record async for record in store.everything() if record.user_id == self.product.email]

    async def finished(self) -> None:
        """Until this user's one record is finished."""

        async def done() -> bool:
            records = await self.records()
            return len(records) == 1 and records[0].status in {"succeeded", "failed"}

        await self.until(done)

    async def pictures(self) -> list[str]:
        """Those of this user's records: by their stems, which are known even while a record is hidden."""
        return await self.product.blob_names("catafract", "generated-")

    async def books_are_in_order(self) -> None:
        """Nothing is left over: no image without a record, no record without a image, nothing begun and not ended."""
        findings = await self.product.app.components.reconciliation.findings()
        mine = {record.id for record in await self.records()}
        assert [finding for finding in findings if finding.name in mine or finding.kind is Kind.OUTBOX_ENTRY] == []

    def killing(self, host: Host, matches: Any, *, when: str, forward: bool = True) -> Rule:
        """Return a rule that kills the host at the first matching request: `before` it arrives, or `after` that."""
        rule = Rule(matches, forward=forward, deliver=False)
        setattr(rule, when, host.kill)
        return rule

    async def close(self) -> None:
        for host in self.hosts:
            if host.process.poll() is None:
                host.process.send_signal(signal.SIGCONT)
            end(host.process, 0.5)
        if self.http is not None:
            await self.http.close()


@asynccontextmanager
async def rig(azurite: AzuritePorts, cosmos_url: str, **settings: str) -> AsyncIterator[Rig]:
    async with harness(azurite, cosmos_url, **{**SETTINGS, **settings}) as product:
        made = Rig(product, azurite)
        try:
            yield made
        finally:
            await made.close()
