"""The rules of Azure's host for requests, responses, log records and messages."""

import json
import logging
import re
import signal
import socket
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from local import functions_host
from local.emulators import AzuritePorts, cosmos_connection_string
from local.functions_host.http import MAX_BODY_BYTES, decoded_path, encoded_path, joined_query
from local.functions_host.logs import Levels
from local.processes import reserve_port, running, wait_for_port
from tests.support.paths import ROOT
from tests.support.sample_app import SAMPLE, Served, wait_for_line


@dataclass(frozen=True, slots=True)
class Raw:
    """A response as received."""

    status: int
    headers: dict[str, str]
    body: bytes


def send(port: int, head: str | bytes, body: bytes = b"") -> Raw:
    """Send a request unchanged except for added `Host` and `Connection` headers, and read the response."""
    encoded = head if isinstance(head, bytes) else head.encode()
    first, _, rest = encoded.partition(b"\r\n")
    lines = [first, b"Host: example.com", b"Connection: close", *([rest] if rest else []), b"", b""]
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(b"\r\n".join(lines) + body)
        received = b""
        while chunk := connection.recv(65536):
            received += chunk
    raw_head, _, raw_body = received.partition(b"\r\n\r\n")
    status, *headers = raw_head.decode().split("\r\n")
    named = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in headers)}
    return Raw(int(status.split()[1]), named, raw_body)


def unchunked(answer: Raw) -> str:
    assert answer.headers["transfer-encoding"] == "chunked"
    text, rest = b"", answer.body
    while True:
        size, _, rest = rest.partition(b"\r\n")
        if not int(size, 16):
            return text.decode()
        text += rest[: int(size, 16)]
        rest = rest[int(size, 16) + 2 :]


def test_chunked_body_arrives_empty(served: Served) -> None:
    answer = send(served.port, "POST /v1/x HTTP/1.1\r\nTransfer-Encoding: chunked", b"4\r\nbody\r\n0\r\n\r\n")
    assert unchunked(answer) == "POST x {} 0 None"


def test_compressed_body_is_passed_unchanged(served: Served) -> None:
    head = "POST /v1/x HTTP/1.1\r\nContent-Encoding: gzip\r\nContent-Length: 4"
    answer = send(served.port, head, b"\x1f\x8bxx")
    assert (unchunked(answer), answer.headers["x-body"]) == ("POST x {} 4 None", "1f8b7878")


def test_repeated_headers_are_joined_with_a_comma(served: Served) -> None:
    answer = send(served.port, "GET /v1/x HTTP/1.1\r\nX-A: 1; a\r\nX-A: 2")
    assert unchunked(answer) == "GET x {} 0 1; a,2"


def test_header_that_is_not_utf8_is_400_without_a_call_of_the_function(served: Served) -> None:
    answer = send(served.port, b"GET /v1/x HTTP/1.1\r\nX-A: caf\xe9")
    assert (answer.status, answer.body) == (400, b"")
    assert unchunked(send(served.port, "GET /v1/x HTTP/1.1\r\nX-A: café")) == "GET x {} 0 café"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (["X-A: " + "a" * 20_000], 200),
        (["X-A: " + "a" * 16_000, "X-B: " + "b" * 16_000], 200),
        (["X-A: " + "a" * 33_000], 431),
        (["X-A: " + "a" * 16_000, "X-B: " + "b" * 17_000], 431),
        ([f"X-{number}: a" for number in range(98)], 200),
        ([f"X-{number}: a" for number in range(99)], 431),
    ],
    ids=["20 KB", "32 KB in two", "33 KB", "33 KB in two", "100 headers", "101 headers"],
)
def test_headers_are_limited_to_32_kb_and_100(served: Served, headers: list[str], status: int) -> None:
    assert send(served.port, "\r\n".join(["GET /v1/first HTTP/1.1", *headers])).status == status


def test_request_line_over_8_kb_is_414(served: Served) -> None:
    assert send(served.port, f"GET /v1/first?x={'a' * 8000} HTTP/1.1").status == 200
    assert send(served.port, f"GET /v1/first?x={'a' * 8192} HTTP/1.1").status == 414


def test_body_over_100_mb_is_500_without_a_body(served: Served) -> None:
    answer = send(served.port, f"POST /v1/x HTTP/1.1\r\nContent-Length: {MAX_BODY_BYTES + 1}")
    assert (answer.status, answer.body) == (500, b"")


def test_responses_are_chunked_without_a_length(served: Served) -> None:
    answer = send(served.port, "GET /v1/x HTTP/1.1")
    assert "content-length" not in answer.headers
    assert unchunked(answer) == "GET x {} 0 None"


@pytest.mark.parametrize("code", [204, 304])
def test_response_without_a_body_is_plain_text_by_default(served: Served, code: int) -> None:
    untyped = send(served.port, f"GET /v1/status/{code} HTTP/1.1")
    assert (untyped.status, untyped.headers["content-type"], untyped.body) == (code, "text/plain; charset=utf-8", b"")
    assert send(served.port, f"GET /v1/status/{code}?typed=1 HTTP/1.1").headers["content-type"] == "image/png"
    assert not {"transfer-encoding", "content-length"} & set(untyped.headers)


