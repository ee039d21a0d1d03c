"""Programs of the local stack: their ports, their end, and the error of one that does not start."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from local.processes import DidNotStart, is_port_taken, reserve_port, running, wait_for_port
from tests.support.eventually import wait_until


@pytest.mark.skipif(sys.platform != "linux", reason="other systems let no program listen on a reserved port")
async def test_only_the_program_of_a_reserved_port_can_listen_on_it() -> None:
    port = reserve_port()
    assert not is_port_taken(port)
    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind(("127.0.0.1", port))
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", port)
    assert is_port_taken(port)
    server.close()
    await server.wait_closed()


def test_program_that_ends_before_it_listens_is_an_error_with_code_and_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with (
        running([sys.executable, "-c", "import sys; sys.exit('no configuration')"], log=log) as process,
        pytest.raises(DidNotStart, match=f"the program ended with code 1; see {log}"),
    ):
        wait_for_port(reserve_port(), process, "the program", log)
    assert log.read_text() == "no configuration\n"


def test_program_is_ended_with_its_block() -> None:
    with running([sys.executable, "-c", "import sys; sys.stdin.read()"]) as process:
        assert process.poll() is None
    assert process.returncode is not None


def test_program_ends_when_its_parent_was_killed(tmp_path: Path) -> None:
    """The end of the parent closes the child's standard input, at which the child writes a file."""
    ended = tmp_path / "ended"
    child = f"""
import asyncio, pathlib
from local.processes import wait_for_shutdown
asyncio.run(wait_for_shutdown())
pathlib.Path({str(ended)!r}).write_text("ended")
"""
    parent = f"""
import os, sys
from local.processes import running
with running([sys.executable, "-c", {child!r}]) as process:
    print(process.pid, flush=True)
    sys.stdin.read()
"""
    with subprocess.Popen(
        [sys.executable, "-c", parent], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        process.kill()
    try:
        wait_until(ended.exists)
    except TimeoutError:
        os.kill(pid, signal.SIGKILL)
        raise
