"""`make run` as a person meets it: the printed curl works, Ctrl-C leaves nothing, and what is wrong is one line."""

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


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_the_printed_curl_makes_a_picture_and_the_end_leaves_no_process(how: signal.Signals, tmp_path: Path) -> None:
    with run() as process:
        said = startup_output(process)
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
        wait_for_end(started)


@pytest.mark.parametrize(("variable", "front"), [("COSMOS_PORT", ""), ("FRONT_PORT", "swa"), ("PAGE_PORT", "swa")])
def test_a_taken_port_is_one_line_that_names_its_variable(variable: str, front: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        with run(**{variable: port, "FRONT": front}) as process:
            _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert said.count("\n") == 1
    assert port in said
    assert variable in said


def test_a_front_that_is_none_is_one_line_that_names_what_there_is() -> None:
    with run(FRONT="nginx") as process:
        _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert said.count("\n") == 1
    assert re.search("FRONT is 'nginx'.* swa", said)


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
    for word in ("image", "url", "record"):
        assert re.search(rf"^{word} ", done.stdout, re.MULTILINE)
