"""Keep or drop an app's log records and standard output as Azure's host does.

The worker sends each record with the invocation of the task that wrote it. The host drops a record whose invocation has
ended or is unknown: from tasks that outlive their response, from callbacks outside of any task, from other threads.
Lines on standard output become records of the category `Host.Function.Console`, at level Information.
"""

import asyncio
import io
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TextIO

HOST_LOGGERS = ("local", "aiohttp.server", "aiohttp.web")
"""Loggers of this host and of its HTTP server: not the app's."""
CONSOLE = "Host.Function.Console"
LEVELS = {
    "trace": logging.DEBUG,
    "debug": logging.DEBUG,
    "information": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "critical": logging.CRITICAL,
    "none": logging.CRITICAL + 1,
}


class Invocation:
    """One run of a function. `in_thread`: the function has no `async` and runs in a thread."""

    def __init__(self, function: str, *, in_thread: bool) -> None:
        self.function = function
        self.in_thread = in_thread
        self.ended = False


_current: ContextVar[Invocation | None] = ContextVar("invocation", default=None)


@contextmanager
def invocation(function: str, *, in_thread: bool) -> Iterator[Invocation]:
    """Attribute the records of the block, and of tasks started in it, to a run of `function` until the block ends."""
    running = Invocation(function, in_thread=in_thread)
    token = _current.set(running)
    try:
        yield running
    finally:
        running.ended = True
        _current.reset(token)


def _in_a_task() -> bool:
    try:
        return asyncio.current_task() is not None
    except RuntimeError:  # another thread
        return False


class Levels:
    """`logging.logLevel` of host.json: the longest category that a name begins with sets its level."""

    def __init__(self, host: Mapping[str, Any]) -> None:
        given = host.get("logging", {}).get("logLevel", {})
        self._levels = {category: LEVELS[str(level).lower()] for category, level in given.items()}

    def of(self, category: str) -> int:
        """Return the level of `category`."""
        parts = category.split(".")
        for length in range(len(parts), 0, -1):
            if (level := self._levels.get(".".join(parts[:length]))) is not None:
                return level
        return self._levels.get("default", logging.INFO)


class HostFilter(logging.Filter):
    """Passes the records that Azure's host would keep, and those of this host itself."""

    def __init__(self, levels: Levels) -> None:
        super().__init__()
        self._levels = levels

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether the record is kept."""
        if record.name == CONSOLE or record.name.split(".")[0] in HOST_LOGGERS or record.name in HOST_LOGGERS:
            return True
        running = _current.get()
        if running is None or running.ended or not (running.in_thread or _in_a_task()):
            return False
        return record.levelno >= self._levels.of(f"Function.{running.function}.User")


class Console(io.TextIOBase):
    """Standard output of the app: each line is logged, if host.json has the category at Information or lower."""

    def __init__(self, levels: Levels) -> None:
        super().__init__()
        self._shown = levels.of(CONSOLE) <= logging.INFO
        self._rest = ""

    def writable(self) -> bool:
        """Return True."""
        return True

    def write(self, text: str) -> int:
        """Log the lines that `text` completes; return its length."""
        *lines, self._rest = (self._rest + text).split("\n")
        if self._shown:
            for line in lines:
                logging.getLogger(CONSOLE).info("%s", line)
        return len(text)


def console(levels: Levels) -> TextIO:
    """Return a replacement for `sys.stdout`."""
    return Console(levels)  # type: ignore[return-value] # it writes text, which is all that print needs
