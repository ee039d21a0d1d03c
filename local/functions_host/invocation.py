"""Invoke functions: pass their arguments, write their outputs, and report their errors."""

import asyncio
import contextvars
import inspect
import logging
import threading
import traceback
import uuid
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Generic, Protocol, TypeVar

import azure.functions as func

from local.functions_host import logs
from local.functions_host.app import Function

log = logging.getLogger("local.functions_host")
T = TypeVar("T")


class InvocationFailed(Exception):
    """The function raised, or one of its outputs could not be written."""


class Sender(Protocol):
    """Writes the messages of a queue output."""

    async def send(self, connection: str, queue: str, messages: list[str]) -> None:
        """Put messages into a queue."""


class Out(func.Out[T], Generic[T]):
    """The value that a function sets for an output binding."""

    def __init__(self) -> None:
        self._value: Any = None

    def set(self, val: T) -> None:
        """Set the value."""
        self._value = val

    def get(self) -> Any:
        """Return the value; None where it was not set."""
        return self._value


class Context(func.Context):
    """The invocation's context, for a function with a parameter `context`."""

    def __init__(self, function: Function) -> None:
        self._name = function.name
        self._id = str(uuid.uuid4())
        self._local = threading.local()

    @property
    def invocation_id(self) -> str:
        """A random UUID."""
        return self._id

    @property
    def thread_local_storage(self) -> Any:
        """An empty storage for the invocation's thread."""
        return self._local

    @property
    def function_name(self) -> str:
        """The function's name."""
        return self._name

    @property
    def function_directory(self) -> str:
        """The app's folder."""
        return "."

    @property
    def trace_context(self) -> Any:
        """None: this host has no tracing."""
        return None

    @property
    def retry_context(self) -> Any:
        """None: this host does not count retries here."""
        return None


class Invoker:
    """Runs functions as the Python worker does: async ones on the event loop, others in threads."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender
        self._threads = ThreadPoolExecutor(thread_name_prefix="function")
        self._background: set[asyncio.Task[Any]] = set()

    async def invoke(self, function: Function, argument: Any) -> Any:
        """Run `function` to its end, also if the caller is cancelled. Raises InvocationFailed."""
        task = asyncio.create_task(self._invoke(function, argument))
        self._background.add(task)
        task.add_done_callback(self._background.discard)
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
        """Write the outputs. As in Azure, a failed one fails the invocation and the function does not learn of it."""
        for binding in function.outputs:
            value = outs[binding["name"]].get()
            if value is None:
                continue
            try:
                await self._sender.send(binding["connection"], binding["queueName"], _messages(value))
            except Exception as error:
                log.error("%s: its output %s failed: %s", function.name, binding["name"], error)  # noqa: TRY400 - as above
                raise InvocationFailed(function.name) from error

    def close(self) -> None:
        """Start no further functions in threads. Running ones are not waited for, as in Azure's host."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _messages(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, bytes):
        return [value.decode()]
    if isinstance(value, func.QueueMessage):
        return [value.get_body().decode()]
    return [message for item in value for message in _messages(item)]
