"""The local Functions host behaves like Azure's: routes, triggers, queues, poison messages, failures."""

import json
import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
import requests

from local import functions_host
from local.emulators import AzuritePorts, cosmos_connection_string
from local.functions_host.app import CannotServe
from local.functions_host.timers import Schedule
from local.processes import end, reserve_port, running, wait_for_port
from tests.support.paths import ROOT
from tests.support.sample_app import SAMPLE, wait_for_line

ROUTES = [
    ("GET", "/v1/items/7", 200, "number 7"),
    ("GET", "/v1/items/seven", 201, "GET name seven by_name"),
    ("DELETE", "/v1/items/7", 201, "DELETE name 7 by_name"),
    ("GET", "/v1/items/special", 201, "GET name special by_name"),
    ("GET", "/V1/ITEMS/Special", 201, "GET name Special by_name"),
    ("GET", "/v1/first", 200, "text"),
    ("GET", "/v1/items/a%20b", 201, "GET name a b by_name"),
    ("GET", "/v1/items/a%2Fb", 201, "GET name a%2Fb by_name"),
    ("GET", "/v1/other/path?x=1&y=%20", 200, "GET other/path {'x': '1', 'y': ' '} 0 None"),
    ("GET", "/v1/", 200, "GET  {} 0 None"),
    ("PUT", "/v1/items/7", 404, ""),
    ("DELETE", "/v1/other", 404, ""),
    ("GET", "/items/7", 404, ""),
    ("GET", "/v10/items/7", 404, ""),
    ("GET", "/v1/fails", 500, ""),
]


@pytest.mark.parametrize(("method", "path", "status", "text"), ROUTES, ids=[f"{row[0]} {row[1]}" for row in ROUTES])
def test_request_calls_the_function_of_its_route(host: str, method: str, path: str, status: int, text: str) -> None:
    answer = requests.request(method, host + path, timeout=10)
    assert (answer.status_code, answer.text) == (status, text)


def test_body_and_headers_are_passed_in_both_directions(host: str) -> None:
    answer = requests.post(f"{host}/v1/x", data=b"\0" * 1000, headers={"X-A": "a"}, timeout=10)
    assert answer.text == "POST x {} 1000 a"
    assert (answer.headers["X-B"], answer.headers["Content-Type"]) == ("b", "text/plain; charset=utf-8")


def test_failing_message_goes_to_the_poison_queue_and_does_not_block_others(host: str) -> None:
    assert requests.post(f"{host}/v1/enqueue", data="bad one|good one|good two", timeout=10).text == "sent"
    lines = wait_for_line(host, "poison bad one|1")
    assert {"good one|1", "good two|1"} <= set(lines)
    assert [line for line in lines if line.startswith("bad")] == ["bad one|1", "bad one|2", "bad one|3"]


def test_timer_runs_by_the_setting_in_local_settings(host: str) -> None:
    wait_for_line(host, "tick|0")


def test_failed_output_fails_the_invocation(azurite_ports: AzuritePorts) -> None:
    port = reserve_port()
    command = functions_host.command(port, SAMPLE)
    unreachable_database = cosmos_connection_string("http://127.0.0.1:9")
    unreachable_storage = azurite_ports.connection_string().replace(f":{azurite_ports.queue}/", ":9/")
    environment = {
        "AzureWebJobsStorage": unreachable_storage,
        "COSMOS": unreachable_database,
        "PYTHONPATH": str(ROOT),
    }
    with running(command, environment=environment) as process:
        wait_for_port(port, process, "the host", None)
        url = f"http://127.0.0.1:{port}/v1"
        # Unreachable queues and databases do not end the host.
        assert requests.get(f"{url}/items/1", timeout=10).status_code == 200
        assert requests.post(f"{url}/enqueue", data="x", timeout=60).status_code == 500
        end(process)


def start(root: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        functions_host.command(reserve_port(), root),
        cwd=ROOT,
        env={**os.environ, "AzureWebJobsStorage": "", **environment},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


BLOB_TRIGGER = """
import azure.functions as func
app = func.FunctionApp()
@app.blob_trigger(arg_name="b", path="x", connection="y")
def f(b: func.InputStream) -> None: ...
"""
BROKEN = [
    ("no function_app.py", "function_app.py", None, "function_app.py"),
    ("function_app.py with an import error", "function_app.py", "import nothing_of_that_name", "nothing_of_that_name"),
    ("function_app.py without an app", "function_app.py", "x = 1", "FunctionApp"),
    ("no host.json", "host.json", None, "host.json"),
    ("host.json that is not JSON", "host.json", "{", "host.json"),
    ("invalid visibility timeout", "host.json", '{"extensions": {"queues": {"visibilityTimeout": "soon"}}}', "soon"),
    ("timer without its setting", "local.settings.json", None, "TICK"),
    ("invalid timer expression", "local.settings.json", '{"Values": {"TICK": "now and then"}}', "now and then"),
    (
        "unsupported binding",
        "function_app.py",
        BLOB_TRIGGER,
        "blobTrigger",
    ),
]


@pytest.mark.parametrize(("file", "text", "word"), [row[1:] for row in BROKEN], ids=[row[0] for row in BROKEN])
def test_app_that_cannot_be_served_is_one_line(tmp_path: Path, file: str, text: str | None, word: str) -> None:
    root = tmp_path / "app"
    shutil.copytree(SAMPLE, root)
    if text is None:
        (root / file).unlink()
    else:
        (root / file).write_text(text)
    done = start(root, AzureWebJobsStorage=AzuritePorts(9, 9, 9).connection_string())
    assert done.returncode == 1, done.stdout + done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("functions host: ")
    assert word in last


NOON = datetime(2026, 3, 1, 12, 0, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("expression", "due"),
    [
        ("0 * * * * *", "12:01:00"),
        ("*/15 * * * * *", "12:00:45"),
        ("0 */5 * * * *", "12:05:00"),
        ("30 9 * * *", "09:30:00"),
        ("00:00:20", "12:00:50"),
        ("1.00:00:00", "12:00:30"),
    ],
)
def test_timer_is_due_at_the_time_of_its_expression(expression: str, due: str) -> None:
    assert Schedule(expression).after(NOON).strftime("%H:%M:%S") == due


@pytest.mark.parametrize("expression", ["", "x", "* * *", "61 * * * * *", "0 0 0 0 0 0 0 0"])
def test_invalid_timer_expression_is_refused(expression: str) -> None:
    with pytest.raises(CannotServe):
        Schedule(expression)


NAMES = """
import json
from pathlib import Path
from local.functions_host.app import load
print(json.dumps(sorted(function.name for function in load(Path.cwd()).functions)))
"""


@pytest.mark.parametrize(("value", "loaded"), [("true", False), ("1", False), ("false", True), ("", True)])
def test_disabled_function_is_not_loaded(value: str, loaded: bool) -> None:
    environment = {**os.environ, "AzureWebJobs.ledger.Disabled": value}
    command = [sys.executable, "-c", NAMES]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    names = set(json.loads(done.stdout))
    assert names - {"ledger"} == {"api", "poison", "recovery", "resume"}
    assert ("ledger" in names) is loaded
