"""Warnings that the host would drop, because no invocation runs, go to standard output; others are left to the host."""

import asyncio
import logging
import subprocess
import sys

import pytest

from image_core.runtime.telemetry import OutsideInvocations, invocation, log_outside_invocations
from tests.support.paths import ROOT

LOG = logging.getLogger("image_core.test_telemetry")


@pytest.fixture(autouse=True)
def _attached() -> None:
    log_outside_invocations()


def said(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().out.splitlines()


async def test_a_warning_of_a_running_invocation_is_left_to_the_host(capsys: pytest.CaptureFixture[str]) -> None:
    with invocation():
        LOG.warning("inside")
        await asyncio.create_task(_warn("in a task of it"))
    assert said(capsys) == []


async def _warn(text: str, after: asyncio.Event | None = None) -> None:
    if after is not None:
        await after.wait()
    LOG.warning("%s", text)


async def test_a_warning_of_a_task_that_outlives_its_invocation_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    ended = asyncio.Event()
    with invocation():
        task = asyncio.create_task(_warn("too late", ended))
        await asyncio.sleep(0)
    ended.set()
    with invocation():  # another one that runs meanwhile changes nothing
        await task
    assert said(capsys) == ["WARNING image_core.test_telemetry: too late"]


async def test_a_warning_of_a_callback_or_a_thread_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    called = asyncio.Event()

    def callback() -> None:
        LOG.warning("from a callback")
        called.set()

    with invocation():
        asyncio.get_running_loop().call_soon(callback)
        await called.wait()
        await asyncio.to_thread(LOG.warning, "from a thread")
    assert said(capsys) == [
        "WARNING image_core.test_telemetry: from a callback",
        "WARNING image_core.test_telemetry: from a thread",
    ]


def test_without_an_event_loop_it_is_printed_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    LOG.error("kind\n  File 1\n  File 2")
    assert said(capsys) == ["ERROR image_core.test_telemetry: kind |   File 1 |   File 2"]


def test_only_warnings_and_the_line_of_a_generation_are_printed(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "image_core")
    LOG.info("a detail")
    logging.getLogger("image_core.generations.line").info("generation %s", "{}")
    assert said(capsys) == ["generation {}"]


def test_a_record_that_cannot_be_formatted_does_not_raise(capsys: pytest.CaptureFixture[str]) -> None:
    handler = OutsideInvocations()
    raised = logging.raiseExceptions
    logging.raiseExceptions = False
    try:
        handler.emit(logging.LogRecord("image_core.x", logging.ERROR, "", 0, "%d", ("x",), None))
    finally:
        logging.raiseExceptions = raised
    assert said(capsys) == []


def test_an_application_outside_of_a_worker_prints_nothing() -> None:
    """The commands of operators write their results to standard output."""
    program = (
        "import logging; from image_core.app import Application; Application({});"
        "logging.getLogger('image_core.storage').warning('cosmos did not answer')"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "cosmos did not answer\n")


def test_the_handler_is_attached_once() -> None:
    log_outside_invocations()
    handlers = [each for each in logging.getLogger("image_core").handlers if isinstance(each, OutsideInvocations)]
    assert len(handlers) == 1
