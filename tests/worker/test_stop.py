"""SIGTERM ends a process of Azure's real worker with exit code 0, which the platform reports as a clean end."""

import os
import signal
import subprocess
import sys

from tests.support.paths import ROOT

PROGRAM = """
import asyncio, sys
from types import SimpleNamespace
import azure_functions_runtime as worker
from tests.worker.messages import protos

MESSAGES = protos()

def wrapped(kind, message):
    return SimpleNamespace(
        request=SimpleNamespace(**{kind: message}), properties={"host": "127.0.0.1", "protos": MESSAGES}
    )

async def main():
    request = MESSAGES.WorkerInitRequest(function_app_directory=sys.argv[1])
    started = await worker.worker_init_request(wrapped("worker_init_request", request))
    assert started.result.status == MESSAGES.StatusResult.Success, started.result.exception.message
    await worker.functions_metadata_request(wrapped("functions_metadata_request", None))
    print("ready", flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


def test_worker_ends_with_0_on_sigterm() -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NEXTAUTH_SECRET": "x"}
    command = [sys.executable, "-c", PROGRAM, str(ROOT)]
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "ready\n"
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0
        finally:
            process.kill()
