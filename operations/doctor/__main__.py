"""`python -m operations.doctor [--url URL]`: a line for each thing that was looked at, its fix where one is needed.

Without an address it looks at what the environment's settings lead to. SESSION_COOKIE (NAME=VALUE) is a cookie to look at.
The exit code is 1 where anything fails.
"""

import argparse
import asyncio
import os
import sys
from collections.abc import Mapping

from image_core.settings import Settings
from operations.doctor import configuration, database, deployment, model, session, storage
from operations.doctor.finding import Finding, Findings


def look(environment: Mapping[str, str]) -> Findings:
    """Everything that the settings lead to. Each part is looked at whatever the others say."""
    settings, found = configuration.read(environment)
    yield from found
    if settings is None:
        return
    credential = None
    if settings.storage_connection_string is None or settings.cosmos_connection_string is None:
        from azure.identity import DefaultAzureCredential  # noqa: PLC0415 - only where there is no connection string

        credential = DefaultAzureCredential()
    if settings.storage_connection_string is not None or settings.storage_account_url is not None:
        yield from storage.look(settings, credential)
    if settings.cosmos_connection_string is not None or settings.cosmos_endpoint is not None:
        yield from database.look(settings, credential)
    if settings.gemini_api_key is not None:
        yield from asyncio.run(model.look(settings))
    yield _cookie(settings, environment.get("SESSION_COOKIE", ""))


def _cookie(settings: Settings, cookie: str) -> Finding:
    if not cookie.strip():
        return Finding(session.WHAT, "none to look at; set SESSION_COOKIE to NAME=VALUE")
    return asyncio.run(session.look(settings, cookie))


def main(url: str | None, environment: Mapping[str, str]) -> int:
    """The exit code."""
    cookie = environment.get("SESSION_COOKIE", "").strip() or None
    failed = 0
    for finding in deployment.look(url, cookie) if url else look(environment):
        print(finding.line, flush=True)
        failed += finding.fix is not None
    print("Everything is in order." if failed == 0 else f"{failed} to mend.")
    return 1 if failed else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Why does it not work?")
    parser.add_argument("--url", help="a deployment, for example https://func-prod-….azurewebsites.net")
    sys.exit(main(parser.parse_args().url, os.environ))
