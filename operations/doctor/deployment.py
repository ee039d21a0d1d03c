"""Check a deployment from outside: its health, whether it refuses requests without a session, and its clock."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests

from operations.doctor.finding import Finding, Findings
from operations.doctor.storage import TOLERANCE_SECONDS

TIMEOUT_SECONDS = 60
FIXES = {
    "database": "AZURE_COSMOS_ENDPOINT and the identity's role; infra/deploy.sh sets both again",
    "storage": "AZURE_STORAGE_ACCOUNT_URL, the two containers and the identity's role; infra/deploy.sh sets them again",
    "model": "the secret GEMINI-API-KEY in the vault, and GEMINI_MODELS",
    "session": "the secret NEXTAUTH-SECRET in the vault: the app needs a restart after it was set",
}


def check(url: str, cookie: str | None) -> Findings:
    """Check the deployment at `url`. `cookie` is a session cookie to check, NAME=VALUE."""
    base = url.rstrip("/") + "/"
    if urlsplit(base).scheme not in {"http", "https"}:
        yield Finding(
            "address", f"{url} is not an http or https URL", "set URL to the address that infra/deploy.sh printed"
        )
        return
    try:
        answer = requests.get(urljoin(base, "api/health"), timeout=TIMEOUT_SECONDS)
    except requests.RequestException as error:
        yield Finding(
            "address",
            f"nothing answers at {url} ({type(error).__name__})",
            "compare it with the address that infra/deploy.sh printed",
        )
        return
    if answer.status_code != HTTPStatus.OK:
        fix = "publish the code (infra/deploy.sh), then read the app's log stream in the portal"
        if answer.status_code in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
            fix = "a linked Static Web App refuses direct calls: set URL to the Static Web App's address"
        yield Finding("api/health", f"answered {answer.status_code}", fix)
        return
    yield Finding("api/health", "answers")
    yield from _clock(answer)
    try:
        yield from _dependencies(base)
        yield _without_session(base)
        if cookie is not None:
            yield _cookie(base, cookie)
    except (requests.RequestException, ValueError) as error:
        yield Finding(
            "api", f"an answer could not be read ({type(error).__name__})", "read the app's log stream in the portal"
        )


def _clock(answer: requests.Response) -> Findings:
    date = answer.headers.get("Date")
    if date is not None:
        skew = (datetime.now(UTC) - parsedate_to_datetime(date)).total_seconds()
        fix = "set this machine's clock" if abs(skew) > TOLERANCE_SECONDS else None
        yield Finding("clock", f"{skew:+.0f} s against the deployment's", fix)


def _dependencies(base: str) -> Findings:
    states: dict[str, Any] = (
        requests.get(urljoin(base, "api/health?deep=1"), timeout=TIMEOUT_SECONDS).json().get("dependencies", {})
    )
    for name, state in states.items():
        ok = state["status"] in {"ok", "unknown"}
        said = f"{state['latencyMs']} ms" if ok else str(state.get("code") or state["status"])
        yield Finding(name, said, None if ok else f"check {FIXES.get(name, 'the settings (docs/deploy.md)')}")
        for container, state_of_it in state.get("containers", {}).items():
            if state_of_it != "ok":
                fix = "infra/deploy.sh creates it; otherwise correct the setting that names it"
                yield Finding(f"container {container}", state_of_it, fix)
        for model, alive in state.get("models", {}).items():
            if alive != "ok" and not alive.startswith("unknown"):
                yield Finding(f"model {model}", alive, "remove it from GEMINI_MODELS if it is gone (404)")
        for model, day in state.get("retiring", {}).items():
            yield Finding(
                "GEMINI_MODELS", f"{model}: shut down on {day}", "replace it by its successor (docs/models.md)"
            )


def _without_session(base: str) -> Finding:
    status = requests.get(urljoin(base, "api/generations"), timeout=TIMEOUT_SECONDS).status_code
    if status != HTTPStatus.UNAUTHORIZED:
        return Finding(
            "a request without a session", f"answered {status}, not 401", "read the app's log stream in the portal"
        )
    return Finding("a request without a session", "refused")


def _cookie(base: str, cookie: str) -> Finding:
    answer = requests.get(urljoin(base, "api/generations?limit=1"), headers={"Cookie": cookie}, timeout=TIMEOUT_SECONDS)
    if answer.status_code == HTTPStatus.OK:
        return Finding("session cookie", "valid")
    fix = "run make doctor with the deployment's NEXTAUTH_SECRET and this cookie: it says which part is wrong"
    return Finding("session cookie", f"answered {answer.status_code}", fix)
