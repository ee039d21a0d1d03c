"""`make doctor` names each fault in one line, with what fixes it."""

import asyncio
import json
import re
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from azure.cosmos import PartitionKey
from azure.cosmos.aio import CosmosClient
from azure.storage.blob import PublicAccess
from azure.storage.blob.aio import BlobServiceClient

from image_core.clock import Clock
from image_core.models.build import build_models
from image_core.settings import DEFAULT_CHAIN, Settings
from local import nextauth
from local.emulators import AzuritePorts, cosmos_connection_string
from local.gemini.script import Scripted
from operations.doctor import model
from operations.doctor.checks import check_environment, report
from operations.doctor.finding import Finding
from tests.support.harness import SECRET, Harness
from tests.support.paths import GEMINI_RESPONSES


async def findings(product: Harness, **other: str) -> list[Finding]:
    environment = {**product.environment, "SESSION_COOKIE": product.cookie, **other}
    return await asyncio.to_thread(lambda: list(check_environment(environment)))


async def only_fault(product: Harness, **other: str) -> Finding:
    """Return the only fault."""
    found = await findings(product, **other)
    (fault,) = [finding for finding in found if finding.fix is not None]
    assert len(fault.line.splitlines()) == 1
    assert SECRET not in fault.line
    return fault


async def test_healthy_stack_has_no_fault(product: Harness, capsys: pytest.CaptureFixture[str]) -> None:
    environment = {**product.environment, "SESSION_COOKIE": product.cookie}
    assert await asyncio.to_thread(lambda: report(check_environment(environment))) == 0
    out = capsys.readouterr().out
    assert "FAIL" not in out
    for container in ("catafract", "catafract-private", "catafract/generations", "catafract/usage"):
        assert f"ok    container {container}: " in out
    for part in ("model gemini-3-pro-image: answers", "session cookie: valid", "clock"):
        assert part in out
    for secret in (SECRET, product.cookie, "a-fake-key"):
        assert secret not in out


async def test_readability_of_older_images_after_a_change_of_access_is_reported(product: Harness) -> None:
    await product.generate()
    async with BlobServiceClient.from_connection_string(product.environment["DIRECT_STORAGE"]) as client:
        container = client.get_container_client("catafract")
        await container.set_container_access_policy({}, public_access=None)
        try:
            found = await findings(product, IMAGE_ACCESS="private")
            async with product.another(IMAGE_ACCESS="private") as private:
                await private.generate()
        finally:
            await container.set_container_access_policy({}, public_access=PublicAccess.BLOB)
    assert [finding.line for finding in found if finding.fix is not None] == []
    (older,) = [finding.state for finding in found if "from before" in finding.what]
    assert "outside of users' folders" in older
    assert "templates" in older
    (older,) = [finding.state for finding in await findings(product) if "from before" in finding.what]
    assert "users' folders" in older


async def test_invalid_setting_is_named(product: Harness) -> None:
    fault = await only_fault(product, MAX_IMAGES="many")
    assert "MAX_IMAGES" in fault.state


async def test_unreachable_storage_is_a_fault(product: Harness) -> None:
    with socket.socket() as unused:  # bound, and not listening
        unused.bind(("127.0.0.1", 0))
        unreachable = AzuritePorts(unused.getsockname()[1], 1, 2).connection_string()
        fault = await only_fault(product, AZURE_STORAGE_CONNECTION_STRING=unreachable)
    assert (fault.what, fault.fix) == ("storage", "start it (make run), or correct the address")


async def test_unreachable_database_is_a_fault(product: Harness) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        unreachable = cosmos_connection_string(f"http://127.0.0.1:{unused.getsockname()[1]}")
        fault = await only_fault(product, AZURE_COSMOS_CONNECTION_STRING=unreachable)
    assert (fault.what, fault.fix) == ("database", "start it (make run), or correct the address")


async def test_public_images_are_a_fault_if_they_must_be_private(product: Harness) -> None:
    fault = await only_fault(product, IMAGE_ACCESS="private")
    assert fault.state == "public access is blob instead of none"
    assert "--public-access off" in str(fault.fix)


