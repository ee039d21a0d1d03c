"""`make run` as a person meets it: the printed curl works, Ctrl-C leaves nothing, and what is wrong is one line."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from local import config

pytestmark = pytest.mark.e2e
ROOT = Path(__file__).parent.parent.parent


def environment(**more: str) -> dict[str, str]:
    ports = {name: str(port) for name, port in config.free_ports().items()}
    return {**os.environ, **ports, "GEMINI_LATENCY": "0", **more}


@contextmanager
def run(**more: str) -> Iterator[subprocess.Popen[str]]:
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


def alive(pids: list[int]) -> list[int]:
    """Those that still run; a dead one that nobody has asked after does not."""
    listed = subprocess.run(["ps", "-eo", "pid=,stat="], capture_output=True, text=True, check=True).stdout
    states = {int(line.split()[0]): line.split()[1] for line in listed.splitlines()}
    return [pid for pid in pids if not states.get(pid, "Z").startswith("Z")]


def greeting(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if "Ctrl-C" in line:
            break
    return "".join(lines)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_the_printed_curl_makes_a_picture_and_the_end_leaves_no_process(how: signal.Signals, tmp_path: Path) -> None:
    with run() as process:
        said = greeting(process)
        found = re.search(r"^curl .*?local\.show \S+$", said, re.MULTILINE | re.DOTALL)
        assert found is not None, said
        command = (
            found[0].replace(".venv/bin/python", sys.executable).replace(".local/result", str(tmp_path / "result"))
        )
        done = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert (tmp_path / "result.png").stat().st_size > 10_000
        started = descendants(process.pid)
        assert len(started) >= 5
        os.kill(process.pid, how)
        process.wait(30)
        until = time.monotonic() + 15
        while alive(started) and time.monotonic() < until:
            time.sleep(0.1)
        assert alive(started) == []


def test_a_taken_port_is_one_line_that_names_its_variable() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        with run(COSMOS_PORT=port) as process:
            _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert said.count("\n") == 1
    assert port in said
    assert "COSMOS_PORT" in said


def test_a_port_that_is_none_is_told() -> None:
    with run(PORT="http") as process:
        _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "PORT" in said


def test_the_demo_makes_a_picture_and_says_where_it_is(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "local.demo"],
        cwd=ROOT,
        env=environment(IMAGE=str(ROOT / "local" / "samples" / "cat.png"), PROMPT="pixel art"),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for word in ("picture", "url", "record"):
        assert re.search(rf"^{word} ", done.stdout, re.MULTILINE)
