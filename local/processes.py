"""Start, wait for and end the programs of the local stack; in such a program, detect when it has to end."""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO

START_SECONDS = 60.0
POLL_SECONDS = 0.05


class DidNotStart(RuntimeError):
    """A program ended, or did not listen in time; the message names the program and its log."""


def reserve_port() -> int:
    """Return a free port that the system gives to no other program while this process lives.

    A bound socket that does not listen holds the port. On Linux, a program that sets SO_REUSEADDR, as asyncio and
    Node.js do, can still listen there. Other systems do not allow that, so there the port is free but not held.
    """
    holder = socket.socket()
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    holder.bind(("127.0.0.1", 0))
    port = int(holder.getsockname()[1])
    if sys.platform == "linux":
        holder.detach()  # stays open until this process ends
    else:
        holder.close()
    return port


def is_port_taken(port: int) -> bool:
    """Return whether a program on this machine listens on `port`."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


@contextlib.contextmanager
def running(
    command: list[str], *, log: Path | None = None, environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program in a process group of its own and end it with the block.

    Its output goes to `log`. Its standard input is a pipe, which closes when this process ends, however that happens.
    """
    with contextlib.ExitStack() as stack:
        output: IO[bytes] | int = subprocess.DEVNULL if log is None else stack.enter_context(log.open("wb"))
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, **(environment or {})},
        )
        try:
            yield process
        finally:
            end(process)


def wait_for_port(port: int, process: subprocess.Popen[bytes], name: str, log: Path | None) -> None:
    """Wait until a program listens on `port`. Raises DidNotStart if `process` ends or START_SECONDS pass before."""
    hint = "" if log is None else f"; see {log}"
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise DidNotStart(f"{name} ended with code {process.returncode}{hint}")
        with socket.socket() as probe:
            probe.settimeout(1)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(POLL_SECONDS)
    raise DidNotStart(f"{name} does not listen on port {port} after {START_SECONDS:.0f} s{hint}")


def end(process: subprocess.Popen[bytes], grace: float = 5.0) -> None:
    """Send SIGTERM, and SIGKILL if the process still runs after `grace` seconds."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(grace)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    if process.stdin is not None:
        process.stdin.close()


async def wait_for_shutdown() -> None:
    """Wait for SIGTERM, SIGINT or the end of the parent process."""
    loop = asyncio.get_running_loop()
    shutdown = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, shutdown.set)
    watch_parent(shutdown.set)
    await shutdown.wait()


def watch_parent(shut_down: Callable[[], None]) -> None:
    """Call `shut_down` when standard input closes, if it is a pipe: the parent process holds the other end."""
    loop = asyncio.get_running_loop()

    def read() -> None:
        if not os.read(sys.stdin.fileno(), 1024):
            loop.remove_reader(sys.stdin.fileno())
            shut_down()

    if sys.stdin is not None and not sys.stdin.isatty():
        try:
            loop.add_reader(sys.stdin.fileno(), read)
        except (OSError, ValueError, PermissionError):
            return  # standard input is a file or closed: there is no parent to watch
