"""The local Functions host conforms to Azure's worker: the same functions, bindings and answers."""

import asyncio
import json
import logging
import os
import re
import sys
import uuid
import weakref
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import azure_functions_runtime as worker
import pytest
import pytest_asyncio
from aiohttp import web
from yarl import URL

from image_core.api.http import Request, Response
from image_core.app import Application
from image_core.auth.user import User
from image_core.generations.record_codec import to_document
from local import nextauth
from local.emulators import AzuritePorts
from local.emulators import cosmos_connection_string as cosmos_connection_string_of
from local.functions_host import app
from local.functions_host.http import HttpFunctions, http_runner
from local.functions_host.invocation import Invoker
from local.gemini.server import FakeGemini
from local.provision import provision_cosmos, provision_storage
from tests.support.contract import document
from tests.support.harness import SECRET, data_url, sample_image
from tests.support.paths import ROOT
from tests.worker.messages import protos

pytestmark = pytest.mark.asyncio(loop_scope="module")
MESSAGES = protos()


class Sent:
    """Records the messages of queue outputs."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, str, str]] = []

    async def send(self, connection: str, queue: str, messages: list[str]) -> None:
        self.messages += [(connection, queue, message) for message in messages]


def wrapped(kind: str, message: Any) -> SimpleNamespace:
    """Return a message in the envelope in which the worker receives it."""
    return SimpleNamespace(
        request=SimpleNamespace(**{kind: message}), properties={"host": "127.0.0.1", "protos": MESSAGES}
    )


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def functions() -> dict[str, Any]:
    """Return the functions that the real worker finds, by name."""
    sys.modules.pop("function_app", None)
    os.environ.setdefault("NEXTAUTH_SECRET", SECRET)
    sys.path.insert(0, str(ROOT))
    started = await worker.worker_init_request(
        wrapped("worker_init_request", MESSAGES.WorkerInitRequest(function_app_directory=str(ROOT)))
    )
    assert started.result.status == MESSAGES.StatusResult.Success, started.result.exception.message
    listed = await worker.functions_metadata_request(wrapped("functions_metadata_request", None))
    found = {function.name: function for function in listed.function_metadata_results}
    for function in found.values():
        loaded = await worker.function_load_request(
            wrapped("function_load_request", MESSAGES.FunctionLoadRequest(function_id=function.function_id))
        )
        assert loaded.result.status == MESSAGES.StatusResult.Success
    return found


async def test_worker_and_local_host_find_the_same_functions_and_bindings(
    functions: dict[str, Any], local_app: app.LoadedApp
) -> None:
    worker_bindings = {
        name: sorted((json.loads(raw) for raw in function.raw_bindings), key=lambda binding: binding["name"])
        for name, function in functions.items()
    }
    assert set(worker_bindings) == {"api", "recovery", "resume", "ledger", "poison"}
    for function in local_app.functions:
        bindings = [function.trigger, *function.outputs]
        for binding in worker_bindings[function.name]:
            if binding["type"] == "http":
                continue
            same = next(each for each in bindings if each["name"] == binding["name"])
            wanted = {name: value for name, value in binding.items() if name != "dataType"}
            assert {name: _lower(same[name]) for name in wanted} == {name: _lower(wanted[name]) for name in wanted}
    assert [function.name for function in local_app.functions] == list(functions)


def _lower(value: Any) -> Any:
    """Return the value in lower case: the worker and the library write enums differently, and the host reads both."""
    return (
        [_lower(item) for item in value]
        if isinstance(value, list)
        else value.lower()
        if isinstance(value, str)
        else value
    )


@pytest.mark.parametrize(
    ("method", "path"),
    [(method.upper(), path) for path, item in document()["paths"].items() for method in item],
)
async def test_every_route_of_the_document_is_answered(functions: dict[str, Any], method: str, path: str) -> None:
    """Requests have no session: 401 comes from the route itself."""
    url = f"http://127.0.0.1{re.sub(r'{.+?}', 'x', path)}"
    public = path in {"/api/health", "/api/openapi.json", "/api/docs"}
    for spelling in (url, url.replace("/api/", "/API/"), url.title().replace("Http:", "http:")):
        status, _, _, _ = await call_worker(functions, method, spelling, {}, b"")
        assert status == (200 if public else 401), spelling


REQUESTS: list[tuple[str, str, str, dict[str, str], bytes]] = [
    ("health", "GET", "/api/health", {}, b""),
    ("an unknown route", "GET", "/api/nothing/here", {}, b""),
    ("a wrong method", "DELETE", "/api/image", {}, b""),
    ("another case", "GET", "/API/Health", {}, b""),
    ("head", "HEAD", "/api/health", {}, b""),
    ("head of a post", "HEAD", "/api/image", {}, b""),
    ("a compressed body", "POST", "/api/image", {"Content-Encoding": "gzip", "Cookie": "session"}, b"{}"),
    ("no session", "POST", "/api/image", {"Content-Type": "application/json"}, b"{}"),
    ("another site", "POST", "/api/image", {"Sec-Fetch-Site": "cross-site"}, b"{}"),
    ("a preflight", "OPTIONS", "/api/generations/x", {"Origin": "https://elsewhere.example"}, b""),
    ("an encoded slash", "GET", "/api/images/a%2Fb", {}, b""),
    ("a bad body", "POST", "/api/image", {"Content-Type": "application/json", "Cookie": "session"}, b"[1"),
    (
        "bytes that are not text",
        "POST",
        "/api/image",
        {"Content-Type": "application/json", "Cookie": "session"},
        b"\xff\xfe",
    ),
]


@pytest.fixture(scope="module")
def local_app(functions: dict[str, Any]) -> app.LoadedApp:
    """Load the app with the local host, as a separate module, as in a separate process."""
    module_of_worker = sys.modules.pop("function_app")
    loaded = app.load(ROOT)
    sys.modules["function_app"] = module_of_worker
    return loaded


@asynccontextmanager
async def served(loaded: app.LoadedApp, sent: Sent) -> AsyncIterator[str]:
    runner = http_runner(HttpFunctions(loaded, Invoker(sent)).handle)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


def chosen_function(functions: dict[str, Any], method: str, path: str) -> str:
    """Return the function that Azure's host would choose.

    It maps the routes in the order of the functions' names and takes the first that matches: there is no precedence.
    """
    for name in sorted(functions):
        for raw in functions[name].raw_bindings:
            binding = json.loads(raw)
            if binding["type"] != "httpTrigger":
                continue
            methods = {each.upper() for each in binding.get("methods") or ()}
            if (not methods or method in methods) and _matches(f"/api/{binding.get('route') or name}", path):
                return name
    raise AssertionError(f"no function answers {method} {path}")


def _matches(template: str, path: str) -> bool:
    parts, segments = template.strip("/").split("/"), path.strip("/").split("/")
    for number, part in enumerate(parts):
        if part.startswith("{*"):
            return True
        if number >= len(segments) or not (part.startswith("{") or part.lower() == segments[number].lower()):
            return False
    return len(parts) == len(segments)


async def call_worker(
    functions: dict[str, Any], method: str, url: str, headers: Mapping[str, str], body: bytes
) -> tuple[int, dict[str, str], bytes, list[Any]]:
    """Pass a request to the real worker as the host does. Return status, headers, body and outputs."""
    path = urlsplit(url).path
    name = chosen_function(functions, method, path)
    http = MESSAGES.RpcHttp(
        method=method,
        url=url,
        headers={name.lower(): value for name, value in headers.items()},
        params={"path": path.split("/", 2)[2]},
    )
    if body:
        http.body.bytes = body
    request = MESSAGES.InvocationRequest(
        invocation_id=str(uuid.uuid4()),
        function_id=functions[name].function_id,
        input_data=[MESSAGES.ParameterBinding(name="req", data=MESSAGES.TypedData(http=http))],
    )
    answer = await worker.invocation_request(wrapped("invocation_request", request))
    assert answer.result.status == MESSAGES.StatusResult.Success, answer.result.exception.message
    got = answer.return_value.http
    raw = got.body.bytes if got.body.WhichOneof("data") == "bytes" else got.body.string.encode()
    return (
        int(got.status_code),
        {name.lower(): value for name, value in got.headers.items()},
        raw,
        list(answer.output_data),
    )


def session_cookie() -> str:
    return nextauth.cookie_header(nextauth.session_cookies(SECRET, nextauth.DEFAULT_USER, datetime.now(UTC)))


@pytest.mark.parametrize(
    ("method", "path", "headers", "body"), [row[1:] for row in REQUESTS], ids=[row[0] for row in REQUESTS]
)
async def test_worker_and_local_host_give_the_same_answer(
    functions: dict[str, Any],
    local_app: app.LoadedApp,
    method: str,
    path: str,
    headers: dict[str, str],
    body: bytes,
) -> None:
    if "Cookie" in headers:
        headers = {**headers, "Cookie": session_cookie()}
    async with served(local_app, Sent()) as url, aiohttp.ClientSession() as http:
        status, worker_headers, raw, _ = await call_worker(functions, method, url + path, headers, body)
        async with http.request(method, URL(url + path, encoded=True), headers=headers, data=body) as answered:
            assert answered.status == status
            assert await answered.read() == raw
            for name in ("content-type", "cache-control", "allow", "vary"):
                assert answered.headers.get(name) == worker_headers.get(name), name


async def test_session_in_the_second_of_two_cookie_lines_is_accepted(
    functions: dict[str, Any], local_app: app.LoadedApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both hosts join the lines with a comma."""
    environment = {
        "NEXTAUTH_SECRET": SECRET,
        "AZURE_STORAGE_CONNECTION_STRING": AzuritePorts(9, 9, 9).connection_string(),
        "AZURE_COSMOS_CONNECTION_STRING": cosmos_connection_string_of("http://127.0.0.1:9"),
    }
    products = [Application(environment), Application(environment)]
    monkeypatch.setattr(sys.modules["function_app"], "product", products[0])
    monkeypatch.setitem(local_app.functions[0].call.__globals__, "product", products[1])
    lines = ["theme=dark; sizes=1,2", session_cookie()]
    async with served(local_app, Sent()) as url, aiohttp.ClientSession() as http:
        headers = [("Content-Type", "application/json"), *(("Cookie", line) for line in lines)]
        joined = {"content-type": "application/json", "cookie": ",".join(lines)}
        status, _, raw, _ = await call_worker(functions, "POST", f"{url}/api/image", joined, b"[1")
        async with http.post(f"{url}/api/image", headers=headers, data=b"[1") as answered:
            assert answered.status == status == 400, "without a session it is 401"
            assert await answered.read() == raw
    for product in products:
        await product.close()