async def test_public_private_container_is_a_fault(product: Harness) -> None:
    async with BlobServiceClient.from_connection_string(product.environment["DIRECT_STORAGE"]) as client:
        container = client.get_container_client("inputs-by-mistake")
        await container.create_container(public_access=PublicAccess.BLOB)
    fault = await only_fault(product, AZURE_STORAGE_PRIVATE_CONTAINER="inputs-by-mistake")
    assert fault.what == "container inputs-by-mistake"
    assert "--public-access off" in str(fault.fix)


async def test_missing_container_is_a_fault(product: Harness) -> None:
    fault = await only_fault(product, AZURE_STORAGE_CONTAINER="nowhere")
    assert (fault.what, fault.state) == ("container nowhere", "does not exist")


async def test_wrong_partition_key_is_a_fault(product: Harness) -> None:
    async with CosmosClient.from_connection_string(cosmos_connection_string(product.cosmos.target)) as client:
        database = client.get_database_client("catafract")
        await database.create_container_if_not_exists("by-id", PartitionKey("/id"))
    fault = await only_fault(product, AZURE_COSMOS_CONTAINER="by-id")
    assert (fault.what, fault.state) == ("container catafract/by-id", "partitioned by /id instead of /userId")


async def test_unknown_model_is_a_fault(product: Harness) -> None:
    fault = await only_fault(product, GEMINI_MODELS="gemini-3-pro-image,gemini-1-image")
    assert (fault.what, fault.state) == ("model gemini-1-image", "gone (404)")


async def test_retired_model_is_a_fault_with_its_successor(product: Harness) -> None:
    fault = await only_fault(product, GEMINI_MODELS="gemini-2.5-flash-image,gemini-3-pro-image")
    assert (fault.what, fault.state) == ("GEMINI_MODELS", "gemini-2.5-flash-image was shut down on 2026-10-02")
    assert fault.fix == "replace it by gemini-3.1-flash-lite-image"


async def test_model_that_retires_within_a_month_is_a_fault(product: Harness) -> None:
    settings = Settings.read({**product.environment, "GEMINI_MODELS": "gemini-3-pro-image,gemini-3.1-flash-image"})
    for day, states in ((28, []), (29, ["gemini-3.1-flash-image will be shut down on 2026-10-29"])):
        clock = Clock(now=lambda day=day: datetime(2026, 9, day, tzinfo=UTC))  # type: ignore[misc] # bound here
        found = await model.check(build_models(settings, clock), settings.gemini_models, clock)
        assert [each.state for each in found if each.what == "GEMINI_MODELS"] == states


async def test_used_up_daily_quota_is_a_fault(product: Harness) -> None:
    script = json.loads((GEMINI_RESPONSES / "gemini-429-per-day.json").read_bytes())
    product.fake_gemini.script.add(Scripted(**script))
    fault = await only_fault(product)
    assert fault.what == "model gemini-3-pro-image"
    assert re.fullmatch(r"quota used up until \d{4}-\d\d-\d\dT0[78]:00:00.000Z", fault.state)


async def test_account_in_an_unsupported_location_is_a_fault(product: Harness) -> None:
    script = json.loads((GEMINI_RESPONSES / "gemini-400-location.json").read_bytes())
    product.fake_gemini.script.add(Scripted(**script))
    faults = [each for each in await findings(product) if each.fix is not None]
    assert [each.what for each in faults] == [f"model {name}" for name in DEFAULT_CHAIN]
    assert all("Google account" in str(each.fix) for each in faults)


async def test_unknown_model_that_answers_is_reported_without_a_price(product: Harness) -> None:
    found = await findings(product, GEMINI_MODELS="gemini-4-image")
    assert [each.line for each in found if each.what.startswith("model")] == [
        "ok    model gemini-4-image: answers (not in the catalog: budgets count it as the most expensive model)"
    ]


