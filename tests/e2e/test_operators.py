"""The operators' commands on the local stack: the smoke test, the doctor, the ledger."""

import csv
import io
import os
import subprocess
import sys

import pytest
import requests

from local.show import data_url
from local.stack import Stack
from tests.support.eventually import wait_until
from tests.support.paths import ROOT

COFFEE = ROOT / "local" / "samples" / "coffee.jpg"


def command(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("address", ["front", "api"])
def test_smoke_test_generates_one_image(stack: Stack, address: str) -> None:
    url = stack.front if address == "front" else f"http://127.0.0.1:{stack.configuration.ports['PORT']}"
    done = command("infra/smoke.py", url, SMOKE_COOKIE=stack.cookie())
    assert done.returncode == 0, done.stderr
    assert "one generation by" in done.stdout
    assert stack.cookie() not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("url", "cookie", "words"),
    [
        ("http://127.0.0.1:9", "", "did not answer"),
        ("nowhere", "", "is not the address of an API"),
        ("", "next-auth.session-token=forged", "the session cookie was refused"),
    ],
)
def test_smoke_test_reports_a_fault_in_one_line(stack: Stack, url: str, cookie: str, words: str) -> None:
    done = command("infra/smoke.py", url or stack.front, SMOKE_COOKIE=cookie)
    assert done.returncode in {1, 2}
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_doctor_reports_a_healthy_deployment_and_an_unreachable_one(stack: Stack) -> None:
    done = command("-m", "operations.doctor", "--url", stack.front, SESSION_COOKIE=stack.cookie())
    assert done.returncode == 0, done.stdout
    assert "Everything is in order." in done.stdout
    assert "FAIL" not in done.stdout
    wrong = command("-m", "operations.doctor", "--url", "http://127.0.0.1:9")
    assert wrong.returncode == 1
    assert "nothing answers at http://127.0.0.1:9" in wrong.stdout


def test_ledger_usage_and_service_agree_on_costs(stack: Stack) -> None:
    """The host's change feed writes the ledger, which `make usage` reads."""
    ports, cookie = stack.configuration.ports, {"Cookie": stack.cookie()}
    before = requests.get(f"{stack.front}/api/usage", headers=cookie, timeout=30).json()["today"]
    billed_before = billed(ports["GEMINI_PORT"])
    for _ in range(3):
        body = {"images": [data_url(COFFEE)], "prompt": "a watercolor"}
        assert requests.post(f"{stack.front}/api/image", json=body, headers=cookie, timeout=60).status_code == 200
    billed_now = round(billed(ports["GEMINI_PORT"]) - billed_before, 6)
    after = requests.get(f"{stack.front}/api/usage", headers=cookie, timeout=30).json()["today"]
    assert round(after["costUsd"] - before["costUsd"], 6) == billed_now > 0
    environment = {**stack.configuration.environment, "NEXTAUTH_URL": stack.front}

    def in_the_ledger() -> list[tuple[float, int]]:
        rows = table(command("-m", "operations.usage", "--csv", "--by", "user", **environment))
        return [(float(row["usd"]), int(row["images"])) for row in rows if row["user"] == "ada@example.com"]

    wait_until(lambda: in_the_ledger() == [(after["costUsd"], after["images"])], 60)
    shown = command("-m", "operations.usage", **environment)
    assert shown.stdout.splitlines()[0].split() == [
        "day",
        "user",
        "model",
        "images",
        "calls",
        "usd",
        "unpriced",
        "calls",
    ]
    assert shown.stdout.splitlines()[-1].startswith("total")
    wrong = command("-m", "operations.usage", "--by", "colour", **environment)
    assert (wrong.returncode, "any of day, user, model" in wrong.stderr) == (2, True)


def billed(port: int) -> float:
    calls: dict[str, float] = requests.get(f"http://127.0.0.1:{port}/__calls", timeout=10).json()
    return calls["billedUsd"]


def table(done: subprocess.CompletedProcess[str]) -> list[dict[str, str]]:
    assert done.returncode == 0, done.stderr
    return list(csv.DictReader(io.StringIO(done.stdout)))
