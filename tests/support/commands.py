"""Run `make run` as a separate process, and find the processes that it started."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from local import config
from tests.support.eventually import wait_until
from tests.support.paths import ROOT


def environment(**more: str) -> dict[str, str]:
    """Return the environment of a stack on free ports, with a fake Gemini that answers at once."""
    ports = {name: str(port) for name, port in config.reserve_ports().items()}
    return {**os.environ, **ports, "GEMINI_LATENCY": "0", **more}


@contextmanager
def run(**more: str) -> Iterator[subprocess.Popen[str]]:
    """Run a stack, and kill it at the end if it still runs."""
    process = subprocess.Popen(
        [sys.executable, "-m", "local.stack"],
        cwd=ROOT,
        env=environment(**more),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def descendants(pid: int) -> list[int]:
    """Return the processes that a process started, directly or not."""
    listed = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    children: dict[int, list[int]] = {}
    for line in listed.splitlines():
        child, parent = map(int, line.split())
        children.setdefault(parent, []).append(child)
    found, left = [], [pid]
    while left:
        left += (new := children.get(left.pop(), []))
        found += new
    return found


def running(pids: list[int]) -> list[int]:
    """Return the processes that still run, without zombies."""
    listed = subprocess.run(["ps", "-eo", "pid=,stat="], capture_output=True, text=True, check=True).stdout
    states = {int(line.split()[0]): line.split()[1] for line in listed.splitlines()}
    return [pid for pid in pids if not states.get(pid, "Z").startswith("Z")]


def startup_output(process: subprocess.Popen[str]) -> str:
    """Return what a stack prints until it is ready."""
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if "Ctrl-C" in line:
            break
    return "".join(lines)


def wait_for_end(pids: list[int]) -> None:
    """Wait until all of the processes have ended. Raises TimeoutError."""
    wait_until(lambda: not running(pids))