async def test_function_that_cannot_enqueue_its_messages_fails(
    functions: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Product:
        async def handle(self, request: Request) -> Response:
            return Response(202, enqueue=("one", "two"))

    monkeypatch.setattr(sys.modules["function_app"], "product", Product())
    request = MESSAGES.InvocationRequest(
        invocation_id=str(uuid.uuid4()),
        function_id=functions["api"].function_id,
        input_data=[
            MESSAGES.ParameterBinding(name="req", data=MESSAGES.TypedData(http=MESSAGES.RpcHttp(method="GET")))
        ],
    )
    answer = await worker.invocation_request(wrapped("invocation_request", request))
    assert answer.result.status == MESSAGES.StatusResult.Failure


async def test_asynchronous_request_is_enqueued_by_worker_and_local_host(
    functions: dict[str, Any],
    local_app: app.LoadedApp,
    monkeypatch: pytest.MonkeyPatch,
    azurite_connection_string: str,
    cosmos_connection_string: str,
) -> None:
    await provision_cosmos(cosmos_connection_string)
    await provision_storage(azurite_connection_string, public=True)
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", azurite_connection_string)
    monkeypatch.setenv("AZURE_COSMOS_CONNECTION_STRING", cosmos_connection_string)
    monkeypatch.setenv("GEMINI_API_KEY", "key")
    products = [Application(os.environ), Application(os.environ)]
    monkeypatch.setattr(sys.modules["function_app"], "product", products[0])
    monkeypatch.setitem(local_app.functions[0].call.__globals__, "product", products[1])
    headers = {"Content-Type": "application/json", "Cookie": session_cookie(), "Prefer": "respond-async"}
    body = json.dumps({"images": [data_url(sample_image(), "image/jpeg")], "prompt": "x"}).encode()
    sent = Sent()
    async with served(local_app, sent) as url, aiohttp.ClientSession() as http:
        status, _, raw, outputs = await call_worker(functions, "POST", f"{url}/api/image", headers, body)
        async with http.post(f"{url}/api/image", headers=headers, data=body) as answered:
            assert answered.status == status == 202
            made = (await answered.json())["id"]
    assert [output.name for output in outputs] == ["queued"]
    assert json.loads(outputs[0].data.string)["id"] == json.loads(raw)["id"]
    assert [(connection, queue) for connection, queue, _ in sent.messages] == [("AzureWebJobsStorage", "generations")]
    assert json.loads(sent.messages[0][2])["id"] == made
    for product in products:
        await asyncio.wait_for(product.close(), 30)


async def test_changed_records_enter_the_ledger_in_the_real_worker(
    functions: dict[str, Any], monkeypatch: pytest.MonkeyPatch, cosmos_connection_string: str
) -> None:
    await provision_cosmos(cosmos_connection_string)
    monkeypatch.setenv("AZURE_COSMOS_CONNECTION_STRING", cosmos_connection_string)
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_URL", "https://nowhere.blob.core.windows.net")
    product = Application(os.environ)
    monkeypatch.setattr(sys.modules["function_app"], "product", product)
    usage = {"inputTokens": 1, "outputTokens": 1120, "costUsd": 0.1344, "outputByModality": {"IMAGE": 1120}}
    when = "2026-01-01T00:00:00.000Z"
    attempt = {"model": "gemini-3-pro-image", "outcome": "ok", "durationMs": 5, "usage": usage, "startedAt": when}
    record = {"id": "gen-1", "userId": "a@example.com", "prompt": "x", "createdAt": when, "attempts": [attempt]}
    changed = MESSAGES.TypedData(json=json.dumps([record, {"id": "broken"}]))
    request = MESSAGES.InvocationRequest(
        invocation_id=str(uuid.uuid4()),
        function_id=functions["ledger"].function_id,
        input_data=[MESSAGES.ParameterBinding(name="changed", data=changed)],
    )
    answer = await worker.invocation_request(wrapped("invocation_request", request))
    assert answer.result.status == MESSAGES.StatusResult.Success, answer.result.exception.message
    assert list(answer.output_data) == []
    ledger = product.components.ledger
    entered = [entry async for entry in ledger.of_user(User("a@example.com"), "2026-01-01", "2026-01-02")]
    assert [(entry.id, entry.usd) for entry in entered] == [("gen-1-0", 0.1344)]
    assert (await ledger.sum_of(User("a@example.com"), "2026-01-01")).usd == 0.1344
    options = functions["ledger"].retry_options
    assert (options.max_retry_count, options.delay_interval.seconds) == (-1, 10)
    await product.close()


class HostLog(logging.Handler):
    """The log records that Azure's host would keep.

    In the worker, a task belongs to the invocation of the task that started it. The host drops a record whose
    invocation is not running, and one that is written outside of any task.
    """

    def __init__(self) -> None:
        super().__init__()
        self.running: set[str] = set()
        self.kept: list[str] = []
        self._invocations: weakref.WeakKeyDictionary[asyncio.Task[Any], str] = weakref.WeakKeyDictionary()

    def task(self, loop: asyncio.AbstractEventLoop, work: Any, **options: Any) -> asyncio.Task[Any]:
        """Make a task (`loop.set_task_factory`)."""
        made: asyncio.Task[Any] = asyncio.Task(work, loop=loop, **options)
        current = asyncio.current_task(loop)
        if current is not None and current in self._invocations:
            self._invocations[made] = self._invocations[current]
        return made

    async def invoke(self, request: Any) -> Any:
        async def invocation() -> Any:
            task = asyncio.current_task()
            assert task is not None
            self._invocations[task] = request.invocation_id
            return await worker.invocation_request(wrapped("invocation_request", request))

        self.running.add(request.invocation_id)
        try:
            return await asyncio.create_task(invocation())
        finally:
            self.running.discard(request.invocation_id)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            task = asyncio.current_task()
        except RuntimeError:
            return
        if task is not None and self._invocations.get(task) in self.running:
            self.kept.append(record.getMessage())


@pytest.fixture
async def host_log() -> AsyncIterator[HostLog]:
    log, loop, root = HostLog(), asyncio.get_running_loop(), logging.getLogger()
    level = root.level
    root.addHandler(log)
    root.setLevel(logging.INFO)
    loop.set_task_factory(log.task)
    yield log
    loop.set_task_factory(None)
    root.removeHandler(log)
    root.setLevel(level)


async def test_log_line_of_a_generation_that_ends_after_its_answer_is_kept_by_the_host(
    functions: dict[str, Any],
    host_log: HostLog,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    azurite_connection_string: str,
    cosmos_connection_string: str,
) -> None:
    await provision_cosmos(cosmos_connection_string)
    await provision_storage(azurite_connection_string, public=True)
    fake_gemini = FakeGemini()
    for name, value in {
        "AZURE_STORAGE_CONNECTION_STRING": azurite_connection_string,
        "AZURE_COSMOS_CONNECTION_STRING": cosmos_connection_string,
        "GEMINI_API_KEY": "key",
        "GOOGLE_GEMINI_BASE_URL": await fake_gemini.start(),
    }.items():
        monkeypatch.setenv(name, value)
    module = sys.modules["function_app"]
    product = Application(os.environ)
    monkeypatch.setattr(module, "product", product)
    fake_gemini.released.clear()
    body = json.dumps({"images": [data_url(sample_image(), "image/jpeg")], "prompt": "x"}).encode()
    http = MESSAGES.RpcHttp(
        method="POST",
        url="http://127.0.0.1/api/image",
        headers={"content-type": "application/json", "cookie": session_cookie(), "prefer": "wait=1"},
        params={"path": "image"},
    )
    http.body.bytes = body
    answer = await host_log.invoke(
        MESSAGES.InvocationRequest(
            invocation_id="the request",
            function_id=functions["api"].function_id,
            input_data=[MESSAGES.ParameterBinding(name="req", data=MESSAGES.TypedData(http=http))],
        )
    )
    assert answer.return_value.http.status_code == "202"
    record_id = json.loads(answer.return_value.http.body.bytes)["id"]
    kept_before = list(host_log.kept)
    fake_gemini.released.set()
    await product.components.background.drain()
    assert host_log.kept == kept_before, "records after the answer are dropped"
    user = User(nextauth.DEFAULT_USER["email"])
    record = await product.components.records.read(user, record_id)
    assert record is not None
    assert record.status == "succeeded"
    changed = MESSAGES.TypedData(json=json.dumps([to_document(record)]))
    await host_log.invoke(
        MESSAGES.InvocationRequest(
            invocation_id="the change",
            function_id=functions["ledger"].function_id,
            input_data=[MESSAGES.ParameterBinding(name="changed", data=changed)],
        )
    )
    lines = [message for message in host_log.kept if message.startswith("generation ")]
    assert [json.loads(line.removeprefix("generation "))["id"] for line in lines] == [record_id]
    logging.getLogger("image_core.generations").warning("outside")
    assert "WARNING image_core.generations: outside" in capsys.readouterr().out.splitlines()
    await product.close()
    await fake_gemini.stop()
