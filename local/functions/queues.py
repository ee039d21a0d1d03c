"""Queue triggers and outputs over Azure Storage queues, as the WebJobs SDK's extension does them.

At least once: a message is deleted after its function succeeded, is seen again `visibilityTimeout` after it failed, and
goes to `<queue>-poison` after `maxDequeueCount` attempts. While a function runs its message stays hidden; that of a host
that was killed shows again when the ten minutes are over that it was taken for.
"""

import asyncio
import base64
import json
import logging
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from azure.core.exceptions import AzureError, ResourceExistsError, ResourceNotFoundError
from azure.functions.queue import QueueMessage
from azure.storage.queue.aio import QueueClient

from local.functions.application import CannotServe, Function, resolved
from local.functions.invocation import InvocationFailed, Invoker

log = logging.getLogger("local.functions")

HIDDEN_SECONDS = 600
FIRST_PAUSE = 0.1
AWAY_PAUSE = 2.0
_SPAN = re.compile(r"(\d+):(\d{2}):(\d{2})")


@dataclass(frozen=True, slots=True)
class QueueSettings:
    """`extensions.queues` of host.json, with the extension's defaults."""

    encoding: str
    visibility_seconds: float
    longest_pause: float
    batch_size: int
    new_batch_size: int
    max_dequeue_count: int

    @classmethod
    def read(cls, given: Mapping[str, Any]) -> "QueueSettings":
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
    found = _SPAN.fullmatch(span)
    if found is None:
        raise CannotServe(f"host.json: {span!r} is not a time span like 00:00:30")
    hours, minutes, seconds = map(int, found.groups())
    return hours * 3600 + minutes * 60 + seconds


class Queues:
    """The queues of an app: each opened once, made where it is missing."""

    def __init__(self, settings: QueueSettings) -> None:
        self._settings = settings
        self._clients: dict[tuple[str, str], QueueClient] = {}

    async def _client(self, connection: str, name: str) -> QueueClient:
        if (connection, name) not in self._clients:
            value = os.environ.get(connection) or os.environ.get(f"AzureWebJobs{connection}")
            if not value:
                raise CannotServe(f"the app setting {connection} is not set, which a queue binding needs")
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
        client = await self._client(connection, resolved(queue))
        for message in messages:
            encoded = base64.b64encode(message.encode()).decode() if self._settings.encoding == "base64" else message
            await client.send_message(encoded)

    async def listen(self, function: Function, invoker: Invoker) -> None:
        """Run `function` for every message of its queue, for ever."""
        connection, name = function.trigger["connection"], resolved(function.trigger["queueName"])
        running: set[asyncio.Task[None]] = set()
        pause = FIRST_PAUSE
        while True:
            room = self._settings.batch_size + self._settings.new_batch_size - len(running)
            if len(running) > self._settings.new_batch_size:
                await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                continue
            try:
                client = await self._client(connection, name)
                taken = [
                    message
                    async for message in client.receive_messages(
                        max_messages=min(room, self._settings.batch_size), visibility_timeout=HIDDEN_SECONDS
                    )
                ]
            except (AzureError, OSError) as error:
                log.warning("queue %s does not answer: %s", name, type(error).__name__)
                await asyncio.sleep(AWAY_PAUSE)
                continue
            for message in taken:
                task = asyncio.create_task(self._run(function, invoker, client, name, message))
                running.add(task)
                task.add_done_callback(running.discard)
            pause = FIRST_PAUSE if taken else min(pause * 2, self._settings.longest_pause)
            await asyncio.sleep(pause)

    async def _run(self, function: Function, invoker: Invoker, client: QueueClient, name: str, message: Any) -> None:
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
            await _kindly(client.delete_message(message))

    def _decoded(self, content: str) -> bytes:
        """Raises ValueError for a message that is not in the app's encoding."""
        return base64.b64decode(content, validate=True) if self._settings.encoding == "base64" else content.encode()

    async def _failed(self, function: Function, client: QueueClient, name: str, message: Any) -> None:
        if message.dequeue_count < self._settings.max_dequeue_count or name.endswith("-poison"):
            await _kindly(client.update_message(message, visibility_timeout=int(self._settings.visibility_seconds)))
            return
        log.warning("%s: message %s goes to %s-poison", function.name, message.id, name)
        try:
            poison = await self._client(function.trigger["connection"], f"{name}-poison")
            await poison.send_message(message.content)
        except (AzureError, OSError) as error:
            log.warning("%s-poison does not answer: %s", name, type(error).__name__)
            return
        await _kindly(client.delete_message(message))

    async def close(self) -> None:
        for client in self._clients.values():
            await client.close()


def _overridden(body: bytes) -> dict[str, Any]:
    """The metadata that a message's own JSON replaces: the host puts both into one table, whose names have no case."""
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
            found[argument] = convert(values[name])  # the worker fails the invocation where it is no number
    return found


async def _kindly(call: Any) -> None:
    """A message that is gone, or a queue that is away: the message shows again by itself, and at least once is what is promised."""
    try:
        await call
    except ResourceNotFoundError:
        return
    except (AzureError, OSError) as error:
        log.warning("a message could not be settled: %s", type(error).__name__)
