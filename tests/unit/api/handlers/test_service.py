"""Uploads, models, usage and health: every response of their handlers, compared with the document."""

import asyncio
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from image_core.api.handlers.health import CACHED_SECONDS, GetHealth, Probe
from image_core.api.handlers.models import ListModels
from image_core.api.handlers.upload import UploadImage, safe_name
from image_core.api.handlers.usage import GetUsage
from image_core.api.http import Request, Response
from image_core.api.response_budget import ResponseBudget
from image_core.api.wire.models import Limits
from image_core.billing.budgets import Budgets
from image_core.clock import Clock
from image_core.errors import InvalidImage, NoFile, StorageUnavailable
from image_core.images.image import Image
from image_core.models.catalog import ASPECT_RATIOS, IMAGE_SIZES
from image_core.runtime.memory_budget import MemoryBudget
from image_core.settings import DEFAULT_CHAIN, Settings
from tests.support.contract import violations
from tests.support.fakes.application import ADA
from tests.support.fakes.handler_ports import FakeChain, FakeDurations, FakeImages, FakeSpending

CLOCK = Clock(now=lambda: datetime(2026, 1, 1, tzinfo=UTC), monotonic=lambda: 10.0)
FORM = {"content-type": "multipart/form-data; boundary=b"}


def content(method: str, path: str, response: Response) -> dict[str, Any]:
    """Return the body, after it was compared with the document."""
    assert violations(method, path, response.status, response.headers, response.body) == []
    found: dict[str, Any] = json.loads(response.body)
    return found


def upload(images: FakeImages, memory: MemoryBudget) -> UploadImage:
    return UploadImage(images, images, memory, ResponseBudget(None, CLOCK), CLOCK, token=lambda count: "0a" * count)


def form(data: bytes, name: str) -> Request:
    part = f'--b\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'.encode()
    return Request("POST", "upload", headers=FORM, body=part + data + b"\r\n--b--\r\n", started=10.0)


async def test_upload_is_stored_under_a_new_name_with_the_extension_of_its_type() -> None:
    images, memory = FakeImages(), MemoryBudget(10_000)
    response = await upload(images, memory).handle(form(b"data", "my phöto.gif"), ADA)
    name = f"1767225600000-{'0a' * 16}-my-photo.png"
    assert content("POST", "upload", response) == {"url": f"https://account.example/catafract/{name}"}
    assert images.images == {name: ("image/png", b"data")}
    assert memory.working == 0


async def test_upload_without_a_valid_file_stores_nothing() -> None:
    images, memory = FakeImages(fails=[InvalidImage(0)]), MemoryBudget(10_000)
    with pytest.raises(InvalidImage):
        await upload(images, memory).handle(form(b"data", "a.png"), ADA)
    with pytest.raises(NoFile):
        await upload(images, memory).handle(Request("POST", "upload", headers=FORM, body=b"--b--", started=10.0), ADA)
    assert images.images == {}
    assert memory.working == 0


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("photo.jpg", "photo.png"),
        ("C:\\photos\\a b.c.jpg", "a-b-c.png"),
        ("../../etc/passwd", "passwd.png"),
        ("\u732b.jpg", "image.png"),
        ("", "image.png"),
        ("x" * 200, "x" * 60 + ".png"),
    ],
)
def test_file_name_becomes_part_of_the_blob_name(name: str, safe: str) -> None:
    assert safe_name(name, Image(b"", "image/png", 1, 1)) == safe


async def test_models_are_the_chains_in_its_order() -> None:
    chain = FakeChain((DEFAULT_CHAIN[0], "unknown-model"), frozenset({"unknown-model"}))
    limits = Limits.of(Settings.read({"MAX_IMAGES": "4"}))
    response = await ListModels(chain, FakeDurations(), limits).handle(Request("GET", "models"), ADA)
    body = content("GET", "models", response)
    first, unknown = body["models"]
    assert (first["id"], first["default"], first["available"], first["maxInputImages"]) == (
        DEFAULT_CHAIN[0],
        True,
        True,
        4,
    )
    assert set(first["prices"]) == set(first["imageSizes"])
    assert unknown == {
        "id": "unknown-model",
        "aspectRatios": list(ASPECT_RATIOS),
        "imageSizes": list(IMAGE_SIZES),
        "maxInputImages": 4,
        "prices": {},
        "default": False,
        "retiresOn": None,
        "available": False,
        "expectedSeconds": 23,
    }
    assert body["limits"]["maxImages"] == 4
    assert body["limits"]["maxPromptCharacters"] == 32_000


