"""The TypeScript client: its types are the document's, it is strictly typed, and it does what a front end needs."""

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


def test_its_types_are_those_of_the_document() -> None:
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


WRONG = [
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
    """Return a front end whose fourth line is this."""
    lines = ('import { ApiError, ImageClient } from "./client.js";', "export const client = new ImageClient();")
    return "\n".join((*lines, "export const error = ApiError;", f"{line};", ""))


def test_what_the_api_takes_and_answers_compiles(tmp_path: Path) -> None:
    options = '{ aspectRatio: "1:1", model: null }'
    right = f'client.generate(["a"], "x", {options}).then((result) => result.usage?.costUsd?.toFixed(3))'
    assert faults(front_end(right), tmp_path) == []


@pytest.mark.parametrize("line", WRONG)
def test_what_the_api_does_not_take_or_answer_does_not_compile(line: str, tmp_path: Path) -> None:
    found = faults(front_end(line), tmp_path)
    assert found
    assert [message for message in found if not message.startswith(("use.ts(4,", " "))] == []


@pytest.fixture(scope="module")
def seen(compiled: Path, stack: Stack) -> dict[str, Any]:
    """Run the steps of `client_steps.mjs` and return their results."""
    cookie = stack.cookie("client@example.com")
    stand_in = f"http://127.0.0.1:{stack.configuration.ports['GEMINI_PORT']}"
    photograph = str(ROOT / "local" / "samples" / "coffee.jpg")
    steps = str(Path(__file__).parent / "client_steps.mjs")
    mask = str(ROOT / "local" / "samples" / "coffee-mask.png")
    done = node(steps, str(compiled), stack.front, cookie, photograph, stand_in, mask, cwd=CLIENT)
    assert done.returncode == 0, done.stderr
    printed: dict[str, Any] = json.loads(done.stdout)
    return printed


def test_it_makes_an_image_and_a_key_that_is_sent_again_pays_once(seen: dict[str, Any]) -> None:
    picture = Image.open(io.BytesIO(base64.b64decode(seen["made"]["imageBase64"].partition(",")[2])))
    assert picture.size == (seen["made"]["width"], seen["made"]["height"])
    assert seen["again"] == seen["made"]
    assert (seen["mismatch"]["status"], seen["mismatch"]["code"]) == (422, "idempotency_mismatch")


def test_what_takes_longer_than_a_response_is_followed_to_its_end(seen: dict[str, Any]) -> None:
    assert seen["running"]["id"] == seen["later"]["id"]
    assert seen["running"]["expectedSeconds"] >= 1
    assert seen["later"]["imageBase64"] is None
    assert seen["later"]["imageUrl"].startswith("http")
    assert set(seen["later"]) == set(seen["made"])


def test_an_upload_is_deleted_by_its_address(seen: dict[str, Any]) -> None:
    assert "code" not in seen["uploadDeleted"]
    assert seen["uploadGone"]["code"] == "not_found"


def test_errors_have_their_codes_however_late_they_come(seen: dict[str, Any]) -> None:
    assert {name: (seen[name]["status"], seen[name]["code"]) for name in ("refused", "refusedAtOnce")} == {
        "refused": (200, "refused"),
        "refusedAtOnce": (500, "refused"),
    }
    for name in ("refused", "refusedAtOnce"):
        assert seen[name]["body"]["text"] == "I would rather not."
        assert seen[name]["body"]["id"].startswith("gen-")
        assert seen[name]["retryable"] is False
    assert seen["noImages"]["message"] == "No images provided"
    assert (seen["stranger"]["status"], seen["stranger"]["code"]) == (401, "unauthorized")
    assert seen["invalid"]["body"]["field"] == "limit"


def test_a_part_of_an_image_is_edited(seen: dict[str, Any]) -> None:
    crop = seen["maskChecked"]["crop"]
    assert crop["width"] <= 600
    assert seen["maskedDetail"]["mask"]["crop"] == crop
    assert (seen["masked"]["width"], seen["masked"]["height"], seen["masked"]["mimeType"]) == (600, 400, "image/png")
    assert (seen["maskRefused"]["code"], seen["maskRefused"]["body"]["field"]) == ("invalid_request", "aspectRatio")


def test_an_edit_goes_on_from_an_earlier_generation_and_its_chain_is_listed(seen: dict[str, Any]) -> None:
    root, ids = seen["made"]["id"], [seen["edited"]["id"], seen["editedLater"]["id"]]
    assert (seen["edited"]["warnings"], seen["editedLater"]["warnings"]) == ([], [])
    assert seen["chain"] == [[ids[0], root], [ids[1], ids[0]]]
    assert (seen["noParent"]["code"], seen["noParent"]["body"]["field"]) == ("not_found", "from")
    assert len(seen["editChecked"]["inputs"]) == 1


def test_a_caller_that_gives_up_is_let_go(seen: dict[str, Any]) -> None:
    assert seen["left"] == {"name": "TimeoutError"}


def test_the_history_is_read_page_by_page_and_a_deleted_one_is_gone(seen: dict[str, Any]) -> None:
    assert [item["id"] for item in seen["page"]["items"]] == seen["listed"][:2]
    assert seen["page"]["continuation"]
    assert len(seen["listed"]) == len(set(seen["listed"])) == 9
    assert seen["made"]["id"] in seen["listed"]
    assert "code" not in seen["deleted"]
    assert seen["gone"]["code"] == "not_found"


def test_canceling_a_generation_ends_the_call_that_waits_for_it(seen: dict[str, Any]) -> None:
    assert (seen["canceled"]["status"], seen["canceledAgain"]["status"]) == ("canceled", "canceled")
    assert (seen["canceledWait"]["code"], seen["canceledWait"]["retryable"]) == ("canceled", True)
    assert seen["canceledWait"]["body"]["id"] == seen["canceled"]["id"]


def test_lost_answers_on_the_way_do_no_harm_and_a_proxys_own_error_is_told(seen: dict[str, Any]) -> None:
    assert seen["patient"] == seen["later"]["id"]
    assert (seen["unreadable"]["status"], seen["unreadable"]["code"]) == (504, "unreadable_answer")
    assert (seen["unreadable"]["retryable"], seen["unreadable"]["retryAfter"]) == (True, 0)


def test_models_are_listed_and_a_request_is_checked_without_being_made(seen: dict[str, Any]) -> None:
    first = seen["models"]["models"][0]
    assert (first["default"], first["prices"]["4K"]) == (True, 0.24)
    assert (seen["checked"]["model"], seen["checked"]["dryRun"]) == (first["id"], True)
    assert seen["checked"]["estimatedCostUsd"] > 0.24
    assert seen["notChecked"]["code"] == "no_images"


def test_what_was_spent_is_told(seen: dict[str, Any]) -> None:
    assert seen["usage"]["value"]["today"]["images"] >= 2
