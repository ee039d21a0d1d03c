"""On SIGTERM the leases are released and the process ends with exit code 0."""

import signal
import subprocess
import sys
import textwrap

import pytest

from tests.support.paths import ROOT

PROGRAM = """
import asyncio, os, signal, sys, threading
import image_core.runtime.shutdown
from image_core.runtime.shutdown import on_shutdown_signal
image_core.runtime.shutdown.LONGEST_SECONDS = {longest_seconds}

async def main():
    async def release():
{release}
        print("released", flush=True)
        return 1
{before}
    on_shutdown_signal(release, {loop})
    forever = asyncio.create_task(asyncio.Event().wait())
    threading.Thread(target=threading.Event().wait).start()  # neither a task nor a thread is waited for
    print("ready", flush=True)
{then}
    await forever

asyncio.run(main())
"""


def run(
    *,
    release: str = "pass",
    before: str = "pass",
    then: str = "pass",
    loop: str = "asyncio.get_running_loop",
    signals: int = 1,
    longest_seconds: float = 20,
) -> tuple[int, str]:
    """Return the exit code, and what was printed after the signal."""

    def indented(code: str, levels: int) -> str:
        return textwrap.indent(textwrap.dedent(code), "    " * levels)

    program = PROGRAM.format(
        release=indented(release, 2),
        before=indented(before, 1),
        then=indented(then, 1),
        loop=loop,
        longest_seconds=longest_seconds,
    )
    with subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        for _ in range(signals):
            process.send_signal(signal.SIGTERM)
        try:
            rest, _ = process.communicate(timeout=30)
        finally:
            process.kill()
        return process.returncode, rest


@pytest.mark.parametrize("signals", [1, 3])
def test_sigterm_releases_the_leases_once_and_ends_with_0(signals: int) -> None:
    assert run(signals=signals) == (0, "released\n")


def test_process_ends_although_the_release_hangs() -> None:
    assert run(release="await asyncio.Event().wait()", longest_seconds=0.1) == (0, "")


def test_process_ends_although_the_release_fails() -> None:
    assert run(release="raise RuntimeError") == (0, "")


def test_process_ends_although_its_event_loop_is_blocked() -> None:
    assert run(then="threading.Event().wait()", longest_seconds=0.1) == (0, "")


def test_process_without_an_event_loop_ends_with_0() -> None:
    assert run(loop="lambda: None") == (0, "")


def test_earlier_signal_handler_decides_how_the_process_ends() -> None:
    code, printed = run(before='signal.signal(signal.SIGTERM, lambda *_: (print("the host", flush=True), os._exit(7)))')
    assert (code, printed) == (7, "released\nthe host\n")
