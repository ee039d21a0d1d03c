"""All checks of an environment, and their report."""

import asyncio
from collections.abc import Mapping

from image_core.settings import Settings
from operations.doctor import configuration, database, model, session, storage
from operations.doctor.finding import Finding, Findings


def check_environment(environment: Mapping[str, str]) -> Findings:
    """Check the settings and what they point to. A fault in one part does not keep the others from being checked."""
    settings, found = configuration.read(environment)
    yield from found
    if settings is None:
        return
    credential = None
    if settings.storage_connection_string is None or settings.cosmos_connection_string is None:
        from azure.identity import DefaultAzureCredential  # noqa: PLC0415 - only without connection strings

        credential = DefaultAzureCredential()
    if settings.storage_connection_string is not None or settings.storage_account_url is not None:
        yield from storage.check(settings, credential)
    if settings.cosmos_connection_string is not None or settings.cosmos_endpoint is not None:
        yield from database.check(settings, credential)
    if settings.gemini_api_key is not None:
        yield from asyncio.run(model.check(settings))
    yield _check_cookie(settings, environment.get("SESSION_COOKIE", ""))


def report(findings: Findings) -> int:
    """Print each finding as soon as it is there; return the exit code."""
    faults = 0
    for finding in findings:
        print(finding.line, flush=True)
        faults += finding.fix is not None
    print("Everything is in order." if faults == 0 else f"{faults} {'fault' if faults == 1 else 'faults'} to fix.")
    return 1 if faults else 0


def _check_cookie(settings: Settings, cookie: str) -> Finding:
    if not cookie.strip():
        return Finding(session.WHAT, "not checked; set SESSION_COOKIE to NAME=VALUE")
    return asyncio.run(session.check(settings, cookie))
