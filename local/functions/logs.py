"""Log records and standard output of an app, as Azure's host keeps or drops them.

The worker sends each record with the invocation of the task that wrote it, and the host drops a record whose invocation
has ended or is not known: of tasks that outlive their response, of callbacks outside of any task, of other threads. Lines
on standard output become records of the category `Host.Function.Console`, at the level Information.
"""

import asyncio
import io
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TextIO

OWN = ("local", "aiohttp.server", "aiohttp.web")
"""Loggers of this host and its server, which are not the app's."""
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
    """One run of a function. `in_thread`: it is a function without `async`, which runs in a thread of its own."""

    def __init__(self, function: str, *, in_thread: bool) -> None:
        self.function = function
        self.in_thread = in_thread
        self.ended = False


_current: ContextVar[Invocation | None] = ContextVar("invocation", default=None)


@contextmanager
def invocation(function: str, *, in_thread: bool) -> Iterator[Invocation]:
    """What is logged inside, and in tasks that are begun inside, belongs to this run until it ends."""
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
    """`logging.logLevel` of host.json: the level of the longest category that a name begins with."""

    def __init__(self, host: Mapping[str, Any]) -> None:
        given = host.get("logging", {}).get("logLevel", {})
        self._levels = {category: LEVELS[str(level).lower()] for category, level in given.items()}

    def of(self, category: str) -> int:
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
        if record.name == CONSOLE or record.name.split(".")[0] in OWN or record.name in OWN:
            return True
        running = _current.get()
        if running is None or running.ended or not (running.in_thread or _in_a_task()):
            return False
        return record.levelno >= self._levels.of(f"Function.{running.function}.User")


class Console(io.TextIOBase):
    """Standard output of the app: each line is a log record. Lines are shown where host.json lets the category pass."""

    def __init__(self, levels: Levels) -> None:
        super().__init__()
        self._shown = levels.of(CONSOLE) <= logging.INFO
        self._rest = ""

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        *lines, self._rest = (self._rest + text).split("\n")
        if self._shown:
            for line in lines:
                logging.getLogger(CONSOLE).info("%s", line)
        return len(text)


def console(levels: Levels) -> TextIO:
    """What takes the place of `sys.stdout`."""
    return Console(levels)  # type: ignore[return-value] # it writes text, which is all that print needs
