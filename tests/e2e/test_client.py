"""The TypeScript client: its types are those of the OpenAPI document, and its calls work on the local stack."""

import base64
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from local.node import install_packages
from local.stack import Stack
from tests.support.paths import ROOT
from tests.support.typescript import CLIENT, COMPILER, faults, node


def test_types_are_generated_from_the_document() -> None:
    command = [sys.executable, "checks/client_types.py", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compile the client to JavaScript, with the compiler's strictest options (`tsconfig.json`)."""
    install_packages(CLIENT)
    folder = tmp_path_factory.mktemp("client")
    done = node(COMPILER, "--project", ".", "--noEmit", "false", "--outDir", str(folder), cwd=CLIENT)
    assert done.returncode == 0, done.stdout
    (folder / "package.json").write_text('{"type": "module"}')
    return folder / "client.js"


INVALID = [
    'client.generate([1], "x")',
    'client.generate(["a"], "x", { aspectRatio: "7:3" })',
    'client.generate(["a"], "x", { size: "1K" })',
    'client.generate(["a"], "x").then((result) => result.imageUrl.nothing)',
    "client.history().then((page) => page.items[0].prompt)",
    'client.generate(["a"], "x", { dryRun: true })',
    'client.check(["a"], "x").then((run) => run.imageUrl)',
    'new ApiError(1, "no_such_code", "x", true, 1, {})',
]


def front_end(line: str) -> str:
    """Return a program whose fourth line is `line`."""
    lines = ('import { ApiError, ImageClient } from "./client.js";', "export const client = new ImageClient();")
    return "\n".join((*lines, "export const error = ApiError;", f"{line};", ""))


def test_valid_call_compiles(tmp_path: Path) -> None:
    options = '{ aspectRatio: "1:1", model: null }'
    valid = f'client.generate(["a"], "x", {options}).then((result) => result.usage?.costUsd?.toFixed(3))'
    assert faults(front_end(valid), tmp_path) == []


@pytest.mark.parametrize("line", INVALID)
def test_invalid_call_does_not_compile(line: str, tmp_path: Path) -> None:
    found = faults(front_end(line), tmp_path)
    assert found
    assert [message for message in found if not message.startswith(("use.ts(4,", " "))] == []


@pytest.fixture(scope="module")
def results(compiled: Path, stack: Stack) -> dict[str, Any]:
    """Run the steps of `client_steps.mjs` and return their results."""
    cookie = stack.cookie("client@example.com")
    fake_gemini = f"http://127.0.0.1:{stack.configuration.ports['GEMINI_PORT']}"
    photograph = str(ROOT / "local" / "samples" / "coffee.jpg")
    steps = str(Path(__file__).parent / "client_steps.mjs")
    mask = str(ROOT / "local" / "samples" / "coffee-mask.png")
    done = node(steps, str(compiled), stack.front, cookie, photograph, fake_gemini, mask, cwd=CLIENT)
    assert done.returncode == 0, done.stderr
    printed: dict[str, Any] = json.loads(done.stdout)
    return printed


def test_image_is_generated_and_a_repeated_key_is_replayed(results: dict[str, Any]) -> None:
    image = Image.open(io.BytesIO(base64.b64decode(results["made"]["imageBase64"].partition(",")[2])))
    assert image.size == (results["made"]["width"], results["made"]["height"])
    assert results["again"] == results["made"]
    assert (results["mismatch"]["status"], results["mismatch"]["code"]) == (422, "idempotency_mismatch")


def test_generation_that_exceeds_the_response_budget_is_awaited(results: dict[str, Any]) -> None:
    assert results["running"]["id"] == results["later"]["id"]
    assert results["running"]["expectedSeconds"] >= 1
    assert results["later"]["imageBase64"] is None
    assert results["later"]["imageUrl"].startswith("http")
    assert set(results["later"]) == set(results["made"])


def test_upload_is_deleted_by_its_url(results: dict[str, Any]) -> None:
    assert "code" not in results["uploadDeleted"]
    assert results["uploadGone"]["code"] == "not_found"


def test_errors_have_their_codes_at_once_and_after_a_202(results: dict[str, Any]) -> None:
    assert {name: (results[name]["status"], results[name]["code"]) for name in ("refused", "refusedAtOnce")} == {
        "refused": (200, "refused"),
        "refusedAtOnce": (500, "refused"),
    }
    for name in ("refused", "refusedAtOnce"):
        assert results[name]["body"]["text"] == "I would rather not."
        assert results[name]["body"]["id"].startswith("gen-")
        assert results[name]["retryable"] is False
    assert results["noImages"]["message"] == "No images provided"
    assert (results["signedOut"]["status"], results["signedOut"]["code"]) == (401, "unauthorized")
    assert results["invalid"]["body"]["field"] == "limit"


def test_masked_edit(results: dict[str, Any]) -> None:
    crop = results["maskChecked"]["crop"]
    assert crop["width"] <= 600
    assert results["maskedDetail"]["mask"]["crop"] == crop
    assert (results["masked"]["width"], results["masked"]["height"], results["masked"]["mimeType"]) == (
        600,
        400,
        "image/png",
    )
    assert (results["maskRefused"]["code"], results["maskRefused"]["body"]["field"]) == (
        "invalid_request",
        "aspectRatio",
    )


def test_edit_of_an_earlier_generation_and_the_list_of_its_chain(results: dict[str, Any]) -> None:
    root, ids = results["made"]["id"], [results["edited"]["id"], results["editedLater"]["id"]]
    assert (results["edited"]["warnings"], results["editedLater"]["warnings"]) == ([], [])
    assert results["chain"] == [[ids[0], root], [ids[1], ids[0]]]
    assert (results["noParent"]["code"], results["noParent"]["body"]["field"]) == ("not_found", "from")
    assert len(results["editChecked"]["inputs"]) == 1


def test_abort_signal_ends_a_call(results: dict[str, Any]) -> None:
    assert results["aborted"] == {"name": "TimeoutError"}


def test_history_is_read_page_by_page_without_deleted_generations(results: dict[str, Any]) -> None:
    assert [item["id"] for item in results["page"]["items"]] == results["listed"][:2]
    assert results["page"]["continuation"]
    assert len(results["listed"]) == len(set(results["listed"])) == 9
    assert results["made"]["id"] in results["listed"]
    assert "code" not in results["deleted"]
    assert results["gone"]["code"] == "not_found"


def test_cancellation_ends_the_call_that_waits_for_the_generation(results: dict[str, Any]) -> None:
    assert (results["canceled"]["status"], results["canceledAgain"]["status"]) == ("canceled", "canceled")
    assert (results["canceledWait"]["code"], results["canceledWait"]["retryable"]) == ("canceled", True)
    assert results["canceledWait"]["body"]["id"] == results["canceled"]["id"]


def test_lost_answers_are_repeated_and_a_proxys_error_is_reported(results: dict[str, Any]) -> None:
    assert results["waited"] == results["later"]["id"]
    assert (results["unreadable"]["status"], results["unreadable"]["code"]) == (504, "unreadable_answer")
    assert (results["unreadable"]["retryable"], results["unreadable"]["retryAfter"]) == (True, 0)


def test_models_are_listed_and_a_request_is_checked(results: dict[str, Any]) -> None:
    first = results["models"]["models"][0]
    assert (first["default"], first["prices"]["4K"]) == (True, 0.24)
    assert (results["checked"]["model"], results["checked"]["dryRun"]) == (first["id"], True)
    assert results["checked"]["estimatedCostUsd"] > 0.24
    assert results["notChecked"]["code"] == "no_images"


def test_usage_has_the_number_of_images(results: dict[str, Any]) -> None:
    assert results["usage"]["value"]["today"]["images"] >= 2
