"""One run of a function: its arguments, its outputs, and what becomes of an error."""

import asyncio
import contextvars
import inspect
import logging
import threading
import traceback
import uuid
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Generic, Protocol, TypeVar

import azure.functions as func

from local.functions import logs
from local.functions.application import Function

log = logging.getLogger("local.functions")
T = TypeVar("T")


class InvocationFailed(Exception):
    """The function raised, or one of its outputs could not be written."""


class Sender(Protocol):
    """Writes the messages of a queue output."""

    async def send(self, connection: str, queue: str, messages: list[str]) -> None: ...


class DocumentWriter(Protocol):
    """Writes the documents of a Cosmos DB output."""

    async def upsert(self, connection: str, database: str, container: str, documents: Iterable[Any]) -> None: ...


class Out(func.Out[T], Generic[T]):
    """What a function sets for an output binding."""

    def __init__(self) -> None:
        self._value: Any = None

    def set(self, val: T) -> None:
        self._value = val

    def get(self) -> Any:
        return self._value


class Context(func.Context):
    """What a function may ask about its own invocation."""

    def __init__(self, function: Function) -> None:
        self._name = function.name
        self._id = str(uuid.uuid4())
        self._local = threading.local()

    @property
    def invocation_id(self) -> str:
        return self._id

    @property
    def thread_local_storage(self) -> Any:
        return self._local

    @property
    def function_name(self) -> str:
        return self._name

    @property
    def function_directory(self) -> str:
        return "."

    @property
    def trace_context(self) -> Any:
        return None

    @property
    def retry_context(self) -> Any:
        return None


class Invoker:
    """Runs functions: async ones on the event loop, others in threads, as the Python worker does."""

    def __init__(self, sender: Sender, documents: DocumentWriter) -> None:
        self._sender = sender
        self._documents = documents
        self._threads = ThreadPoolExecutor(thread_name_prefix="function")
        self._running: set[asyncio.Task[Any]] = set()

    async def invoke(self, function: Function, argument: Any) -> Any:
        """Run it to its end, whoever still waits for that. Raises InvocationFailed."""
        task = asyncio.create_task(self._invoke(function, argument))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return await asyncio.shield(task)

    async def _invoke(self, function: Function, argument: Any) -> Any:
        outs: dict[str, Out[Any]] = {binding["name"]: Out() for binding in function.outputs}
        arguments: dict[str, Any] = {function.trigger["name"]: argument}
        arguments |= {name: out for name, out in outs.items() if name != "$return"}
        if "context" in function.arguments:
            arguments["context"] = Context(function)
        is_async = inspect.iscoroutinefunction(function.call)
        with logs.invocation(function.name, in_thread=not is_async):
            try:
                result = await self._run(function, arguments)
            except Exception as error:
                log.error("%s failed: %s", function.name, traceback.format_exc())  # noqa: TRY400 - a developer's terminal
                raise InvocationFailed(function.name) from error
        if "$return" in outs:
            outs["$return"].set(result)
        await self._write(function, outs)
        return result

    async def _run(self, function: Function, arguments: Mapping[str, Any]) -> Any:
        if inspect.iscoroutinefunction(function.call):
            return await function.call(**arguments)
        loop, context = asyncio.get_running_loop(), contextvars.copy_context()
        return await loop.run_in_executor(self._threads, lambda: context.run(function.call, **arguments))

    async def _write(self, function: Function, outs: Mapping[str, Out[Any]]) -> None:
        """A failed output fails the invocation, and the function never learns of it: as in the real host."""
        for binding in function.outputs:
            value = outs[binding["name"]].get()
            if value is None:
                continue
            try:
                await self._write_one(binding, value)
            except Exception as error:
                log.error("%s: its output %s failed: %s", function.name, binding["name"], error)  # noqa: TRY400 - as above
                raise InvocationFailed(function.name) from error

    async def _write_one(self, binding: Mapping[str, Any], value: Any) -> None:
        connection = binding["connection"]
        if binding["type"] == "queue":
            await self._sender.send(connection, binding["queueName"], _messages(value))
            return
        documents = [value] if isinstance(value, func.Document) else value
        await self._documents.upsert(connection, binding["databaseName"], binding["containerName"], documents)

    def close(self) -> None:
        """Start nothing more. What runs is left to itself: Azure's host gives a Python worker no time to end it."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _messages(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, bytes):
        return [value.decode()]
    if isinstance(value, func.QueueMessage):
        return [value.get_body().decode()]
    return [message for item in value for message in _messages(item)]
