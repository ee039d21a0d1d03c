"""`make run`: the printed curl command works, the end leaves no process, and an error is one line."""

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.commands import descendants, environment, run, startup_output, wait_for_end
from tests.support.paths import ROOT


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_printed_curl_generates_an_image_and_the_end_leaves_no_process(number: signal.Signals, tmp_path: Path) -> None:
    with run() as process:
        printed = startup_output(process)
        found = re.search(r"^curl .*?local\.show \S+$", printed, re.MULTILINE | re.DOTALL)
        assert found is not None, printed
        command = (
            found[0].replace(".venv/bin/python", sys.executable).replace(".local/result", str(tmp_path / "result"))
        )
        done = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert (tmp_path / "result.png").stat().st_size > 10_000
        started = descendants(process.pid)
        assert len(started) >= 5
        os.kill(process.pid, number)
        process.wait(30)
        wait_for_end(started)


@pytest.mark.parametrize(("variable", "front"), [("COSMOS_PORT", ""), ("FRONT_PORT", "swa"), ("PAGE_PORT", "swa")])
def test_taken_port_is_one_line_that_names_its_variable(variable: str, front: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        with run(**{variable: port, "FRONT": front}) as process:
            _, printed = process.communicate(timeout=60)
    assert process.returncode == 1
    assert printed.count("\n") == 1
    assert port in printed
    assert variable in printed


def test_unknown_front_is_one_line_that_names_the_alternatives() -> None:
    with run(FRONT="nginx") as process:
        _, printed = process.communicate(timeout=60)
    assert process.returncode == 1
    assert printed.count("\n") == 1
    assert re.search("FRONT is 'nginx'.* swa", printed)


def test_invalid_port_is_an_error_that_names_its_variable() -> None:
    with run(PORT="http") as process:
        _, printed = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "PORT" in printed


def test_demo_generates_an_image_and_prints_where_it_is(tmp_path: Path) -> None:
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
    for word in ("image", "url", "record"):
        assert re.search(rf"^{word} ", done.stdout, re.MULTILINE)