async def test_check_of_a_model_costs_less_than_a_hundredth_of_a_cent(product: Harness) -> None:
    await findings(product)
    assert [call.max_output_tokens for call in product.fake_gemini.calls] == [1, 1, 1]
    assert product.fake_gemini.billed_usd < 3 * 0.0001


async def test_missing_api_key_is_a_fault(product: Harness) -> None:
    fault = await only_fault(product, GEMINI_API_KEY="")
    assert (fault.what, fault.state) == ("GEMINI_API_KEY", "not set")


REFUSALS = {
    "AuthorizationPermissionMismatch": ("Storage Blob Data Contributor", "az role assignment create"),
    "KeyBasedAuthenticationNotPermitted": ("KeyBasedAuthenticationNotPermitted", "AZURE_STORAGE_ACCOUNT_URL"),
    "AuthenticationFailed": ("AuthenticationFailed", "correct the key"),
}


@contextmanager
def refusing(code: str) -> Iterator[int]:
    """Serve refusals of every request, as Blob Storage and Cosmos DB write them."""

    class Refusing(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = f'<?xml version="1.0" encoding="utf-8"?><Error><Code>{code}</Code><Message>No.</Message></Error>'
            if "restype" not in self.path:
                body = '{"code":"Forbidden","message":"principal does not have required RBAC permissions"}'
            self.send_response(403)
            self.send_header("x-ms-error-code", code)
            self.send_header("Content-Type", "application/xml" if body[0] == "<" else "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize("code", REFUSALS)
async def test_refusal_of_the_storage_names_the_role_or_the_key(code: str, product: Harness) -> None:
    state, fix = REFUSALS[code]
    with refusing(code) as port:
        fault = await only_fault(product, AZURE_STORAGE_CONNECTION_STRING=AzuritePorts(port, 1, 2).connection_string())
    assert state in fault.state
    assert fix in str(fault.fix)


async def test_refusal_of_the_database_names_the_role(product: Harness) -> None:
    with refusing("Forbidden") as port:
        fault = await only_fault(
            product, AZURE_COSMOS_CONNECTION_STRING=cosmos_connection_string(f"http://127.0.0.1:{port}")
        )
    assert "Cosmos DB Built-in Data Contributor" in fault.state
    assert "az cosmosdb sql role assignment create" in str(fault.fix)


def cookie(version: nextauth.Version, secret: str = SECRET, when: datetime | None = None) -> dict[str, str]:
    return nextauth.session_cookies(secret, nextauth.DEFAULT_USER, when or datetime.now(UTC), version=version)


def renamed(cookies: Mapping[str, str], name: str) -> str:
    return f"{name}={''.join(cookies.values())}"


COOKIES: dict[str, tuple[Callable[[], str], str]] = {
    "secret": (
        lambda: nextauth.cookie_header(cookie("v4", "another secret")),
        "secret: it was made with another secret than those set here",
    ),
    "expiry": (
        lambda: nextauth.cookie_header(cookie("v5", when=datetime.now(UTC) - timedelta(days=40))),
        "expiry: it has expired",
    ),
    "version": (
        lambda: renamed(cookie("v5"), "next-auth.session-token"),
        "version: the token is of another NextAuth version",
    ),
    "name": (
        lambda: renamed(cookie("v5"), "__Secure-authjs.session-token"),
        "name: the token was made for the cookie authjs.session-token",
    ),
    "unknown name": (lambda: renamed(cookie("v4"), "session"), "name: session is none of"),
    "claims": (
        lambda: nextauth.cookie_header(
            nextauth.session_cookies(SECRET, {**nextauth.DEFAULT_USER, "email": "ada"}, datetime.now(UTC))
        ),
        "claims: the e-mail address or the subject cannot be a user id",
    ),
    "format": (lambda: "next-auth.session-token=a.b.c", "format: it is not encrypted"),
}


@pytest.mark.parametrize("part", COOKIES)
async def test_invalid_cookie_is_a_fault_that_names_the_wrong_part(part: str, product: Harness) -> None:
    make, words = COOKIES[part]
    fault = await only_fault(product, SESSION_COOKIE=make())
    assert fault.what == "session cookie"
    assert words in fault.state
