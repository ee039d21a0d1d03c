"""A stop signal: the leases are given back, and the process ends with 0, as Azure's worker would have to."""

import signal
import subprocess
import sys
import textwrap

import pytest

from tests.support.paths import ROOT

PROGRAM = """
import asyncio, os, signal, sys, threading, time
import image_core.runtime.shutdown
from image_core.runtime.shutdown import on_shutdown_signal
image_core.runtime.shutdown.LONGEST_SECONDS = 0.3

async def main():
    async def release():
{release}
        print("released", flush=True)
        return 1
{before}
    on_shutdown_signal(release, {loop})
    forever = asyncio.create_task(asyncio.Event().wait())
    threading.Thread(target=time.sleep, args=(3600,)).start()  # neither a task nor a thread is waited for
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
) -> tuple[int, str]:
    """Return the exit code, and what was printed after the signal."""

    def indented(code: str, levels: int) -> str:
        return textwrap.indent(textwrap.dedent(code), "    " * levels)

    program = PROGRAM.format(
        release=indented(release, 2), before=indented(before, 1), then=indented(then, 1), loop=loop
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
def test_leases_are_given_back_once_and_the_exit_code_is_0(signals: int) -> None:
    assert run(signals=signals) == (0, "released\n")


def test_a_release_that_hangs_does_not_keep_the_process() -> None:
    assert run(release="await asyncio.sleep(3600)") == (0, "")


def test_a_release_that_fails_ends_the_process_all_the_same() -> None:
    assert run(release="raise RuntimeError") == (0, "")


def test_a_blocked_event_loop_does_not_keep_the_process() -> None:
    code, printed = run(then="while True: time.sleep(0.01)")
    assert (code, printed) == (0, "")


def test_a_process_that_has_served_nothing_ends_at_once_with_0() -> None:
    assert run(loop="lambda: None") == (0, "")


def test_a_handler_that_was_there_decides_how_the_process_ends() -> None:
    code, printed = run(before='signal.signal(signal.SIGTERM, lambda *_: (print("the host", flush=True), os._exit(7)))')
    assert (code, printed) == (7, "released\nthe host\n")
