"""Runs `infra/deploy.sh` with a fake `az` that records its calls."""

import base64
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.support.paths import ROOT

SUBSCRIPTION = "00000000-0000-0000-0000-00000000000b"
PROVIDERS = ("Web", "Storage", "DocumentDB", "KeyVault", "ManagedIdentity", "OperationalInsights", "Insights")
TOKEN = f"e30.{base64.urlsafe_b64encode(json.dumps({'oid': '2' * 8}).encode()).decode().rstrip('=')}.c2lnbmF0dXJl"
"""An access token with the claims that the script reads."""
PAGE_TOKEN = "a-deployment-token-of-the-site"
Rule = list[Any]


@dataclass(frozen=True, slots=True)
class Run:
    """One run of the script, with az's calls: each has its arguments, standard input and the environment's names."""

    code: int
    out: str
    err: str
    calls: tuple[Mapping[str, Any], ...]

    def called(self, *words: str) -> list[Mapping[str, Any]]:
        return [call for call in self.calls if call["arguments"][: len(words)] == list(words)]


class Healthy(BaseHTTPRequestHandler):
    """A healthy deployment, as far as the smoke test without a cookie calls it."""

    def do_GET(self) -> None:
        body: dict[str, Any] = {"status": "ok", "version": "0"}
        if "deep" in self.path:
            body["dependencies"] = {"database": {"status": "ok"}, "storage": {"status": "ok"}}
        self._answer(200, body)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(401, {"error": "Unauthorized", "code": "unauthorized", "retryable": False})

    def _answer(self, status: int, body: Mapping[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Log nothing: the tests read the script's output."""


class Open(Healthy):
    """A deployment that accepts requests without a session."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(200, {})


class WithoutModel(Healthy):
    """A deployment whose model's service does not describe its models."""

    def do_GET(self) -> None:
        states = {"database": "ok", "model": "unknown"}
        found = {name: {"status": status} for name, status in states.items()}
        self._answer(200, {"status": "ok", "version": "0", "dependencies": found})


@contextmanager
def deployment(kind: type[Healthy] = Healthy) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), kind)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


FUNCTIONS = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg-image-api-dev/providers/Microsoft.Web/sites/func-dev-x"


def answers(url: str, *first: Rule, group: bool = True, secrets: str = "", site: str = "") -> list[Rule]:
    """Return the answers of `az` for a working subscription, after the rules in `first`.

    `site` is the address of the Static Web App in front of the function app at `url`.
    """
    outputs = {
        "apiUrl": site or url,
        "functionsUrl": url,
        "functionsId": FUNCTIONS,
        "functionsName": "func-dev-x",
        "siteName": "swa-dev-x" if site else "",
        "region": "westeurope",
        "vaultName": "kv-dev-x",
        "imageStorageUrl": "https://stpicsdevx.blob.core.windows.net",
        "insightsName": "appi-dev-x",
    }
    return [
        *first,
        [["account", "show", "--query", "id"], f"{SUBSCRIPTION}\n"],
        [["account", "show", "--query", "user.type"], "user\n"],
        [["account", "get-access-token", "--query", "accessToken"], f"{TOKEN}\n"],
        [["provider", "show"], "Registered\n"],
        [["functionapp", "list-flexconsumption-locations"], "westeurope\nNorth Europe\n"],
        [["ad", "signed-in-user"], "11111111-1111-1111-1111-111111111111\n"],
        [["group", "exists"], f"{str(group).lower()}\n"],
        [["group", "show"], "westeurope\n"],
        [["bicep", "build"], '{"resources": [{"type": "Microsoft.Web/sites"}]}'],
        [
            ["deployment", "group", "show"],
            {"error": "(DeploymentNotFound) Deployment 'image-api' could not be found.", "times": 9},
        ],
        [["deployment", "group", "what-if"], "  + Microsoft.Web/sites/func-dev-x\n"],
        [
            ["deployment", "group", "create", "--resource-group", "rg-image-api-dev", "--name", "image-api-vault"],
            "kv-dev-x\n",
        ],
        [["deployment", "group", "create"], json.dumps({name: {"value": value} for name, value in outputs.items()})],
        [["keyvault", "secret", "list"], secrets],
        [["rest", "--method", "get"], "GEMINI_API_KEY\tResolved\nNEXTAUTH_SECRET\tResolved\n"],
        [["staticwebapp", "secrets", "list"], f"{PAGE_TOKEN}\n"],
        [["staticwebapp", "environment", "list"], "WaitingForDeployment\n" if site else "", 1],
        [["staticwebapp", "environment", "list"], "Ready\n"],
    ]


def deploy(folder: Path, arguments: Sequence[str], rules: Sequence[Rule], **environment: str) -> Run:
    """Run the script without a terminal, with its files in `folder`."""
    scenario, log = folder / "scenario.json", folder / "az.log"
    scenario.write_text(json.dumps({"answers": rules}), encoding="utf-8")
    log.unlink(missing_ok=True)
    temporary = folder / "tmp"
    temporary.mkdir(exist_ok=True)
    base = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    done = subprocess.run(
        ["bash", str(ROOT / "infra/deploy.sh"), *arguments],
        env={
            **base,
            "PATH": f"{ROOT / 'tests/infra/bin'}:{Path(sys.executable).parent}:{base['PATH']}",
            "TMPDIR": str(temporary),
            "AZ_SCENARIO": str(scenario),
            "AZ_LOG": str(log),
            "DEPLOY_WAIT_SECONDS": "0",
            "DEPLOY_TRIES": "5",
            **environment,
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    calls = map(json.loads, log.read_text(encoding="utf-8").splitlines()) if log.exists() else ()
    return Run(done.returncode, done.stdout, done.stderr, tuple(calls))
