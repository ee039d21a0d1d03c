"""Run all checks of an environment, and report them."""

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING

from image_core.auth.sessions import Sessions, sessions_from
from image_core.clock import Clock
from image_core.models.build import build_models
from image_core.settings import Settings
from operations.doctor import configuration, database, model, session, storage
from operations.doctor.finding import Finding, Findings

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential


def check_environment(environment: Mapping[str, str]) -> Findings:
    """Check the settings and what they point to. A fault in one part does not keep the others from being checked."""
    settings, found = configuration.read(environment)
    yield from found
    if settings is None:
        return
    if settings.storage_connection_string is not None or settings.storage_account_url is not None:
        containers = storage.Containers(
            settings.storage_container, settings.storage_private_container, settings.image_access == "public"
        )
        yield from storage.check(_storage_account(settings), containers)
    if settings.cosmos_connection_string is not None or settings.cosmos_endpoint is not None:
        yield from database.check(
            _cosmos_account(settings),
            settings.cosmos_database,
            settings.cosmos_container,
            settings.cosmos_usage_container,
        )
    if settings.gemini_api_key is not None:
        clock = Clock()
        yield from asyncio.run(model.check(build_models(settings, clock), settings.gemini_models, clock))
    yield _check_cookie(settings, environment.get("SESSION_COOKIE", ""))


def report(findings: Findings) -> int:
    """Print each finding as soon as it is known; return the exit code."""
    faults = 0
    for finding in findings:
        print(finding.line, flush=True)
        faults += finding.fix is not None
    print("Everything is in order." if faults == 0 else f"{faults} {'fault' if faults == 1 else 'faults'} to fix.")
    return 1 if faults else 0


def _check_cookie(settings: Settings, cookie: str) -> Finding:
    if not cookie.strip():
        return Finding(session.WHAT, "not checked; set SESSION_COOKIE to NAME=VALUE")

    def sessions_of(cookie_name: str | None) -> Sessions:
        return sessions_from(settings.model_copy(update={"nextauth_cookie_name": cookie_name}))

    return asyncio.run(session.check(sessions_of, settings.nextauth_cookie_name, cookie))


def _storage_account(settings: Settings) -> storage.Account:
    secret = settings.storage_connection_string
    if secret is not None:
        return storage.Account(secret.get_secret_value(), None, None)
    return storage.Account(None, settings.storage_account_url, _credential())


def _cosmos_account(settings: Settings) -> database.Account:
    secret = settings.cosmos_connection_string
    if secret is not None:
        return database.Account(secret.get_secret_value(), settings.cosmos_endpoint, None)
    return database.Account(None, settings.cosmos_endpoint, _credential())


def _credential() -> "TokenCredential":
    from azure.identity import DefaultAzureCredential  # noqa: PLC0415 - only without connection strings

    return DefaultAzureCredential()
