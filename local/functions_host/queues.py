"""Queue triggers and outputs, with the rules of the Azure Storage extension of the WebJobs SDK.

Delivery is at least once: a message is deleted after its function succeeded, becomes visible again `visibilityTimeout`
after it failed, and moves to `<queue>-poison` after `maxDequeueCount` attempts. A message is hidden while its function
runs. If the host is killed, the message becomes visible again ten minutes after it was taken.
"""

import asyncio
import base64
import json
import logging
import os
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from typing import Any

from azure.core.exceptions import AzureError, ResourceExistsError, ResourceNotFoundError
from azure.functions.queue import QueueMessage
from azure.storage.queue import QueueMessage as StoredMessage
from azure.storage.queue.aio import QueueClient

from local.functions_host.app import CannotServe, Function, parse_time_span, resolve_settings
from local.functions_host.invocation import InvocationFailed, Invoker

log = logging.getLogger("local.functions_host")

HIDDEN_SECONDS = 600
MIN_POLL_SECONDS = 0.1
OUTAGE_PAUSE_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class QueueSettings:
    """`extensions.queues` of host.json, with the extension's defaults."""

    encoding: str
    visibility_seconds: float
    max_poll_seconds: float
    batch_size: int
    new_batch_size: int
    max_dequeue_count: int

    @classmethod
    def read(cls, given: Mapping[str, Any]) -> "QueueSettings":
        """Read the settings. Raises CannotServe for a time span that is none."""
        batch = int(given.get("batchSize", 16))
        return cls(
            given.get("messageEncoding", "base64").lower(),
            _seconds(given.get("visibilityTimeout", "00:00:00")),
            _seconds(given.get("maxPollingInterval", "00:01:00")),
            batch,
            int(given.get("newBatchSize", max(1, batch // 2))),
            int(given.get("maxDequeueCount", 5)),
        )


def _seconds(span: str) -> float:
    found = parse_time_span(span)
    if found is None:
        raise CannotServe(f"host.json: {span!r} is not a time span like 00:00:30")
    return found.total_seconds()


class Queues:
    """The queues of an app, each opened once and created where it is missing."""

    def __init__(self, settings: QueueSettings) -> None:
        self._settings = settings
        self._clients: dict[tuple[str, str], QueueClient] = {}

    async def _client(self, connection: str, name: str) -> QueueClient:
        if (connection, name) not in self._clients:
            value = os.environ.get(connection) or os.environ.get(f"AzureWebJobs{connection}")
            if not value:
                raise CannotServe(f"a queue binding needs the app setting {connection}, which is not set")
            client = QueueClient.from_connection_string(
                value, name, retry_total=1, connection_timeout=3, read_timeout=10, initial_backoff=1
            )
            try:
                await client.create_queue()
            except ResourceExistsError:
                pass
            except BaseException:
                await client.close()
                raise
            self._clients[connection, name] = client
        return self._clients[connection, name]

    async def send(self, connection: str, queue: str, messages: list[str]) -> None:
        """Put messages into a queue. Raises AzureError, OSError."""
        client = await self._client(connection, resolve_settings(queue))
        for message in messages:
            encoded = base64.b64encode(message.encode()).decode() if self._settings.encoding == "base64" else message
            await client.send_message(encoded)

    async def listen(self, function: Function, invoker: Invoker) -> None:
        """Invoke `function` for every message of its queue, until cancelled."""
        connection, name = function.trigger["connection"], resolve_settings(function.trigger["queueName"])
        running: set[asyncio.Task[None]] = set()
        pause = MIN_POLL_SECONDS
        while True:
            free = self._settings.batch_size + self._settings.new_batch_size - len(running)
            if len(running) > self._settings.new_batch_size:
                await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                continue
            try:
                client = await self._client(connection, name)
                taken = [
                    message
                    async for message in client.receive_messages(
                        max_messages=min(free, self._settings.batch_size), visibility_timeout=HIDDEN_SECONDS
                    )
                ]
            except (AzureError, OSError) as error:
                log.warning("queue %s does not answer: %s", name, type(error).__name__)
                await asyncio.sleep(OUTAGE_PAUSE_SECONDS)
                continue
            for message in taken:
                task = asyncio.create_task(self._run(function, invoker, client, name, message))
                running.add(task)
                task.add_done_callback(running.discard)
            pause = MIN_POLL_SECONDS if taken else min(pause * 2, self._settings.max_poll_seconds)
            await asyncio.sleep(pause)

    async def _run(
        self, function: Function, invoker: Invoker, client: QueueClient, name: str, message: StoredMessage
    ) -> None:
        try:
            body = self._decoded(message.content)
            metadata = {"id": message.id, "dequeue_count": message.dequeue_count, "pop_receipt": message.pop_receipt}
            argument = QueueMessage(  # type: ignore[no-untyped-call] # the library has no types there
                body=body,
                insertion_time=message.inserted_on,
                expiration_time=message.expires_on,
                time_next_visible=message.next_visible_on,
                **{**metadata, **_overridden(body)},
            )
            await invoker.invoke(function, argument)
        except (InvocationFailed, ValueError):
            await self._failed(function, client, name, message)
        else:
            await _settle(client.delete_message(message))

    def _decoded(self, content: str) -> bytes:
        """Decode a message. Raises ValueError for one that is not in the app's encoding."""
        return base64.b64decode(content, validate=True) if self._settings.encoding == "base64" else content.encode()

    async def _failed(self, function: Function, client: QueueClient, name: str, message: StoredMessage) -> None:
        if (message.dequeue_count or 0) < self._settings.max_dequeue_count or name.endswith("-poison"):
            await _settle(client.update_message(message, visibility_timeout=int(self._settings.visibility_seconds)))
            return
        log.warning("%s: message %s failed too often and moves to %s-poison", function.name, message.id, name)
        try:
            poison = await self._client(function.trigger["connection"], f"{name}-poison")
            await poison.send_message(message.content)
        except (AzureError, OSError) as error:
            log.warning("%s-poison does not answer: %s", name, type(error).__name__)
            return
        await _settle(client.delete_message(message))

    async def close(self) -> None:
        """Close all connections."""
        for client in self._clients.values():
            await client.close()


def _overridden(body: bytes) -> dict[str, Any]:
    """Return the metadata that the message's JSON replaces: the host keeps both in one case-insensitive table."""
    try:
        parsed = json.loads(body)
    except ValueError:
        return {}
    if not isinstance(parsed, dict):
        return {}
    values = {name.lower(): value for name, value in parsed.items() if isinstance(value, str | int | float)}
    found: dict[str, Any] = {}
    for argument, name, convert in (
        ("id", "id", str),
        ("dequeue_count", "dequeuecount", int),
        ("pop_receipt", "popreceipt", str),
    ):
        if name in values:
            found[argument] = convert(values[name])  # not a number fails the invocation, as in the worker
    return found


async def _settle(call: Awaitable[object]) -> None:
    """Delete or release a message. A failure is logged only: the message becomes visible again by itself."""
    try:
        await call
    except ResourceNotFoundError:
        return
    except (AzureError, OSError) as error:
        log.warning("a message could not be deleted or released: %s", type(error).__name__)
