"""What is logged, and what never is: no prompt, image, token, address of a person, or signed URL.

The Functions host keeps a log record only while the invocation runs whose task wrote it. A generation goes on after its
response, so what it logs then would be lost: such records go to standard output instead, which the host forwards as
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
"""Libraries that log every request they make, with its address."""

ALWAYS = ("image_core.generations.line", "image_core.runtime.shutdown")
"""Loggers whose records of any level go to standard output, where no invocation runs; of others, warnings and errors."""


class _Invocation:
    """One call of a function by the host. Tasks that it begins keep a reference after it has ended."""

    def __init__(self) -> None:
        self.ended = False


_invocation: ContextVar[_Invocation | None] = ContextVar("invocation", default=None)


@contextmanager
def invocation() -> Iterator[None]:
    """Mark what runs inside as a call by the host, whose log records the host keeps until it ends."""
    running = _Invocation()
    token = _invocation.set(running)
    try:
        yield
    finally:
        running.ended = True
        _invocation.reset(token)


def _kept_by_host() -> bool:
    """Whether the host keeps what is logged now: in a task of an invocation that runs, on the event loop's thread."""
    running = _invocation.get()
    if running is None or running.ended:
        return False
    try:
        return asyncio.current_task() is not None
    except RuntimeError:  # no event loop in this thread
        return False


class OutsideInvocations(logging.Handler):
    """Writes to standard output what the host would drop, one line for each record."""

    def emit(self, record: logging.LogRecord) -> None:
        always = record.name in ALWAYS
        if _kept_by_host() or not (always or record.levelno >= logging.WARNING):
            return
        try:
            text = record.getMessage().replace("\n", " | ")
            line = text if always else f"{record.levelname} {record.name}: {text}"
            print(line, file=sys.stdout, flush=True)  # noqa: T201 - this is the way out
        except Exception:  # noqa: BLE001 - a log line must not end what logs it (logging.Handler.handleError)
            self.handleError(record)


def log_outside_invocations() -> None:
    """Attach the handler to the product's loggers, once for the process."""
    logger = logging.getLogger("image_core")
    if not any(isinstance(handler, OutsideInvocations) for handler in logger.handlers):
        logger.addHandler(OutsideInvocations())


def quiet_libraries() -> None:
    """Log only the libraries' warnings. A level that was set on purpose stays."""
    for name in CHATTY:
        logger = logging.getLogger(name)
        if logger.level == logging.NOTSET:
            logger.setLevel(logging.WARNING)


def where(error: BaseException) -> str:
    """The kind of an unexpected error and the lines it came through, without its message: that may hold what a caller sent."""
    return f"{type(error).__name__}\n{''.join(traceback.format_tb(error.__traceback__))}"