def test_head_and_options_are_passed_to_the_function(served: Served) -> None:
    headed = send(served.port, "HEAD /v1/x HTTP/1.1")
    assert (headed.status, headed.headers["x-b"], headed.body) == (200, "b", b"")
    assert unchunked(send(served.port, "OPTIONS /v1/x HTTP/1.1")) == "OPTIONS x {} 0 None"


def test_url_has_the_decoded_and_encoded_path(served: Served) -> None:
    answer = send(served.port, "GET /v1/a/%62%20c%2Fd/../%C3%A9?x=%41&y=1 HTTP/1.1")
    assert answer.headers["x-url"] == "http://example.com/v1/a/%C3%A9?x=%41&y=1"


@pytest.mark.parametrize(
    ("raw", "decoded", "encoded"),
    [
        ("/api/a%20b", "/api/a b", "/api/a%20b"),
        ("/api/a%2Fb", "/api/a%2Fb", "/api/a%2Fb"),
        ("/api/a%2fb", "/api/a%2fb", "/api/a%2fb"),
        ("/api/%41", "/api/A", "/api/A"),
        ("/api/100%25.jpg", "/api/100%.jpg", "/api/100%25.jpg"),
        ("/api/a%2541", "/api/a%41", "/api/a%41"),
        ("/api/%FF", "/api/%FF", "/api/%FF"),
        ("/api/%C3%BC", "/api/ü", "/api/%C3%BC"),
        ("/api/x/../y", "/api/y", "/api/y"),
        ("/api/x/%2e%2e/y", "/api/y", "/api/y"),
        ("/../../y", "/y", "/y"),
        ("/api/./x/.", "/api/x/", "/api/x/"),
        ("/api/a...b/..c", "/api/a...b/..c", "/api/a...b/..c"),
    ],
)
def test_paths_are_decoded_once_and_encoded_again(raw: str, decoded: str, encoded: str) -> None:
    assert decoded_path(raw) == decoded
    assert encoded_path(decoded) == encoded


@pytest.mark.parametrize(
    ("raw", "joined"),
    [
        ("x=1&x=2", {"x": "1,2"}),
        ("x=1&X=2", {"x": "1,2"}),
        ("x=&y=2&z", {"y": "2"}),
        ("x=&x=", {"x": ","}),
        ("x=a+b&y=a%2Bb", {"x": "a b", "y": "a+b"}),
        ("", {}),
    ],
)
def test_repeated_parameters_are_joined_and_empty_ones_are_dropped(raw: str, joined: dict[str, str]) -> None:
    assert joined_query(raw) == joined


def test_fields_of_a_message_replace_its_metadata(served: Served, host: str) -> None:
    sent = json.dumps({"ID": "of the message", "userId": "a"})
    assert requests.post(f"{host}/v1/enqueue", data=sent, timeout=10).text == "sent"
    wait_for_line(host, "id of the message|1")


def test_log_record_is_kept_only_while_its_invocation_runs(served: Served, host: str) -> None:
    assert requests.post(f"{host}/v1/logs", data="mark", timeout=10).text == "logged"
    assert requests.put(f"{host}/v1/logs", data="mark", timeout=10).text == "logged"
    assert requests.delete(f"{host}/v1/logs", timeout=10).text == "released"
    wait_for_line(host, "mark logged|0")
    lines = [line for line in served.log.read_text().splitlines() if "mark" in line]
    kept = [re.sub(r"^\S+ \S+ ", "", line) for line in lines]
    assert kept == [
        "WARNING sample: mark in a task of the invocation",
        "WARNING sample: mark in the invocation",
        "INFO sample: mark a detail",
        "WARNING sample: mark in a function without async",
        "INFO Host.Function.Console: mark printed by a task that outlived it",
    ]


@pytest.mark.parametrize(
    ("levels", "category", "name"),
    [
        ({}, "Host.Function.Console", "INFO"),
        ({"default": "Warning"}, "Host.Function.Console", "WARNING"),
        ({"default": "Warning", "Function": "Information"}, "Function.api.User", "INFO"),
        ({"default": "Warning", "Function": "Information"}, "Host.Function.Console", "WARNING"),
        (
            {"default": "Warning", "Host": "Error", "Host.Function.Console": "Information"},
            "Host.Function.Console",
            "INFO",
        ),
        ({"Function.api": "None", "Function": "Debug"}, "Function.apis.User", "DEBUG"),
    ],
)
def test_log_level_is_that_of_the_longest_prefix_in_host_json(levels: dict[str, str], category: str, name: str) -> None:
    found = Levels({"logging": {"logLevel": levels}}).of(category)
    assert logging.getLevelName(found) == name


def test_products_host_json_shows_printed_lines() -> None:
    levels = Levels(json.loads((ROOT / "host.json").read_text()))
    assert levels.of("Host.Function.Console") == levels.of("Function.ledger.User") == 20


def test_sigterm_without_a_handler_ends_the_host_by_the_signal(azurite_ports: AzuritePorts, tmp_path: Path) -> None:
    """A Python worker in Azure ends in the same way; the platform reports exit code 143 as an error."""
    port = reserve_port()
    command = functions_host.command(port, SAMPLE)
    environment = {
        "AzureWebJobsStorage": azurite_ports.connection_string(),
        "COSMOS": cosmos_connection_string("http://127.0.0.1:9"),
        "PYTHONPATH": str(ROOT),
    }
    with running(command, log=tmp_path / "log", environment=environment) as process:
        wait_for_port(port, process, "the host", tmp_path / "log")
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == -signal.SIGTERM
