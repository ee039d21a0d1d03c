"""Send log records to the host, or to standard output. No prompt, image, token, e-mail address or signed URL is logged.

The Functions host keeps a log record only while the invocation runs whose task wrote it. A generation goes on after its
response, so its later records would be lost: they go to standard output instead, which the host forwards as
`Host.Function.Console`.
"""

import asyncio
import logging
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

CHATTY = ("azure", "google_genai", "httpx2", "aiohttp.access")
"""Loggers of libraries that log the address of every request they make."""

ALWAYS = ("image_core.generations.line", "image_core.runtime.shutdown")
"""Loggers whose records of any level go to standard output outside an invocation; of others, warnings and errors do."""


class _Invocation:
    """One call of a function by the host. Tasks that it begins keep a reference after it has ended."""

    def __init__(self) -> None:
        self.ended = False


_invocation: ContextVar[_Invocation | None] = ContextVar("invocation", default=None)


@contextmanager
def invocation() -> Iterator[None]:
    """Mark the block as a call by the host, which keeps its log records until it ends."""
    running = _Invocation()
    token = _invocation.set(running)
    try:
        yield
    finally:
        running.ended = True
        _invocation.reset(token)


def _kept_by_host() -> bool:
    """Return whether the host keeps a record that is logged now: in a task of an invocation that runs."""
    running = _invocation.get()
    if running is None or running.ended:
        return False
    try:
        return asyncio.current_task() is not None
    except RuntimeError:  # no event loop in this thread
        return False


class OutsideInvocations(logging.Handler):
    """Writes the records that the host would drop to standard output, one line for each."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record (logging.Handler)."""
        always = record.name in ALWAYS
        if _kept_by_host() or not (always or record.levelno >= logging.WARNING):
            return
        try:
            text = record.getMessage().replace("\n", " | ")
            line = text if always else f"{record.levelname} {record.name}: {text}"
            print(line, file=sys.stdout, flush=True)  # noqa: T201 - standard output is the destination
        except Exception:  # noqa: BLE001 - a log line must not end what logs it (logging.Handler.handleError)
            self.handleError(record)


def log_outside_invocations() -> None:
    """Attach the handler to the product's loggers, once for the process."""
    logger = logging.getLogger("image_core")
    if not any(isinstance(handler, OutsideInvocations) for handler in logger.handlers):
        logger.addHandler(OutsideInvocations())


def quiet_libraries() -> None:
    """Set the level of CHATTY loggers to warnings. A level that was set explicitly stays."""
    for name in CHATTY:
        logger = logging.getLogger(name)
        if logger.level == logging.NOTSET:
            logger.setLevel(logging.WARNING)


def where(error: BaseException) -> str:
    """Return the type and traceback of an unexpected error, without its message, which may hold what a caller sent."""
    return f"{type(error).__name__}\n{''.join(traceback.format_tb(error.__traceback__))}"