@pytest.mark.parametrize(
    ("budgets", "budget"),
    [
        (Budgets(None, None), None),
        (
            Budgets(2.0, None),
            {"dailyUsd": 2.0, "runningUsd": 0.25, "remainingUsd": 1.25, "resetsAt": "2026-01-03T00:00:00.000Z"},
        ),
        (
            Budgets(None, 3.0),
            {
                "dailyUsd": None,
                "runningUsd": 0.25,
                "remainingUsd": 1.0,
                "resetsAt": "2026-01-03T00:00:00.000Z",
                "monthlyUsd": 3.0,
                "monthlyRemainingUsd": 1.0,
                "monthResetsAt": "2026-02-01T00:00:00.000Z",
            },
        ),
    ],
)
async def test_usage_has_sums_by_model_and_the_remaining_budget(
    budgets: Budgets, budget: dict[str, Any] | None
) -> None:
    response = await GetUsage(FakeSpending(budgets)).handle(Request("GET", "usage"), ADA)
    body = content("GET", "usage", response)
    assert body["budget"] == budget
    assert body["today"]["since"] == "2026-01-02T00:00:00.000Z"
    assert [each["model"] for each in body["month"]["byModel"]] == ["m", "n"]
    assert body["month"]["estimatedUsd"] == 0.25


async def test_remaining_budget_is_the_smaller_of_day_and_month() -> None:
    response = await GetUsage(FakeSpending(Budgets(1.0, 3.0))).handle(Request("GET", "usage"), ADA)
    budget = json.loads(response.body)["budget"]
    assert (budget["remainingUsd"], budget["monthlyRemainingUsd"]) == (0.25, 1.0)


async def works() -> Mapping[str, Any]:
    return {"mode": "encrypted"}


async def is_degraded() -> Mapping[str, Any]:
    return {"status": "degraded", "models": {"m": "ok"}}


async def is_down() -> Mapping[str, Any]:
    raise StorageUnavailable


async def times_out() -> Mapping[str, Any]:
    raise TimeoutError


MESSAGE = "an account key"


async def breaks() -> Mapping[str, Any]:
    raise ValueError(MESSAGE)


def health(**probes: Probe) -> GetHealth:
    return GetHealth(lambda: probes, CLOCK)


DEEP = Request("GET", "health", {"deep": "1"})


async def test_shallow_check_probes_no_dependency() -> None:
    response = await health(database=is_down).handle(Request("GET", "health"))
    assert (response.status, set(content("GET", "health", response))) == (200, {"status", "version"})


@pytest.mark.parametrize(
    ("probe", "status", "overall", "state"),
    [
        (works, 200, "ok", {"status": "ok", "latencyMs": 0, "mode": "encrypted"}),
        (is_degraded, 200, "degraded", {"status": "degraded", "latencyMs": 0, "models": {"m": "ok"}}),
        (is_down, 503, "down", {"status": "down", "latencyMs": 0, "code": "storage_unavailable"}),
        (times_out, 503, "down", {"status": "down", "latencyMs": 0, "code": "timeout"}),
        (breaks, 503, "down", {"status": "down", "latencyMs": 0, "code": "internal"}),
    ],
)
async def test_deep_check_names_what_does_not_work(
    probe: Probe, status: int, overall: str, state: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    response = await health(session=works, other=probe).handle(DEEP)
    body = content("GET", "health", response)
    assert (response.status, body["status"], body["dependencies"]["other"]) == (status, overall, state)
    assert body["dependencies"]["session"]["status"] == "ok"
    assert MESSAGE not in caplog.text


async def test_dependencies_are_probed_at_most_once_in_ten_seconds() -> None:
    probed = []
    seconds = [0.0]

    async def counts() -> Mapping[str, Any]:
        probed.append(1)
        return {}

    handler = GetHealth(lambda: {"x": counts}, Clock(monotonic=lambda: seconds[0]))
    await asyncio.gather(*(handler.handle(DEEP) for _ in range(5)))
    assert len(probed) == 1
    seconds[0] = CACHED_SECONDS - 0.1
    await handler.handle(DEEP)
    assert len(probed) == 1
    seconds[0] = CACHED_SECONDS
    await handler.handle(DEEP)
    assert len(probed) == 2
