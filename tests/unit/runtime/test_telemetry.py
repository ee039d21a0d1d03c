"""Warnings outside of invocations, which the host drops, go to standard output; the host writes the others."""

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


def printed(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().out.splitlines()


async def test_warning_of_a_running_invocation_is_not_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with invocation():
        LOG.warning("inside")
        await asyncio.create_task(_warn("in a task"))
    assert printed(capsys) == []


async def _warn(text: str, after: asyncio.Event | None = None) -> None:
    if after is not None:
        await after.wait()
    LOG.warning("%s", text)


async def test_warning_of_a_task_that_outlives_its_invocation_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    ended = asyncio.Event()
    with invocation():
        task = asyncio.create_task(_warn("too late", ended))
        await asyncio.sleep(0)
    ended.set()
    with invocation():  # a later invocation
        await task
    assert printed(capsys) == ["WARNING image_core.test_telemetry: too late"]


async def test_warning_of_a_callback_or_a_thread_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    called = asyncio.Event()

    def callback() -> None:
        LOG.warning("from a callback")
        called.set()

    with invocation():
        asyncio.get_running_loop().call_soon(callback)
        await called.wait()
        await asyncio.to_thread(LOG.warning, "from a thread")
    assert printed(capsys) == [
        "WARNING image_core.test_telemetry: from a callback",
        "WARNING image_core.test_telemetry: from a thread",
    ]


def test_error_without_an_event_loop_is_printed_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    LOG.error("kind\n  File 1\n  File 2")
    assert printed(capsys) == ["ERROR image_core.test_telemetry: kind |   File 1 |   File 2"]


def test_only_warnings_and_lines_of_generations_are_printed(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "image_core")
    LOG.info("a detail")
    logging.getLogger("image_core.generations.line").info("generation %s", "{}")
    assert printed(capsys) == ["generation {}"]


def test_record_that_cannot_be_formatted_does_not_raise(capsys: pytest.CaptureFixture[str]) -> None:
    handler = OutsideInvocations()
    raised = logging.raiseExceptions
    logging.raiseExceptions = False
    try:
        handler.emit(logging.LogRecord("image_core.x", logging.ERROR, "", 0, "%d", ("x",), None))
    finally:
        logging.raiseExceptions = raised
    assert printed(capsys) == []


def test_application_outside_of_a_worker_does_not_print_warnings() -> None:
    """Operators' commands print their results to standard output."""
    program = (
        "import logging; from image_core.app import Application; Application({});"
        "logging.getLogger('image_core.storage').warning('cosmos did not answer')"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "cosmos did not answer\n")


def test_handler_is_attached_once() -> None:
    log_outside_invocations()
    handlers = [each for each in logging.getLogger("image_core").handlers if isinstance(each, OutsideInvocations)]
    assert len(handlers) == 1
